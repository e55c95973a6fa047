//! Exports from a SQLite file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lovage_payloads::ExportQuery;
use lovage_testkit::eventually;
use lovage_worker::{Handler as _, JobError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tempfile::TempDir;

use crate::bench::{Bench, discarded, job, retried};

struct Database {
    _folder: TempDir,
    file: PathBuf,
}

impl Database {
    /// A database made by these statements.
    async fn with(sql: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Self { file: folder.path().join("shop.db"), _folder: folder };
        database.connect().await.execute(sql).await.unwrap();
        database
    }

    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(&self.file).create_if_missing(true);
        SqliteConnection::connect_with(&options.journal_mode(SqliteJournalMode::Wal)).await.unwrap()
    }

    fn bench(&self) -> Bench {
        Bench::new(&format!("sqlite:{}", self.file.display()))
    }
}

const SAMPLE: &str = "
    CREATE TABLE t (id INTEGER, name TEXT, price REAL, data BLOB, any);
    INSERT INTO t VALUES
        (9223372036854775807, '订单, \"1\"', 0.1, x'00ff', NULL),
        (-1, '', 1e300, x'', 'line' || char(10) || 'break'),
        (NULL, NULL, NULL, NULL, 7);
";

#[tokio::test]
async fn every_value_comes_out_as_it_is() {
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    let result = bench.export("1", "select * from t -- all of it\n;").await.unwrap();
    assert_eq!(
        bench.read(&result).await,
        "id,name,price,data,any\n\
         9223372036854775807,\"订单, \"\"1\"\"\",0.1,\\x00ff,\n\
         -1,\"\",1e+300,\\x,\"line\nbreak\"\n\
         ,,,,7\n"
    );
    assert_eq!((result.rows, result.name.as_str(), result.attempt), (3, "export.csv", 1));
    assert_eq!(result.location, bench.folder.path().join(&result.key).display().to_string());
    let file = bench.manifest("1").await.unwrap().files.remove(0);
    let columns: Vec<(String, String)> = file.columns.into_iter().map(|c| (c.name, c.type_name)).collect();
    assert_eq!(columns[0], ("id".to_owned(), "INTEGER".to_owned()));
    assert_eq!(columns[4].1, "ANY");
    assert_eq!((file.rows, file.content_type.as_str()), (Some(3), "text/csv; charset=utf-8"));
    let origin = file.origin.unwrap();
    assert_eq!((origin.source.as_str(), origin.engine.as_str()), ("default", "sqlite"));
    assert!(bench.orphans().await.is_empty());
}

#[tokio::test]
async fn a_query_without_rows_makes_a_file_with_a_header() {
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    assert_eq!(bench.text("1", "select id as \"a,b\", name from t where id = 5").await, "\"a,b\",name\n");
}

#[tokio::test]
async fn the_file_has_the_name_that_was_asked_for() {
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    let query = |name: &str| ExportQuery { name: Some(name.to_owned()), ..ExportQuery::sql("select 1") };
    let result = bench.run(&job("1", 1, 1), query("订单 2024.csv")).await.unwrap();
    assert!(result.key.ends_with("/订单 2024.csv"), "{}", result.key);
    let error = discarded(bench.run(&job("2", 1, 1), query("../../etc/passwd")).await);
    assert!(error.starts_with("name: "), "{error}");
}

#[tokio::test]
async fn wrong_queries_are_final_and_speak_the_databases_words() {
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    for (sql, words) in [
        ("select from", "syntax error"),
        ("select * from nothere", "no such table: nothere"),
        ("select nope from t", "no such column: nope"),
        ("with x as (select 1) delete from t", "readonly database"),
        ("select 1; delete from t", "more than one statement"),
        ("delete from t", "begins with"),
        ("attach 'evil.db' as evil", "begins with"),
        ("select load_extension('x')", "not authorized"),
        ("select cast(x'ff' as text) as word", "column \"word\" of record 1: the text is not valid UTF-8"),
    ] {
        let error = discarded(bench.export("bad", sql).await);
        assert!(error.contains(words), "{sql}: {error}");
    }
    bench.nothing_is_left_of("bad").await;
    assert_eq!(bench.text("count", "select count(*) from t").await, "count(*)\n3\n");
}

