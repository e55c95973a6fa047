//! A worker that dies at a named point between claim and finish of an export (row 01), and the worker after it.
//!
//! The worker runs in a process of its own: this test binary starts itself again with the point in its environment,
//! and `worker_process` is what runs there. Without a point in the environment that test is the control: the same
//! worker, undisturbed.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lovage_artifacts::{ArtifactStore, StoreConfig, SweepOptions};
use lovage_broker::{Broker, Connect, OsEntropy, RedisBroker, RedisConfig, SystemClock};
use lovage_core::{Clock as _, JobId, State};
use lovage_jobs::{Datasets, ExportRules, Services, Sources, registry};
use lovage_testkit::{Fault, FaultyBroker, Plan, Point, Process, eventually};
use lovage_worker::{Shutdown, Worker, WorkerConfig};
use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::stage::{PATIENCE, Stage, files};

const ROWS: u64 = 20_000;

#[tokio::test]
async fn row_01_killed_between_claim_and_run() {
    killed_at(Point::AfterClaim, 2).await;
}

#[tokio::test]
async fn row_01_killed_while_it_runs_and_uploads() {
    killed_at(Point::BeforeReport, 2).await;
}

#[tokio::test]
async fn row_01_killed_between_upload_and_publish() {
    killed_at(Point::BeforeRenew, 2).await;
}

#[tokio::test]
async fn row_01_killed_between_publish_and_finish() {
    killed_at(Point::BeforeFinish, 2).await;
}

#[tokio::test]
async fn row_01_killed_after_finish_before_it_knew() {
    killed_at(Point::AfterFinish, 1).await;
}

/// The control, and in a process of its own the worker that is killed.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how a test process tells its child what to be")]
async fn worker_process() {
    let var = |name: &str| std::env::var(name).ok();
    if let (Some(url), Some(folder), Some(point)) = (var("FAULT_REDIS"), var("FAULT_FOLDER"), var("FAULT_POINT")) {
        let point = Point::ALL.into_iter().find(|known| format!("{known:?}") == point).expect("a known point");
        work(&url, Path::new(&folder), Some(point)).await;
        panic!("the worker outlived its point {point:?}");
    }
    let stage = Stage::open().await;
    sample_database(&stage).await;
    let id = export(&stage).await;
    work(&stage.server.url(), stage.folder.path(), None).await;
    assert_whole(&stage, &id, 1).await;
}

/// Kills a worker at `point`, lets another one do the rest, and looks at what is left: one end, one visible file.
async fn killed_at(point: Point, attempts: u32) {
    let stage = Stage::open().await;
    sample_database(&stage).await;
    let id = export(&stage).await;
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command
        .args(["kill_points::worker_process", "--exact", "--nocapture"])
        .env("FAULT_REDIS", stage.server.url())
        .env("FAULT_FOLDER", stage.folder.path())
        .env("FAULT_POINT", format!("{point:?}"));
    let mut child = Process::start(command, &stage.log("killed"));
    let status = child.ended(PATIENCE).await;
    assert!(status.code().is_none(), "killed by a signal at {point:?}: {status}; {}", child.output());

    // The lease has to run out before anybody may take the job over.
    eventually("the job is taken back", PATIENCE, async || {
        stage.broker.sweep(&stage.queue).await.expect("swept");
        (stage.view(&id).await.state != State::Running).then_some(())
    })
    .await;
    work(&stage.server.url(), stage.folder.path(), None).await;
    assert_whole(&stage, &id, attempts).await;
}

/// A worker in this process: claims what there is, ends when nothing is left.
async fn work(redis: &str, folder: &Path, point: Option<Point>) {
    let config = RedisConfig { url: redis.to_owned(), ..RedisConfig::default() };
    // The very first report says that the export begins; the second one strikes in the middle of it.
    let reports = Arc::new(AtomicU32::new(0));
    let plan: Plan = Arc::new(move |at| {
        let armed = point == Some(at) && (at != Point::BeforeReport || reports.fetch_add(1, Ordering::SeqCst) > 0);
        if armed { Fault::Kill } else { Fault::None }
    });
    let connect: Connect = Arc::new(move || {
        let (config, plan) = (config.clone(), Arc::clone(&plan));
        Box::pin(async move {
            let inner = Arc::new(RedisBroker::connect(config).await?);
            Ok(Arc::new(FaultyBroker::new(inner, plan)) as Arc<dyn Broker>)
        })
    });
    let mut sources = Sources::new();
    sources.add("default", &format!("sqlite://{}", folder.join("sample.db").display())).expect("a valid address");
    let artifacts = store(folder);
    let services = Services {
        artifacts,
        sources,
        datasets: Datasets::default(),
        rules: ExportRules { allow_raw_sql: true, ..ExportRules::default() },
        audit: None,
        clock: Arc::new(SystemClock),
    };
    let queues = vec![("exports".parse().expect("a valid name"), 1)];
    let config = WorkerConfig {
        exit_when_empty: true,
        slots: 2,
        // Long enough that the keeper renews nothing by itself: a renewal is then the one before the publish.
        ..WorkerConfig::new(worker_id(), queues).lease(Duration::from_secs(6))
    };
    let worker = Worker::new(config, connect, registry(services, true), Arc::new(OsEntropy), Arc::new(SystemClock));
    worker.run(Shutdown::new()).await.expect("the worker ends well");
}

fn store(folder: &Path) -> ArtifactStore {
    let url = folder.join("artifacts").display().to_string();
    ArtifactStore::open(&StoreConfig::new(url)).expect("a local store")
}

async fn sample_database(stage: &Stage) {
    let path = stage.folder.path().join("sample.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.expect("a new database");
    let sql = "CREATE TABLE orders AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ?1) \
               SELECT id, 'customer ' || (id % 97) AS customer, id * 1.25 AS amount FROM n";
    sqlx::query(sql).bind(ROWS as i64).execute(&mut connection).await.expect("a table");
    connection.close().await.expect("closed");
}

async fn export(stage: &Stage) -> JobId {
    let args = json!({"sql": "SELECT * FROM orders ORDER BY id"});
    stage.add(stage.job("export.query", &args)).await
}

async fn assert_whole(stage: &Stage, id: &JobId, attempts: u32) {
    let view = stage.view(id).await;
    assert_eq!((view.state, view.failed), (State::Completed, 0), "{:?}", view.errors);
    assert_eq!((view.attempt, view.lost), (attempts, attempts - 1));
    let result: serde_json::Value = serde_json::from_str(view.result.expect("a result").get()).expect("JSON");
    assert_eq!(result["rows"], ROWS);

    let store = store(stage.folder.path());
    let manifest = store.existing(&stage.queue, id).await.expect("a readable store").expect("a manifest");
    assert_eq!(manifest.files.len(), 1);
    let verified = store.verify(&manifest.files[0].key).await.expect("the file is whole");
    assert_eq!(verified.files[0].sha256, result["sha256"]);

    // What the killed attempt left is removed by the sweeper; the visible file stays.
    let later = SystemClock.now().plus(Duration::from_hours(48));
    let report = store.sweep_orphans(SweepOptions::at(later), |_, _| async { false }).await;
    report.expect("swept");
    let left = files(&stage.storage());
    assert_eq!(left.len(), 2, "one file and one manifest: {left:?}");
}

fn worker_id() -> lovage_core::WorkerId {
    format!("killed-{}", std::process::id()).parse().expect("a valid id")
}
