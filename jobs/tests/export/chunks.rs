//! Exports in chunks: an attempt goes on where the last one died.

use std::sync::Arc;
use std::time::Duration;

use lovage_artifacts::SweepOptions;
use lovage_core::Timestamp;
use lovage_payloads::{ExportFormat, ExportQuery, ExportResult};
use lovage_testkit::{PostgresServer, eventually};
use lovage_worker::testing::DetachedJob;
use lovage_worker::{Handler as _, JobError};
use serde_json::Map;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::bench::{Bench, discarded, job};

const DATASETS: &str = r#"
    [datasets.events]
    sql = "select id, 'event ' || id as what from events"
    chunks = { key = "id", rows = 10 }

    [datasets.limited]
    sql = "select id from events"
    chunks = { key = "id", rows = 10 }
    row_limit = 25

    [datasets.wrong]
    sql = "select id from events"
    chunks = { key = "nope" }

    [datasets.twins]
    sql = "select id / 2 as id from events"
    chunks = { key = "id", rows = 10 }

    [datasets.twin_at_the_end]
    sql = "select case id when 11 then 10 else id end as id from events"
    chunks = { key = "id", rows = 10 }

    [datasets.texts_as_integers]
    sql = "select 'b' || id as id from events"
    chunks = { key = "id", rows = 10 }

    [datasets.null]
    sql = "select null as id, what from (select 1 as what) t"
    chunks = { key = "id", rows = 10 }
"#;

fn events(format: ExportFormat) -> ExportQuery {
    ExportQuery { format: Some(format), ..ExportQuery::dataset("events", Map::new()) }
}

async fn sqlite(rows: u32) -> (tempfile::TempDir, SqliteConnection, Bench) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    connection.execute("create table events (id integer primary key)").await.unwrap();
    add(&mut connection, 1, rows).await;
    let bench = Bench::new(&format!("sqlite:{}", file.display())).with_datasets(DATASETS);
    (folder, connection, bench)
}

async fn add(connection: &mut SqliteConnection, from: u32, to: u32) {
    let sql = format!(
        "insert into events with recursive n(i) as (select {from} union all select i + 1 from n where i < {to}) select i from n"
    );
    connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
}

/// All records of all files, in order.
async fn records(bench: &Bench, id: &str) -> Vec<String> {
    let mut records = Vec::new();
    for file in bench.manifest(id).await.unwrap().files {
        let text = bench.read_key(&file.key).await;
        assert_eq!(text.lines().next(), Some("id,what"));
        assert_eq!(text.lines().count() as u64 - 1, file.rows.unwrap());
        records.extend(text.lines().skip(1).map(str::to_owned));
    }
    records
}

fn expected(rows: u32) -> Vec<String> {
    (1..=rows).map(|id| format!("{id},event {id}")).collect()
}