#[tokio::test]
async fn a_missing_file_is_tried_again_and_an_unknown_source_is_not() {
    let bench = Bench::new("sqlite:/nowhere/shop.db");
    let error = retried(bench.export("1", "select 1").await);
    assert!(error.contains("source default") && error.contains("unable to open database file"), "{error}");
    let query = ExportQuery { source: Some("crm".to_owned()), ..ExportQuery::sql("select 1") };
    let error = discarded(bench.run(&job("2", 1, 1), query).await);
    assert_eq!(error, "source: \"crm\" is not configured on this worker; use one of: default");
}

/// Row 28 of the failures: three attempts of one job at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn row_28_three_attempts_at_once_make_one_file_and_one_manifest() {
    let database = Database::with(SAMPLE).await;
    let bench = Arc::new(database.bench());
    let sql = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) select i from n";
    let runs: Vec<_> = (1..=3_u32)
        .map(|attempt| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move {
                bench.run(&job("raced", attempt, u64::from(attempt)), ExportQuery::sql(sql)).await.unwrap()
            })
        })
        .collect();
    let mut results = Vec::new();
    for run in runs {
        results.push(run.await.unwrap());
    }
    assert!(results.iter().all(|result| *result == results[0] && result.rows == 20_000), "{results:?}");
    bench.store.verify("jobs/exports/raced/manifest.json").await.unwrap();
    assert!(bench.orphans().await.is_empty(), "the losers removed their files");
}

