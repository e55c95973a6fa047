//! Exports from a PostgreSQL server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lovage_payloads::ExportQuery;
use lovage_testkit::{PostgresServer, eventually};
use lovage_worker::{Handler as _, JobError};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::bench::{Bench, discarded, job, retried};

async fn connect(server: &PostgresServer) -> PgConnection {
    PgConnection::connect(&server.url()).await.unwrap()
}

/// One server for all of these, one after the other: each would take two seconds to start its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn exports_from_postgres() {
    let server = PostgresServer::start();
    let bench = Arc::new(Bench::new(&server.url()));
    every_value_comes_out_as_the_server_writes_it(&bench).await;
    records_with_line_breaks_are_counted_once(&bench).await;
    wrong_queries_are_final_and_speak_the_servers_words(&server, &bench).await;
    no_text_escapes_from_its_parentheses(&server, &bench).await;
    a_failure_half_way_leaves_nothing(&bench).await;
    a_lost_connection_half_way_is_tried_again(&bench).await;
    a_cancelled_export_stops_the_servers_work(&server, &bench).await;
    row_30_an_export_sees_one_state_while_others_write(&server, &bench).await;
    the_operators_mistakes_are_tried_again(&server).await;
    let error = discarded(bench.export("huge", "select repeat('x', 70000000)").await);
    assert!(error.starts_with("rows: has 66 MiB in record 1"), "{error}");
    drop(server);
    let error = retried(bench.export("gone", "select 1").await);
    assert!(error.starts_with("source default cannot be reached: "), "{error}");
}

async fn every_value_comes_out_as_the_server_writes_it(bench: &Bench) {
    let sql = "select 9007199254740993::bigint as id, 0.20000000000000000000::numeric(30, 20) as amount, \
               0.1::float8 as ratio, null::text as nothing, '' as empty, '订单, \"1\"' as name, \
               '{\"b\": 1.0, \"a\": [1]}'::json as doc, '\\x00ff'::bytea as data, \
               timestamptz '2024-02-29 12:00:00+08' as at, '{1,NULL}'::int[] as list -- done\n ;";
    let result = bench.export("values", sql).await.unwrap();
    assert_eq!(
        bench.read(&result).await,
        "id,amount,ratio,nothing,empty,name,doc,data,at,list\n\
         9007199254740993,0.20000000000000000000,0.1,,\"\",\"订单, \"\"1\"\"\",\"{\"\"b\"\": 1.0, \"\"a\"\": [1]}\",\
         \\x00ff,2024-02-29 04:00:00+00,\"{1,NULL}\"\n"
    );
    assert_eq!(result.rows, 1);
    let file = bench.manifest("values").await.unwrap().files.remove(0);
    let types: Vec<&str> = file.columns.iter().map(|column| column.type_name.as_str()).collect();
    assert_eq!(types, ["INT8", "NUMERIC", "FLOAT8", "TEXT", "TEXT", "TEXT", "JSON", "BYTEA", "TIMESTAMPTZ", "INT4[]"]);
    let origin = file.origin.unwrap();
    assert!(origin.snapshot.unwrap().contains(':') && origin.engine == "postgres");
    assert_eq!(bench.text("empty", "values (1, 2) limit 0").await, "column1,column2\n");
}

async fn records_with_line_breaks_are_counted_once(bench: &Bench) {
    let sql = "select i, E'a\\nb\\n\\n\"c' as text from generate_series(1, 100000) i";
    let result = bench.export("lines", sql).await.unwrap();
    assert_eq!(result.rows, 100_000);
    assert_eq!(bench.read(&result).await.lines().count(), 400_001);
}

async fn wrong_queries_are_final_and_speak_the_servers_words(server: &PostgresServer, bench: &Bench) {
    connect(server).await.execute("create table t (i int); create sequence s").await.unwrap();
    for (sql, words) in [
        ("select from where", "syntax error at or near \"where\""),
        ("select * from nothere", "relation \"nothere\" does not exist; at character 15 (SQLSTATE 42P01)"),
        ("select nope from t", "column \"nope\" does not exist"),
        ("select 1 / 0", "division by zero (SQLSTATE 22012)"),
        ("select $1::int", "there is no parameter $1"),
        ("select nextval('s')", "read-only transaction"),
        ("with x as (insert into t values (1) returning i) select * from x", "read-only transaction"),
        ("select * from t for update", "read-only transaction"),
        ("select * into u from t", "has no columns"),
        ("delete from t", "begins with"),
        ("select", "has no columns"),
    ] {
        let error = discarded(bench.export("bad", sql).await);
        assert!(error.contains(words), "{sql}: {error}");
    }
    bench.nothing_is_left_of("bad").await;
}

