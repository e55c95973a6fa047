//! What attempts leave behind when they are killed, and who removes it. Rows 28 and 29 of the failures.

use std::path::Path;
use std::time::Duration;

use crate::stores::{self, Lease, attempt, publish, stage};
use bytes::Bytes;
use lovage_artifacts::{ArtifactError, ArtifactStore, StoreConfig, SweepOptions, SweepReport};
use lovage_broker::SystemClock;
use lovage_core::{Clock as _, JobId, QueueName, Timestamp};
use lovage_testkit::S3Server;

fn tomorrow() -> Timestamp {
    SystemClock.now().plus(Duration::from_hours(25))
}

/// Jobs called `live…` are live.
async fn is_live(_: QueueName, job: JobId) -> bool {
    job.as_str().starts_with("live")
}

async fn sweep(store: &ArtifactStore, options: SweepOptions) -> SweepReport {
    let mut report = store.sweep_orphans(options, is_live).await.unwrap();
    report.removed.sort();
    report
}

async fn orphans_go_and_the_rest_stays(store: ArtifactStore) {
    let published = stage(&store, &attempt("done", 2, 2), "data.csv", &[b"22"]).await;
    stage(&store, &attempt("done", 1, 1), "data.csv", &[b"1"]).await;
    publish(&store, published, Lease::held()).await.unwrap();
    stage(&store, &attempt("dead", 1, 3), "data.csv", &[b"333"]).await;
    stage(&store, &attempt("live-1", 1, 4), "data.csv", &[b"4"]).await;

    let early = sweep(&store, SweepOptions::at(SystemClock.now())).await;
    assert_eq!((early.examined, early.removed.len()), (4, 0), "nothing is old enough");

    let rehearsal = sweep(&store, SweepOptions { dry_run: true, ..SweepOptions::at(tomorrow()) }).await;
    let report = sweep(&store, SweepOptions::at(tomorrow())).await;
    assert_eq!(report, rehearsal);
    assert_eq!(report.removed, ["jobs/exports/dead/1-3/data.csv", "jobs/exports/done/1-1/data.csv"]);
    assert_eq!((report.bytes, report.more), (4, false));
    store.verify("jobs/exports/done/manifest.json").await.unwrap();
    assert!(store.read("jobs/exports/live-1/1-4/data.csv").await.is_ok());
    assert!(sweep(&store, SweepOptions::at(tomorrow())).await.removed.is_empty());
}

#[tokio::test]
async fn row_28_orphans_go_from_memory() {
    orphans_go_and_the_rest_stays(stores::memory()).await;
}

#[tokio::test]
async fn row_28_orphans_go_from_a_folder_with_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    orphans_go_and_the_rest_stays(stores::folder(&folder)).await;
    assert!(!folder.path().join("jobs/exports/dead").exists());
}

#[tokio::test]
async fn row_29_s3_keeps_no_parts_of_aborted_dropped_or_swept_work() {
    let server = S3Server::start("files");
    let store = stores::s3(&server, "some/prefix");
    orphans_go_and_the_rest_stays(store.clone()).await;
    let mut writer = store.create(&attempt("live-2", 1, 1), &"a".parse().unwrap(), "text/plain").unwrap();
    writer.write(Bytes::from(vec![0; 9 << 20])).await.unwrap();
    assert_eq!(server.unfinished_uploads(), 1, "the upload has begun");
    writer.abort().await;
    assert_eq!(server.unfinished_uploads(), 0);
    let keys = server.keys();
    assert!(keys.iter().all(|key| key.starts_with("some/prefix/")), "{keys:?}");
}

#[tokio::test]
async fn a_store_without_anything_in_it_is_swept_too() {
    let folder = tempfile::tempdir().unwrap();
    for store in [stores::folder(&folder), stores::memory()] {
        assert_eq!(sweep(&store, SweepOptions::at(tomorrow())).await, SweepReport::default());
    }
}

#[tokio::test]
async fn a_call_removes_no_more_than_its_limit() {
    let store = stores::memory();
    for token in 0..7 {
        stage(&store, &attempt(&format!("dead-{token}"), 1, token), "data.csv", &[b"1"]).await;
    }
    let options = SweepOptions { limit: 3, ..SweepOptions::at(tomorrow()) };
    let counts: Vec<(usize, bool)> =
        [sweep(&store, options).await, sweep(&store, options).await, sweep(&store, options).await]
            .iter()
            .map(|report| (report.removed.len(), report.more))
            .collect();
    assert_eq!(counts, [(3, true), (3, true), (1, false)]);
}

