//! What every store has to keep: the same checks on memory, on a folder and on a real S3 server.

use crate::stores::{Lease, attempt, manifest, on_every_store, publish, stage};
use bytes::Bytes;
use futures::TryStreamExt as _;
use lovage_artifacts::{ArtifactError, ArtifactStore, Published};

const MIB: usize = 1024 * 1024;

on_every_store!(
    a_small_file_arrives_whole,
    a_file_of_several_parts_arrives_whole,
    an_aborted_file_leaves_nothing,
    a_file_is_visible_only_through_the_manifest,
    /// Row 28 of the failures.
    row_28_three_attempts_at_once_make_one_visible_file,
    a_second_publish_of_the_same_attempt_succeeds,
    an_attempt_without_its_lease_publishes_nothing,
    a_manifest_may_not_name_the_files_of_others,
    a_changed_file_is_found_out,
    a_name_of_any_script_comes_back,
    the_store_passes_its_own_check,
    a_folder_is_listed_without_what_lies_below_it,
);

async fn a_folder_is_listed_without_what_lies_below_it(store: ArtifactStore) {
    let folder = "jobs/exports/listed/1-1";
    assert_eq!(store.objects_in(folder, 10, |_| true).await.unwrap(), []);
    for name in ["b 订单.csv", "a.csv", "c.json"] {
        stage(&store, &attempt("listed", 1, 1), name, &[name.as_bytes()]).await;
    }
    stage(&store, &attempt("listed", 1, 10), "other.csv", &[b"1"]).await;
    let found = store.objects_in(folder, 2, |name| name.contains(".csv")).await.unwrap();
    let found: Vec<(&str, u64)> = found.iter().map(|object| (object.key.as_str(), object.bytes)).collect();
    assert_eq!(found, [("jobs/exports/listed/1-1/a.csv", 5), ("jobs/exports/listed/1-1/b 订单.csv", 12)]);
    assert_eq!(store.object(found[1].0).await.unwrap().bytes, 12);
    assert!(matches!(store.object("jobs/exports/listed/1-1/d").await, Err(ArtifactError::NotFound(_))));
    assert!(matches!(store.objects_in(folder, 2, |_| true).await, Err(ArtifactError::Invalid(_))));
    assert_eq!(
        store.objects_in("jobs/exports/listed", 2, |_| true).await.unwrap(),
        [],
        "what lies below is not listed"
    );
}

async fn a_small_file_arrives_whole(store: ArtifactStore) {
    for (token, content) in [(1, "".as_bytes()), (2, b"id,name\n1,a\n")] {
        let staged = stage(&store, &attempt("small", 1, token), "data.csv", &[content]).await;
        assert_eq!(staged.bytes, content.len() as u64);
        assert_eq!(read(&store, &staged.key).await, content);
    }
}

async fn a_file_of_several_parts_arrives_whole(store: ArtifactStore) {
    let pieces: Vec<Vec<u8>> = (0..9_u8).map(|n| vec![n; MIB * 2 + usize::from(n)]).collect();
    let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let staged = stage(&store, &attempt("large", 1, 1), "data.bin", &slices).await;
    assert_eq!(read(&store, &staged.key).await, pieces.concat());
    let published = publish(&store, staged, Lease::held()).await.unwrap();
    let verified = store.verify(&published.manifest().files[0].key).await.unwrap();
    assert_eq!(verified.files[0].bytes, 18 * MIB as u64 + 36);
}

async fn an_aborted_file_leaves_nothing(store: ArtifactStore) {
    let owner = attempt("aborted", 1, 1);
    let mut writer = store.create(&owner, &"data.bin".parse().unwrap(), "application/octet-stream").unwrap();
    for _ in 0..20 {
        writer.write(Bytes::from(vec![1; MIB])).await.unwrap();
    }
    writer.abort().await;
    let gone = store.read("jobs/exports/aborted/1-1/data.bin").await;
    assert!(matches!(gone.err(), Some(ArtifactError::NotFound(_))));
}

async fn a_file_is_visible_only_through_the_manifest(store: ArtifactStore) {
    let owner = attempt("visible", 1, 1);
    let staged = stage(&store, &owner, "data.csv", &[b"1"]).await;
    assert_eq!(store.existing(&owner.queue, &owner.job).await.unwrap(), None);
    let unpublished = store.verify(&staged.key).await.unwrap_err();
    assert!(unpublished.to_string().contains("is not published"), "{unpublished}");
    let published = publish(&store, staged, Lease::held()).await.unwrap();
    let found = store.existing(&owner.queue, &owner.job).await.unwrap().unwrap();
    assert_eq!(published, Published::New(found));
}