/// Row 28: a second run after the first has published answers with what is there and reads nothing.
#[tokio::test]
async fn row_28_a_second_run_finds_the_file_of_the_first() {
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    let first = bench.export("1", "select count(*) from t").await.unwrap();
    database.connect().await.execute("drop table t").await.unwrap();
    let second = bench.run(&job("1", 2, 9), ExportQuery::sql("select count(*) from t")).await.unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn an_attempt_that_lost_its_lease_publishes_nothing() {
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    let lost = job("lost", 1, 1);
    lost.lose_lease();
    let ended = bench.run(&lost, ExportQuery::sql("select * from t")).await;
    // Whatever it answers, its worker writes nothing for a lease that is lost.
    assert!(matches!(ended, Err(JobError::Retry(_))), "{ended:?}");
    bench.nothing_is_left_of("lost").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_answers_no_rows_for_hours_is_cancelled_and_ends() {
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    let endless = "with recursive n(i) as (select id from t union all select i + 1 from n) select max(i) from n";
    let cancelled = job("endless", 1, 1);
    let (handler, context) = (Arc::clone(&bench.handler), cancelled.context());
    let running = tokio::spawn(async move { handler.run(ExportQuery::sql(endless), context).await });

    // A log that cannot be cut off shows that somebody still reads the state before it.
    let mut other = database.connect().await;
    other.execute("pragma busy_timeout = 0").await.unwrap();
    let other = tokio::sync::Mutex::new(other);
    let being_read = async || {
        let mut other = other.lock().await;
        let (busy,): (bool,) = sqlx::query_as("pragma wal_checkpoint(truncate)").fetch_one(&mut *other).await.unwrap();
        other.execute("insert into t (id) values (1)").await.unwrap();
        busy
    };
    let limit = Duration::from_secs(20);
    eventually("the query runs", limit, async || being_read().await.then_some(())).await;
    cancelled.cancel();
    let ended = running.await.unwrap();
    assert!(matches!(ended, Err(JobError::Cancelled)), "{ended:?}");
    eventually("the query has ended", limit, async || (!being_read().await).then_some(())).await;
    bench.nothing_is_left_of("endless").await;
}

/// Row 30 of the failures: money moves between two tables all the time, its sum in an export never changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn row_30_an_export_sees_one_state_while_others_write() {
    let database = Database::with(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, amount INTEGER);
         CREATE TABLE b (id INTEGER PRIMARY KEY, amount INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO a SELECT i, 100 FROM n;
         INSERT INTO b SELECT id, 0 FROM a;",
    )
    .await;
    let bench = database.bench();
    let (stop, moves) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writer = database.connect().await;
    let writing = {
        let (stop, moves) = (Arc::clone(&stop), Arc::clone(&moves));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let sql = "BEGIN; UPDATE a SET amount = amount - 1 WHERE id % 7 = 0; \
                           UPDATE b SET amount = amount + 1 WHERE id % 7 = 0; COMMIT";
                writer.execute(sql).await.unwrap();
                moves.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let mut overlapped = 0;
    for round in 0..5 {
        let before = moves.load(Ordering::Relaxed);
        let text = bench.text(&format!("r{round}"), "select amount from a union all select amount from b").await;
        overlapped += moves.load(Ordering::Relaxed) - before;
        let sum: i64 = text.lines().skip(1).map(|line| line.parse::<i64>().unwrap()).sum();
        assert_eq!((text.lines().count(), sum), (40_001, 2_000_000));
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    assert!(overlapped > 0, "the writer wrote while exports ran");
}

#[tokio::test]
async fn an_id_that_was_used_is_not_answered_with_somebody_elses_file() {
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    bench.export("1", "select id from t").await.unwrap();
    let other = bench.run(&job("1", 1, 1), ExportQuery::sql("select name from t")).await;
    assert!(discarded(other).starts_with("id: was used before for an export with other arguments"));
    let tenant = job("1", 1, 1).with_tenant("acme".parse().unwrap());
    let other = bench.run(&tenant, ExportQuery::sql("select id from t")).await;
    assert!(discarded(other).starts_with("id: was used before"));
}

#[tokio::test]
async fn a_file_that_was_deleted_is_not_answered_as_if_it_were_there() {
    use lovage_artifacts::{DeleteOptions, DeletedBy};
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    bench.export("1", "select id from t").await.unwrap();
    let now = lovage_core::Timestamp::from_millis(1_700_000_000_000);
    let order = DeleteOptions { by: DeletedBy::Request, reason: None, now };
    bench.store.delete(&"exports".parse().unwrap(), &"1".parse().unwrap(), &order).await.unwrap();
    let error = discarded(bench.export("1", "select id from t").await);
    assert!(error.contains("were deleted"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_takes_too_long_is_stopped_and_says_so() {
    let database = Database::with(SAMPLE).await;
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) as top from n";
    let datasets = format!("[datasets.endless]\nsql = \"{endless}\"\ntimeout = \"1s\"\n");
    let bench = database.bench().with_datasets(&datasets);
    let error = retried(bench.run(&job("1", 1, 1), ExportQuery::dataset("endless", serde_json::Map::new())).await);
    assert!(error.contains("the query took longer than its timeout, 1s"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_very_wide_table_is_no_trouble_for_a_format_that_writes_at_once() {
    let database = Database::with(SAMPLE).await;
    let columns: Vec<String> =
        (0..1_500).map(|n| format!("1 as a_rather_long_name_for_a_column_{}_{n}", "x".repeat(150))).collect();
    let query = ExportQuery {
        format: Some(lovage_payloads::ExportFormat::Arrow),
        ..ExportQuery::sql(format!("select {}", columns.join(", ")))
    };
    let result = database.bench().run(&job("1", 1, 1), query).await.unwrap();
    assert_eq!(result.rows, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_would_not_fit_into_memory_is_refused() {
    let database = Database::with(SAMPLE).await;
    let bench = database.bench();
    let error = discarded(bench.export("1", "select 1 union all select zeroblob(70000000)").await);
    assert!(error.starts_with("rows: has 66 MiB in record 2, and 64 MiB are the most"), "{error}");
    bench.nothing_is_left_of("1").await;
}
