//! Exports to a real S3 server. Row 29 of the failures: no parts are left, however an export ends.

use std::sync::Arc;
use std::time::Duration;

use lovage_artifacts::StoreConfig;
use lovage_payloads::ExportQuery;
use lovage_testkit::{S3Server, eventually};
use lovage_worker::{Handler as _, JobError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::bench::{Bench, job, retried};

const LIMIT: Duration = Duration::from_secs(20);

/// A bench with an empty SQLite file as its source and a bucket as its store.
async fn bench(folder: &TempDir, server: &S3Server) -> Bench {
    let file = folder.path().join("empty.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap().close().await.unwrap();
    let mut store = StoreConfig::new("s3://files/exports");
    store.retry_for = Duration::ZERO;
    let store = server.settings().into_iter().fold(store, |store, (name, value)| store.with(name, value));
    Bench::with_store(&format!("sqlite:{}", file.display()), &store)
}

fn rows(number: &str) -> String {
    format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n {number}) select i, hex(zeroblob(500)) from n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_29_an_export_of_several_parts_arrives_and_leaves_no_parts() {
    let (folder, server) = (tempfile::tempdir().unwrap(), S3Server::start("files"));
    let bench = bench(&folder, &server).await;
    let result = bench.export("large", &rows("where i < 12000")).await.unwrap();
    assert!(result.bytes > 8 << 20, "more than one part: {}", result.bytes);
    assert_eq!(bench.read(&result).await.lines().count(), 12_001);
    assert_eq!(result.location, format!("s3://files/exports/{}", result.key));
    assert_eq!(server.unfinished_uploads(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_29_a_cancelled_export_leaves_no_parts() {
    let (folder, server) = (tempfile::tempdir().unwrap(), S3Server::start("files"));
    let bench = bench(&folder, &server).await;
    let cancelled = job("endless", 1, 1);
    let (handler, context) = (Arc::clone(&bench.handler), cancelled.context());
    let export = tokio::spawn(async move { handler.run(ExportQuery::sql(rows("")), context).await });
    eventually("the upload has begun", LIMIT, async || (server.unfinished_uploads() == 1).then_some(())).await;
    cancelled.cancel();
    let ended = export.await.unwrap();
    assert!(matches!(ended, Err(JobError::Cancelled)), "{ended:?}");
    eventually("the upload is aborted", LIMIT, async || (server.unfinished_uploads() == 0).then_some(())).await;
    assert_eq!(bench.manifest("endless").await, None);
}

/// Nobody who cancels waits for a store that hangs; the parts go when it wakes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_29_an_export_to_a_store_that_hangs_can_be_cancelled() {
    let (folder, server) = (tempfile::tempdir().unwrap(), S3Server::start("files"));
    let bench = bench(&folder, &server).await;
    let cancelled = job("stuck", 1, 1);
    let (handler, context) = (Arc::clone(&bench.handler), cancelled.context());
    let export = tokio::spawn(async move { handler.run(ExportQuery::sql(rows("")), context).await });
    eventually("the upload has begun", LIMIT, async || (server.unfinished_uploads() == 1).then_some(())).await;
    server.freeze();
    cancelled.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), export).await.unwrap().unwrap();
    assert!(matches!(ended, Err(JobError::Cancelled)), "{ended:?}");
    server.thaw();
    eventually("the upload is aborted", LIMIT, async || (server.unfinished_uploads() == 0).then_some(())).await;
}

#[tokio::test]
async fn an_unreachable_bucket_is_tried_again_with_its_reason() {
    let (folder, server) = (tempfile::tempdir().unwrap(), S3Server::start("files"));
    let bench = bench(&folder, &server).await;
    drop(server);
    let error = retried(bench.export("1", "select 1").await);
    assert!(error.starts_with("the artifact store is unavailable: read jobs/exports/1/manifest.json"), "{error}");
}
