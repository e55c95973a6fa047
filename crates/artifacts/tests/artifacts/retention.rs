//! Files go when their time is over or when somebody says so, and what is left says that they were there.

use std::time::Duration;

use crate::stores::{Lease, attempt, manifest, on_every_store, stage};
use lovage_artifacts::{
    ArtifactError, ArtifactStore, DeleteOptions, DeletedBy, ExpireOptions, LinkOptions, Manifest, Published,
};
use lovage_core::{JobId, QueueName, Timestamp};

const DAY: Duration = Duration::from_hours(24);

on_every_store!(
    files_go_when_their_time_is_over,
    a_call_expires_no_more_than_its_limit,
    a_deleted_file_is_refused_with_the_day_and_the_reason,
    a_job_that_runs_again_after_the_deletion_publishes_nothing,
    nothing_of_any_attempt_is_left,
    a_hold_keeps_the_files_until_it_is_released,
    what_was_never_published_cannot_be_deleted_nor_held,
);

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn queue() -> QueueName {
    "exports".parse().unwrap()
}

fn job(name: &str) -> JobId {
    name.parse().unwrap()
}

fn request(note: Option<&str>) -> DeleteOptions {
    DeleteOptions { by: DeletedBy::Request, note: note.map(str::to_owned), now: now() }
}

/// Publishes a file that is to be kept until then.
async fn keep(store: &ArtifactStore, name: &str, until: Option<Timestamp>) -> Manifest {
    let owner = attempt(name, 1, 1);
    let staged = stage(store, &owner, "订单.csv", &[b"1,2,3"]).await;
    let mut manifest = manifest(&owner, vec![staged]);
    manifest.expires_at = until;
    manifest.tenant = Some("acme".parse().unwrap());
    manifest.dataset = Some("orders".to_owned());
    store.publish(manifest, &Lease::held()).await.unwrap().manifest().clone()
}

async fn is_there(store: &ArtifactStore, manifest: &Manifest) -> bool {
    store.read(&manifest.files[0].key).await.is_ok()
}

async fn files_go_when_their_time_is_over(store: ArtifactStore) {
    let over = keep(&store, "a-over", Some(now())).await;
    let later = keep(&store, "b-later", Some(now().plus(DAY))).await;
    let ever = keep(&store, "c-ever", None).await;
    assert_eq!(store.published(&queue(), &job("b-later")).await.unwrap(), later, "all fields come back");
    stage(&store, &attempt("d-unpublished", 1, 1), "data.csv", &[b"1"]).await;

    let rehearsal = store.expire(ExpireOptions { dry_run: true, ..ExpireOptions::at(now()) }).await.unwrap();
    assert!(is_there(&store, &over).await);
    let report = store.expire(ExpireOptions::at(now())).await.unwrap();
    assert_eq!(report, rehearsal);
    let deleted: Vec<_> = report.deleted.iter().map(|gone| (gone.job.as_str(), gone.files, gone.bytes)).collect();
    assert_eq!((deleted, report.examined, report.more), (vec![("a-over", 1, 5)], 3, false));
    assert!(!is_there(&store, &over).await && is_there(&store, &later).await && is_there(&store, &ever).await);

    let record = store.deleted(&queue(), &job("a-over")).await.unwrap().unwrap();
    assert_eq!((record.by, record.deleted_at, record.expires_at), (DeletedBy::Retention, now(), Some(now())));
    assert_eq!((record.tenant, record.dataset.as_deref()), (over.tenant.clone(), Some("orders")));
    let file = &record.files[0];
    assert_eq!((file.name.as_str(), file.bytes, file.rows), ("订单.csv", 5, Some(1)));
    assert_eq!((&file.key, &file.sha256), (&over.files[0].key, &over.files[0].sha256));
    assert_eq!(store.existing(&queue(), &job("a-over")).await.unwrap(), Some(over), "the manifest never changes");

    let next = store.expire(ExpireOptions::at(now().plus(DAY))).await.unwrap();
    assert_eq!((next.deleted.len(), next.deleted[0].job.as_str()), (1, "b-later"));
    assert!(is_there(&store, &ever).await);
}

async fn a_call_expires_no_more_than_its_limit(store: ArtifactStore) {
    for name in ["a", "b", "c"] {
        keep(&store, name, Some(now())).await;
    }
    let options = ExpireOptions { limit: 2, ..ExpireOptions::at(now()) };
    let mut counts = Vec::new();
    for _ in 0..2 {
        let report = store.expire(options).await.unwrap();
        counts.push((report.deleted.len(), report.more));
    }
    assert_eq!(counts, [(2, true), (1, false)]);
}

async fn a_deleted_file_is_refused_with_the_day_and_the_reason(store: ArtifactStore) {
    let manifest = keep(&store, "asked", None).await;
    let note = "the customer asked for it";
    let first = store.delete(&queue(), &job("asked"), &request(Some(note))).await.unwrap();
    let again = store.delete(&queue(), &job("asked"), &request(None)).await.unwrap();
    assert_eq!(first, again, "a second time changes nothing");
    let said =
        "the files of job asked in queue exports were deleted on 2023-11-14 on request: the customer asked for it";
    for error in [
        store.published(&queue(), &job("asked")).await.unwrap_err(),
        store.verify(&manifest.files[0].key).await.unwrap_err(),
        store.verify("jobs/exports/asked/manifest.json").await.unwrap_err(),
        store.hold(&queue(), &job("asked"), None, now()).await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), said);
        assert!(!error.is_transient());
    }
    let error = store.link(&manifest.files[0], &LinkOptions::at(now())).await.unwrap_err();
    let dead = matches!(error, ArtifactError::NotFound(_)) || error.to_string().contains("memory: cannot sign links");
    assert!(dead, "a dead link is not handed out: {error}");
}