async fn row_28_three_attempts_at_once_make_one_visible_file(store: ArtifactStore) {
    let runs = (1..=3).map(|token| {
        let store = store.clone();
        tokio::spawn(async move {
            let staged = stage(&store, &attempt("raced", 1, token), "data.csv", &[format!("{token}").as_bytes()]).await;
            let key = staged.key.clone();
            (key, publish(&store, staged, Lease::held()).await.unwrap())
        })
    });
    let mut winners = Vec::new();
    let mut all = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        let (key, published) = run.await.unwrap();
        if let Published::New(manifest) = &published {
            assert_eq!(manifest.files[0].key, key);
            winners.push(key.clone());
        }
        all.push((key, published.manifest().clone()));
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    for (key, manifest) in all {
        assert_eq!(manifest.files[0].key, winners[0], "everybody answers with the same manifest");
        assert_eq!(store.read(&key).await.is_ok(), key == winners[0], "the others removed their own file");
    }
    store.verify("jobs/exports/raced/manifest.json").await.unwrap();
}

async fn a_second_publish_of_the_same_attempt_succeeds(store: ArtifactStore) {
    let staged = stage(&store, &attempt("twice", 1, 1), "data.csv", &[b"1"]).await;
    let first = publish(&store, staged.clone(), Lease::held()).await.unwrap();
    let again = publish(&store, staged, Lease::held()).await.unwrap();
    assert_eq!((&first, matches!(again, Published::New(_))), (&again, true), "its own manifest is no rival");
    store.verify(&first.manifest().files[0].key).await.unwrap();
}

async fn an_attempt_without_its_lease_publishes_nothing(store: ArtifactStore) {
    let owner = attempt("lost", 1, 1);
    let staged = stage(&store, &owner, "data.csv", &[b"1"]).await;
    let key = staged.key.clone();
    let error = publish(&store, staged, Lease::lost()).await.unwrap_err();
    assert!(matches!(error, ArtifactError::LeaseLost(_)), "{error}");
    assert_eq!(store.existing(&owner.queue, &owner.job).await.unwrap(), None);
    assert!(store.read(&key).await.is_err(), "its file is removed");
}

async fn a_manifest_may_not_name_the_files_of_others(store: ArtifactStore) {
    let theirs = stage(&store, &attempt("theirs", 1, 1), "data.csv", &[b"1"]).await;
    let key = theirs.key.clone();
    let error = store.publish(manifest(&attempt("mine", 1, 1), vec![theirs]), &Lease::held()).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Invalid(_)), "{error}");
    assert!(store.read(&key).await.is_ok(), "and does not remove them");
}

async fn a_changed_file_is_found_out(store: ArtifactStore) {
    let staged = stage(&store, &attempt("changed", 1, 1), "data.csv", &[b"1,2,3"]).await;
    let key = staged.key.clone();
    publish(&store, staged, Lease::held()).await.unwrap();
    stage(&store, &attempt("changed", 1, 1), "data.csv", &[b"1,2,4,5"]).await;
    let error = store.verify(&key).await.unwrap_err().to_string();
    assert!(error.contains("has 7 bytes, the manifest says 5") && error.contains("sha256"), "{error}");
    store.remove(&key).await.unwrap();
    let error = store.verify("jobs/exports/changed/manifest.json").await.unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
}

async fn a_name_of_any_script_comes_back(store: ArtifactStore) {
    let name = "订单 éü (1) + 50@.csv";
    let staged = stage(&store, &attempt("a:b.c_d-", 3, 9), name, &[b"1"]).await;
    assert_eq!(staged.key, format!("jobs/exports/a:b.c_d-/3-9/{name}"));
    assert_eq!(read(&store, &staged.key).await, b"1");
}

async fn the_store_passes_its_own_check(store: ArtifactStore) {
    store.check().await.unwrap();
    store.check().await.unwrap();
}

async fn read(store: &ArtifactStore, key: &str) -> Vec<u8> {
    let pieces: Vec<Bytes> = store.read(key).await.unwrap().try_collect().await.unwrap();
    pieces.concat()
}