/// Runs an attempt that loses its lease once it has committed `chunks` chunks.
async fn dies_after(bench: &Bench, attempt: &DetachedJob, chunks: usize) -> Result<ExportResult, JobError> {
    let (handler, context) = (Arc::clone(&bench.handler), attempt.context());
    let running = tokio::spawn(async move { handler.run(events(ExportFormat::Csv), context).await });
    let (queue, id) = (attempt.context().queue().clone(), attempt.context().id().clone());
    eventually("the chunks are committed", Duration::from_secs(20), async || {
        let found = bench.store.chunks(&queue, &id).await.unwrap().len();
        (found >= chunks || running.is_finished()).then_some(())
    })
    .await;
    attempt.lose_lease();
    running.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_goes_on_behind_the_chunks_of_the_last_one() {
    let (_folder, mut connection, bench) = sqlite(9_995).await;
    let first = job("events", 1, 7);
    let died = dies_after(&bench, &first, 3).await;
    assert!(matches!(died, Err(JobError::Retry(_) | JobError::Cancelled)), "it was to die half way: {died:?}");
    assert_eq!(bench.manifest("events").await, None, "nothing is visible");
    // What is added now is behind the end that the first chunk has fixed.
    add(&mut connection, 9_996, 12_000).await;
    let result = bench.run(&job("events", 2, 9), events(ExportFormat::Csv)).await.unwrap();
    assert_eq!((result.rows, result.files, result.attempt), (9_995, 1_000, 2));
    assert!(result.key.ends_with("/events/manifest.json"), "{}", result.key);
    assert_eq!(records(&bench, "events").await, expected(9_995));
    let manifest = bench.manifest("events").await.unwrap();
    let attempts: Vec<bool> = manifest.files.iter().map(|file| file.key.contains("/1-7/")).collect();
    let from_first = attempts.iter().filter(|first| **first).count();
    assert!((3..1_000).contains(&from_first), "{from_first} of the chunks are the first attempt's");
    assert!(attempts.is_sorted_by(|a, b| a >= b), "the first ones");
    assert!(manifest.files[0].name == "events-0001.csv" && manifest.files[999].name == "events-1000.csv");
    assert!(bench.orphans().await.iter().all(|key| !key.contains(".csv")), "{:?}", bench.orphans().await);
    assert!(bench.store.chunks(&manifest.queue, &manifest.job).await.unwrap().is_empty(), "records are forgotten");
    bench.store.verify(&result.key).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_run_at_once_agree_on_every_chunk() {
    let (_folder, _connection, bench) = sqlite(300).await;
    let attempts = (1..=3).map(|attempt| {
        let (handler, context) = (Arc::clone(&bench.handler), job("raced", attempt, u64::from(attempt)).context());
        tokio::spawn(async move { handler.run(events(ExportFormat::Csv), context).await })
    });
    let mut results = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        // An attempt may find the records gone, because another has published: then it is tried again and finds the manifest.
        if let Ok(result) = attempt.await.unwrap() {
            results.push(result);
        }
    }
    assert!(!results.is_empty() && results.iter().all(|result| result.sha256 == results[0].sha256), "{results:?}");
    assert_eq!(records(&bench, "raced").await, expected(300));
}

#[tokio::test]
async fn whole_numbers_of_chunks_and_nothing_at_all() {
    let (_folder, _connection, bench) = sqlite(20).await;
    let result = bench.run(&job("even", 1, 1), events(ExportFormat::Csv)).await.unwrap();
    assert_eq!((result.rows, result.files), (20, 2), "no empty chunk at the end");
    let (_folder, _connection, bench) = sqlite(1).await;
    let result = bench.run(&job("one", 1, 1), events(ExportFormat::Jsonl)).await.unwrap();
    assert_eq!((result.rows, result.files), (1, 1));
    let (_folder, mut connection, bench) = sqlite(1).await;
    connection.execute("delete from events").await.unwrap();
    let result = bench.run(&job("none", 1, 1), events(ExportFormat::Csv)).await.unwrap();
    assert_eq!((result.rows, result.files), (0, 1), "a header");
    assert_eq!(records(&bench, "none").await, Vec::<String>::new());
}

#[tokio::test]
async fn chunks_that_cannot_be_are_refused() {
    let (_folder, _connection, bench) = sqlite(40).await;
    let run = async |id: &str, dataset: &str| {
        discarded(bench.run(&job(id, 1, 1), ExportQuery::dataset(dataset, Map::new())).await)
    };
    let limited = run("limited", "limited").await;
    assert!(limited.starts_with("rows: are more than 25, the dataset's row_limit"), "{limited}");
    assert!(run("wrong", "wrong").await.contains("no such column: q.nope"));
    let null = run("null", "null").await;
    assert!(null.starts_with("chunks.key: \"id\" is null in a record"), "{null}");
    for (id, dataset) in [("twins", "twins"), ("twin", "twin_at_the_end")] {
        let twins = run(id, dataset).await;
        assert!(twins.contains("whose values are unique"), "{twins}");
    }
    let texts = run("texts", "texts_as_integers").await;
    assert!(texts.contains("is not an integer; declare the type that the column has"), "{texts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_another_export_are_not_continued() {
    let (_folder, _connection, bench) = sqlite(9_995).await;
    dies_after(&bench, &job("events", 1, 7), 2).await.unwrap_err();
    // The same id again, in another format: as if the dataset had been changed between two attempts.
    let result = bench.run(&job("events", 2, 9), events(ExportFormat::Jsonl)).await.unwrap();
    let manifest = bench.manifest("events").await.unwrap();
    assert_eq!((result.rows, manifest.files.len()), (9_995, 1_000));
    assert!(manifest.files.iter().all(|file| file.key.contains("/2-9/") && file.name.contains(".jsonl")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_whose_file_is_gone_is_written_again() {
    let (_folder, _connection, bench) = sqlite(9_995).await;
    let first = job("events", 1, 7);
    dies_after(&bench, &first, 2).await.unwrap_err();
    let chunks = bench.store.chunks(first.context().queue(), first.context().id()).await.unwrap();
    bench.store.remove(&chunks[0].file.key).await.unwrap();
    let result = bench.run(&job("events", 2, 9), events(ExportFormat::Csv)).await.unwrap();
    assert_eq!((result.rows, records(&bench, "events").await), (9_995, expected(9_995)));
}

/// A job that can run no more leaves chunks; the sweeper takes their records first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweeper_takes_the_chunks_of_a_job_that_can_run_no_more() {
    let (_folder, _connection, bench) = sqlite(9_995).await;
    let first = job("events", 1, 7);
    dies_after(&bench, &first, 2).await.unwrap_err();
    let (queue, id) = (first.context().queue().clone(), first.context().id().clone());
    let later = SweepOptions::at(Timestamp::from_millis(4_000_000_000_000));
    bench.store.sweep_orphans(later, async |_, _| true).await.unwrap();
    assert!(bench.store.chunks(&queue, &id).await.unwrap().len() >= 2, "a live job keeps them");
    let sweep = SweepOptions { limit: usize::MAX, ..later };
    bench.store.sweep_orphans(sweep, async |_, _| false).await.unwrap();
    assert!(bench.store.chunks(&queue, &id).await.unwrap().is_empty());
    assert!(bench.orphans().await.is_empty(), "{:?}", bench.orphans().await);
    let result = bench.run(&job("events", 2, 9), events(ExportFormat::Csv)).await.unwrap();
    assert_eq!((result.rows, records(&bench, "events").await.len()), (9_995, 9_995), "a redriven job begins anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_postgres_by_uuid_and_text() {
    let server = PostgresServer::start();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let sql = "create table events (id uuid primary key, name text, amount numeric(10, 2)); \
               insert into events select gen_random_uuid(), 'e''' || lpad(i::text, 4, '0'), i from generate_series(1, 95) i";
    connection.execute(sql).await.unwrap();
    let datasets = r#"
        [datasets.by_id]
        sql = "select * from events"
        chunks = { key = "id", type = "uuid", rows = 30 }
        [datasets.by_name]
        sql = "select name, amount from events where amount > :least"
        params.least = { type = "number" }
        chunks = { key = "name", type = "text", rows = 40 }
    "#;
    let bench = Bench::new(&server.url()).with_datasets(datasets);
    let result = bench.run(&job("id", 1, 1), ExportQuery::dataset("by_id", Map::new())).await.unwrap();
    assert_eq!((result.rows, result.files), (95, 4));
    let mut params = Map::new();
    params.insert("least".to_owned(), 5.into());
    let result = bench.run(&job("name", 1, 1), ExportQuery::dataset("by_name", params)).await.unwrap();
    assert_eq!((result.rows, result.files), (90, 3));
    let mut names = Vec::new();
    for file in bench.manifest("name").await.unwrap().files {
        let text = bench.read_key(&file.key).await;
        names.extend(text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()));
    }
    let expected: Vec<String> = (6..=95).map(|i| format!("e'{i:04}")).collect();
    assert_eq!(names, expected);
}
