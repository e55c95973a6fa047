//! The list of what was published: newest first, a page at a time.

use crate::stores::{Lease, attempt, on_every_store, publish, stage};
use lovage_artifacts::{ArtifactStore, DeleteOptions, DeletedBy, ListOptions};
use lovage_core::Timestamp;

on_every_store!(pages_follow_each_other_without_gap_or_repetition, only_what_was_published_is_listed);

fn options(limit: usize) -> ListOptions {
    ListOptions { queue: None, limit, after: None }
}

async fn put(store: &ArtifactStore, job: &str) {
    let staged = stage(store, &attempt(job, 1, 1), "data.csv", &[b"1"]).await;
    publish(store, staged, Lease::held()).await.unwrap();
}

async fn pages_follow_each_other_without_gap_or_repetition(store: ArtifactStore) {
    for job in ["c", "a", "e", "b", "d"] {
        put(&store, job).await;
    }
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(&ListOptions { after, ..options(2) }).await.unwrap();
        sizes.push(page.items.len());
        seen.extend(page.items.into_iter().map(|item| (item.published_at, item.manifest.job.to_string())));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    assert!(seen.is_sorted_by(|left, right| left > right), "newest first: {seen:?}");
    let whole = store.list(&options(500)).await.unwrap();
    let all: Vec<String> = whole.items.iter().map(|item| item.manifest.job.to_string()).collect();
    assert_eq!(all, seen.iter().map(|(_, job)| job.clone()).collect::<Vec<_>>());
    assert_eq!((whole.next, all.len()), (None, 5));
}

async fn only_what_was_published_is_listed(store: ArtifactStore) {
    put(&store, "done").await;
    put(&store, "gone").await;
    stage(&store, &attempt("open", 1, 1), "data.csv", &[b"1"]).await;
    let request = DeleteOptions { by: DeletedBy::Request, note: None, now: Timestamp::from_millis(7) };
    store.delete(&"exports".parse().unwrap(), &"gone".parse().unwrap(), &request).await.unwrap();
    let page = store.list(&ListOptions { queue: Some("exports".parse().unwrap()), ..options(10) }).await.unwrap();
    let mut listed: Vec<_> =
        page.items.iter().map(|item| (item.manifest.job.as_str(), item.deleted.is_some())).collect();
    listed.sort_unstable();
    assert_eq!(listed, [("done", false), ("gone", true)]);
    let other = store.list(&ListOptions { queue: Some("export".parse().unwrap()), ..options(10) }).await.unwrap();
    assert!(other.items.is_empty(), "a queue whose name begins alike is another");
}

#[tokio::test]
async fn a_wrong_page_is_refused() {
    let store = crate::stores::memory();
    for (options, field) in [
        (options(0), "limit: is 0"),
        (options(501), "limit: is 501"),
        (ListOptions { after: Some("yesterday".into()), ..options(1) }, "after: \"yesterday\" is no place"),
    ] {
        let error = store.list(&options).await.unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

#[tokio::test]
async fn an_unreadable_manifest_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::stores::folder(&folder);
    put(&store, "good").await;
    put(&store, "bad").await;
    std::fs::write(folder.path().join("jobs/exports/bad/manifest.json"), "{").unwrap();
    let page = store.list(&options(10)).await.unwrap();
    assert_eq!((page.items.len(), page.unreadable.len()), (1, 1));
    assert!(page.unreadable[0].contains("jobs/exports/bad/manifest.json"), "{:?}", page.unreadable);
}