/// What stands between the parentheses of COPY stays there.
async fn no_text_escapes_from_its_parentheses(server: &PostgresServer, bench: &Bench) {
    let proof = bench.folder.path().join("proof");
    let touch = format!("touch {}", proof.display());
    for sql in [
        format!("select 1) TO PROGRAM '{touch}' --"),
        format!("select 1) TO PROGRAM '{touch}'; copy (select 1"),
        "select 1) TO STDOUT; drop table t; copy (select 1".to_owned(),
        "select 1; drop table t".to_owned(),
        "select 1); commit; drop table t; begin; copy (select 1".to_owned(),
        "select 1 /* ) TO STDOUT; drop table t; -- */ ) TO STDOUT; drop table t; --".to_owned(),
        format!("select $a$ $a$) TO PROGRAM '{touch}' --"),
        format!("select U&'\\' UESCAPE '!') TO PROGRAM '{touch}' --"),
        "select set_config('transaction_read_only', 'off', false), lo_create(0)".to_owned(),
    ] {
        discarded(bench.export("escape", &sql).await);
    }
    // A server that reads backslashes as escapes sees other ends of texts than we do.
    let url = format!("{}?options=-c%20standard_conforming_strings%3Doff", server.url());
    let old = Bench::new(&url);
    for sql in [
        "select '\\') TO STDOUT; drop table t; --', 1".to_owned(),
        format!("select '\\'', ') TO PROGRAM ''{touch}'' --'"),
        format!("select 'a\\', 'b') TO PROGRAM '{touch}' --"),
    ] {
        let _ = old.export("escape", &sql).await;
    }
    assert!(!proof.exists(), "no program ran");
    let rows: i64 = sqlx::query_scalar("select count(*) from t").fetch_one(&mut connect(server).await).await.unwrap();
    assert_eq!(rows, 0, "and the table is still there");
}

async fn a_failure_half_way_leaves_nothing(bench: &Bench) {
    let sql = "select i, repeat('x', 200), 1 / (50000 - i) from generate_series(1, 60000) i";
    let error = discarded(bench.export("half", sql).await);
    assert!(error.contains("division by zero"), "{error}");
    bench.nothing_is_left_of("half").await;
}

async fn a_lost_connection_half_way_is_tried_again(bench: &Bench) {
    let sql = "select i, repeat('x', 200), case when i = 50000 then pg_terminate_backend(pg_backend_pid()) end \
               from generate_series(1, 60000) i";
    let error = retried(bench.export("cut", sql).await);
    assert!(error.contains("closed the connection"), "{error}");
    bench.nothing_is_left_of("cut").await;
}

async fn a_cancelled_export_stops_the_servers_work(server: &PostgresServer, bench: &Arc<Bench>) {
    const RUNNING: &str =
        "select count(*) from pg_stat_activity where state = 'active' and query like 'COPY (%pg_sleep%'";
    let watcher = tokio::sync::Mutex::new(connect(server).await);
    let running =
        || async { sqlx::query_scalar::<_, i64>(RUNNING).fetch_one(&mut *watcher.lock().await).await.unwrap() };
    let cancelled = job("cancelled", 1, 1);
    let (handler, context) = (Arc::clone(&bench.handler), cancelled.context());
    let export = tokio::spawn(async move { handler.run(ExportQuery::sql("select pg_sleep(600)"), context).await });
    let limit = Duration::from_secs(20);
    eventually("the server works on the query", limit, async || (running().await == 1).then_some(())).await;
    cancelled.cancel();
    let ended = export.await.unwrap();
    assert!(matches!(ended, Err(JobError::Cancelled)), "{ended:?}");
    eventually("the server has stopped", limit, async || (running().await == 0).then_some(())).await;
    bench.nothing_is_left_of("cancelled").await;
}

/// Row 30 of the failures: money moves between two tables all the time, its sum in an export never changes.
async fn row_30_an_export_sees_one_state_while_others_write(server: &PostgresServer, bench: &Bench) {
    let mut writer = connect(server).await;
    let sql = "create table a as select i as id, 100 as amount from generate_series(1, 20000) i; \
               create table b as select id, 0 as amount from a";
    writer.execute(sql).await.unwrap();
    let (stop, moves) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = {
        let (stop, moves) = (Arc::clone(&stop), Arc::clone(&moves));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let sql = "begin; update a set amount = amount - 1 where id % 7 = 0; \
                           update b set amount = amount + 1 where id % 7 = 0; commit";
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

async fn the_operators_mistakes_are_tried_again(server: &PostgresServer) {
    let bench = Bench::new(&format!("postgres://postgres@127.0.0.1:{}/nothere", server.port()));
    let error = retried(bench.export("1", "select 1").await);
    assert!(error.contains("database \"nothere\" does not exist"), "{error}");
}
