//! Workers that are killed between the chunks of an export (rows 01, 28 and 30).

use lovage_artifacts::{ArtifactStore, StoreConfig};
use lovage_core::{DiscardReason, JobId, State};
use lovage_testkit::{Signal, eventually};
use serde_json::json;
use sqlx::{Executor as _, PgConnection};

use super::table::Table;
use crate::stage::{PATIENCE, Stage};

/// Rows when the export begins, and rows of a chunk.
const ROWS: usize = 3_000;
const CHUNK: usize = 100;

/// Holds the table. Who reads it waits; each step lets in those who wait, and takes the table again behind them.
struct Hold {
    connection: tokio::sync::Mutex<PgConnection>,
}

const TAKE: &str = "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE";

impl Hold {
    async fn take(table: &Table) -> Self {
        let mut connection = table.connect().await;
        connection.execute(TAKE).await.expect("locked");
        Self { connection: tokio::sync::Mutex::new(connection) }
    }

    async fn run(&self, sql: &'static str) {
        self.connection.lock().await.execute(sql).await.expect("the server answers");
    }

    /// Waits until the worker wants to read on.
    async fn until_asked(&self, what: &str) {
        let sql = "SELECT count(*) FROM pg_locks WHERE relation = 'events'::regclass AND NOT granted";
        eventually(what, PATIENCE, async || {
            let connection = &mut *self.connection.lock().await;
            let waiting: i64 = sqlx::query_scalar(sql).fetch_one(connection).await.expect("the server answers");
            (waiting > 0).then_some(())
        })
        .await;
    }
}

/// Three workers die, each between two chunks. The third one is one too many, so that somebody has to redrive the job, and
/// even then nothing is read twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_01_28_and_30_an_export_in_chunks_goes_on_where_three_killed_workers_were() {
    let (stage, table) = (Stage::open().await, Table::start().await);
    super::settings(stage.folder.path());
    let store = ArtifactStore::open(&StoreConfig::new(stage.storage().display().to_string())).expect("a local store");
    let hold = Hold::take(&table).await;
    let id = stage.add(stage.job("export.query", &json!({"dataset": "events", "format": "csv"}))).await;
    let start = |name: &str| {
        let mut command = stage.worker(1);
        command.env("DATABASE_URL", table.url());
        stage.start(command, name)
    };
    let mut kept: Vec<String> = Vec::new();
    for attempt in 1..=3 {
        let mut worker = start(&format!("worker-{attempt}"));
        let wanted = kept.len() + 4;
        loop {
            hold.until_asked(&format!("attempt {attempt} reads on; {}", worker.output())).await;
            let chunks = store.chunks(&stage.queue, &id).await.expect("a readable store");
            if chunks.len() >= wanted {
                break;
            }
            // Rows that come while it is under way stay out: the first chunk fixes the end.
            if !chunks.is_empty() {
                hold.run("INSERT INTO events SELECT max(id) + 1, 'late' FROM events").await;
            }
            hold.run("COMMIT; BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE").await;
        }
        worker.signal(Signal::Kill);
        worker.ended(PATIENCE).await;
        let chunks = store.chunks(&stage.queue, &id).await.expect("a readable store");
        assert!(chunks.len() >= wanted && chunks.len() < ROWS / CHUNK, "half way: {}", chunks.len());
        let keys: Vec<String> = chunks.into_iter().map(|chunk| chunk.file.key).collect();
        assert_eq!(keys[..kept.len()], kept, "earlier chunks are kept");
        assert!(keys[kept.len()..].iter().all(|key| key.contains(&format!("/{attempt}-"))), "{keys:?}");
        assert_eq!(store.existing(&stage.queue, &id).await.expect("a readable store"), None, "nothing is visible");
        kept = keys;
        eventually(&format!("attempt {attempt} is lost"), PATIENCE, async || {
            stage.broker.sweep(&stage.queue).await.expect("swept");
            (stage.view(&id).await.lost == attempt).then_some(())
        })
        .await;
    }
    let view = stage.view(&id).await;
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::WorkerLost)));
    hold.run("COMMIT").await;
    stage.broker.retry(&stage.queue, &id).await.expect("redriven");
    let _worker = start("worker-4");
    let view = stage.until_state(&id, State::Completed).await;
    assert_eq!((view.attempt, view.failed), (4, 0), "{:?}", view.errors);
    assert_each_once(&stage, &store, &id, &kept).await;
}

/// The manifest names the chunks that were kept and those of the fourth attempt, and together they hold every record once.
async fn assert_each_once(stage: &Stage, store: &ArtifactStore, id: &JobId, kept: &[String]) {
    let manifest = store.existing(&stage.queue, id).await.expect("a readable store").expect("a manifest");
    let keys: Vec<&str> = manifest.files.iter().map(|file| file.key.as_str()).collect();
    assert_eq!(
        (keys.len(), &keys[..kept.len()]),
        (ROWS / CHUNK, &kept.iter().map(String::as_str).collect::<Vec<_>>()[..])
    );
    assert!(keys[kept.len()..].iter().all(|key| key.contains("/4-")), "{keys:?}");
    store.verify_job(&stage.queue, id).await.expect("all files are whole");
    let mut records = Vec::new();
    for file in &manifest.files {
        let text = std::fs::read_to_string(store.local_path(&file.key).expect("a local store")).expect("readable");
        let (header, rest) = text.split_once('\n').expect("a header");
        assert_eq!(header, "id,what");
        records.extend(rest.lines().map(str::to_owned));
    }
    let expected: Vec<String> = (1..=ROWS).map(|id| format!("{id},event {id}")).collect();
    assert_eq!(records, expected, "every record once, in order, and none that came later");
}