/// A newer release may have written it; what it names is not known.
#[tokio::test]
async fn a_manifest_that_cannot_be_read_keeps_its_jobs_files_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = stores::folder(&folder);
    let published = stage(&store, &attempt("a-newer", 2, 2), "data.csv", &[b"22"]).await;
    publish(&store, published, Lease::held()).await.unwrap();
    let manifest = folder.path().join("jobs/exports/a-newer/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap().replace("\"version\": 1", "\"version\": 2");
    std::fs::write(&manifest, text).unwrap();
    stage(&store, &attempt("a-newer", 1, 1), "data.csv", &[b"1"]).await;
    stage(&store, &attempt("dead", 1, 3), "data.csv", &[b"333"]).await;

    let report = sweep(&store, SweepOptions::at(tomorrow())).await;
    assert_eq!(report.removed, ["jobs/exports/dead/1-3/data.csv"]);
    assert_eq!(report.unreadable.len(), 1, "told once a job: {:?}", report.unreadable);
    assert!(report.unreadable[0].contains("a-newer/manifest.json") && report.unreadable[0].contains("version 2"));
    for kept in ["1-1", "2-2"] {
        assert!(store.read(&format!("jobs/exports/a-newer/{kept}/data.csv")).await.is_ok(), "{kept}");
    }
}

/// Whoever calls again while there is more would never end.
#[tokio::test]
async fn a_call_that_could_remove_nothing_does_not_ask_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = stores::folder(&folder);
    for job in ["live-1", "live-2", "live-3"] {
        let attempt = folder.path().join(format!("jobs/exports/{job}/1-1"));
        std::fs::create_dir_all(&attempt).unwrap();
        std::fs::write(attempt.join("data.csv#1"), "half").unwrap();
    }
    let report = sweep(&store, SweepOptions { limit: 2, ..SweepOptions::at(tomorrow()) }).await;
    assert_eq!((report.removed.len(), report.more), (0, false));
}

#[tokio::test]
async fn row_29_staged_files_of_a_killed_process_go_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = stores::folder(&folder);
    let touch = |path: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "half").unwrap();
    };
    touch("jobs/exports/dead/1-1/data.csv#1");
    touch("jobs/exports/dead/manifest.json#2");
    touch("jobs/exports/live-1/1-1/data.csv#1");
    touch("jobs/exports/other#1");
    touch("elsewhere/data.csv#1");
    std::fs::create_dir_all(folder.path().join("jobs/exports/dead2/1-1")).unwrap();

    assert!(sweep(&store, SweepOptions::at(SystemClock.now())).await.removed.is_empty());
    let report = sweep(&store, SweepOptions::at(tomorrow())).await;
    let expected = ["jobs/exports/dead/1-1/data.csv#1", "jobs/exports/dead/manifest.json#2", "jobs/exports/dead2/1-1"];
    assert_eq!(report.removed, expected);
    for kept in ["jobs/exports/live-1/1-1/data.csv#1", "jobs/exports/other#1", "elsewhere/data.csv#1"] {
        assert!(folder.path().join(kept).exists(), "{kept}");
    }
}

#[tokio::test]
async fn a_missing_bucket_and_an_unreachable_service_say_so() {
    let server = S3Server::start("files");
    let mut config = stores::s3_config(&server, "x");
    config.url = "s3://nothere/x".to_owned();
    config.retry_for = Duration::ZERO;
    let error = ArtifactStore::open(&config).unwrap().check().await.unwrap_err();
    assert!(error.to_string().contains("the bucket does not exist"), "{error}");
    assert!(matches!(error, ArtifactError::Misconfigured(_)) && error.is_transient());

    drop(server);
    let error = ArtifactStore::open(&config).unwrap().check().await.unwrap_err();
    assert!(matches!(error, ArtifactError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains('\n'), "one line: {error}");
}

#[tokio::test]
async fn an_endpoint_without_credentials_is_refused_at_once() {
    let config = StoreConfig::new("s3://files").with("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let error = ArtifactStore::open(&config).unwrap_err();
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
}

#[tokio::test]
async fn a_file_is_verified_by_its_path_also_after_its_folder_moved() {
    let folder = tempfile::tempdir().unwrap();
    let store = stores::folder(&folder);
    let staged = stage(&store, &attempt("done", 1, 1), "data.csv", &[b"1,2"]).await;
    let path = store.local_path(&staged.key).unwrap();
    publish(&store, staged, Lease::held()).await.unwrap();
    let verified = ArtifactStore::verify_path(&path).await.unwrap();
    assert_eq!((verified.files[0].bytes, verified.files[0].rows), (3, Some(1)));

    let moved = tempfile::tempdir().unwrap();
    std::fs::rename(folder.path().join("jobs"), moved.path().join("jobs")).unwrap();
    let manifest = moved.path().join("jobs/exports/done/manifest.json");
    ArtifactStore::verify_path(&manifest).await.unwrap();
    std::fs::write(moved.path().join("jobs/exports/done/1-1/data.csv"), "1,3").unwrap();
    let error = ArtifactStore::verify_path(&manifest).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Mismatch(_)), "{error}");

    let error = ArtifactStore::verify_path(Path::new("/nowhere/data.csv")).await.unwrap_err();
    assert!(matches!(error, ArtifactError::NotFound(_)), "{error}");
    let error = ArtifactStore::verify_path(folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("jobs/QUEUE/JOB"), "{error}");
}