async fn a_job_that_runs_again_after_the_deletion_publishes_nothing(store: ArtifactStore) {
    let first = keep(&store, "again", Some(now())).await;
    store.expire(ExpireOptions::at(now())).await.unwrap();
    let owner = attempt("again", 2, 2);
    let staged = stage(&store, &owner, "订单.csv", &[b"new"]).await;
    let key = staged.key.clone();
    let published = store.publish(manifest(&owner, vec![staged]), &Lease::held()).await.unwrap();
    assert_eq!(published, Published::Existing(first));
    assert!(store.read(&key).await.is_err(), "and its own file is gone");
    assert!(matches!(store.published(&owner.queue, &owner.job).await, Err(ArtifactError::Deleted(_))));
}

/// What another attempt has left holds the same data, and a record that it was deleted would be untrue.
async fn nothing_of_any_attempt_is_left(store: ArtifactStore) {
    let other = stage(&store, &attempt("double", 2, 2), "订单.csv", &[b"1,2,3"]).await;
    let neighbour = keep(&store, "double-2", None).await;
    let manifest = keep(&store, "double", None).await;
    store.delete(&queue(), &job("double"), &request(None)).await.unwrap();
    assert!(!is_there(&store, &manifest).await);
    assert!(store.read(&other.key).await.is_err());
    assert!(is_there(&store, &neighbour).await, "a job whose id begins alike is not touched");
}

async fn a_hold_keeps_the_files_until_it_is_released(store: ArtifactStore) {
    let manifest = keep(&store, "held", Some(now())).await;
    let hold = store.hold(&queue(), &job("held"), Some("case 4711"), now()).await.unwrap();
    let again = store.hold(&queue(), &job("held"), None, now().plus(DAY)).await.unwrap();
    assert_eq!((&hold, hold.since), (&again, now()), "the first hold stays");
    let error = store.delete(&queue(), &job("held"), &request(None)).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the files of job held in queue exports are held since 2023-11-14 (case 4711); release them first"
    );
    for dry_run in [true, false] {
        let report = store.expire(ExpireOptions { dry_run, ..ExpireOptions::at(now()) }).await.unwrap();
        assert_eq!((report.deleted.len(), report.held), (0, vec![(queue(), job("held"))]));
    }
    assert!(is_there(&store, &manifest).await);
    store.published(&queue(), &job("held")).await.unwrap();
    assert_eq!(store.release(&queue(), &job("held")).await.unwrap(), Some(hold));
    assert_eq!(store.release(&queue(), &job("held")).await.unwrap(), None);
    assert_eq!(store.expire(ExpireOptions::at(now())).await.unwrap().deleted.len(), 1);
    assert!(!is_there(&store, &manifest).await);
}

async fn what_was_never_published_cannot_be_deleted_nor_held(store: ArtifactStore) {
    let staged = stage(&store, &attempt("open", 1, 1), "data.csv", &[b"1"]).await;
    for error in [
        store.delete(&queue(), &job("open"), &request(None)).await.unwrap_err(),
        store.hold(&queue(), &job("open"), None, now()).await.unwrap_err(),
        store.published(&queue(), &job("open")).await.unwrap_err(),
    ] {
        assert!(matches!(error, ArtifactError::NotFound(_)), "{error}");
        assert!(error.to_string().contains("no published file of job open in queue exports"), "{error}");
    }
    assert!(store.read(&staged.key).await.is_ok(), "it is the sweeper's");
    let long = "x".repeat(501);
    let error = store.delete(&queue(), &job("open"), &request(Some(&long))).await.unwrap_err();
    assert!(error.to_string().starts_with("note: is 501 bytes long"), "{error}");
}

#[tokio::test]
async fn a_manifest_of_a_later_release_stays_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::stores::folder(&folder);
    keep(&store, "a", Some(now())).await;
    let manifest = folder.path().join("jobs/exports/a/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap().replace("\"version\": 1", "\"version\": 2");
    std::fs::write(&manifest, text).unwrap();
    keep(&store, "b", Some(now())).await;
    let report = store.expire(ExpireOptions::at(now())).await.unwrap();
    assert_eq!((report.deleted.len(), report.unreadable.len()), (1, 1));
    assert!(
        report.unreadable[0].contains("jobs/exports/a/manifest.json") && report.unreadable[0].contains("version 2")
    );
}

#[tokio::test]
async fn the_path_of_a_deleted_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::stores::folder(&folder);
    let manifest = keep(&store, "gone", Some(now())).await;
    let path = store.local_path(&manifest.files[0].key).unwrap();
    store.expire(ExpireOptions::at(now())).await.unwrap();
    assert!(!path.exists());
    let error = ArtifactStore::verify_path(&path).await.unwrap_err();
    assert!(error.to_string().ends_with("were deleted on 2023-11-14 by retention"), "{error}");
    let nowhere = folder.path().join("nothing/jobs/exports/gone/1-1/x.csv");
    assert!(matches!(ArtifactStore::verify_path(&nowhere).await, Err(ArtifactError::NotFound(_))));
    assert!(!folder.path().join("nothing").exists(), "looking makes no folder");
}
