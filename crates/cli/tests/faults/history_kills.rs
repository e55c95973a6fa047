//! History while everything around its recorder is killed: each job is in it once, with its end, and each failure is counted once.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::filter::Filter;
use lovage_core::history::JobRecord;
use lovage_core::{NewJob, RetryPolicy, State, Timestamp};
use lovage_ledger::{FailureQuery, Ledger, LedgerAddress, Search, migrate};
use lovage_testkit::{PostgresServer, RedisServer, Signal, eventually};
use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::postgres::{crash, durable};
use crate::stage::{PATIENCE, Stage};

const ROUNDS: u64 = 6;
/// Jobs of one round.
const JOBS: u64 = 1_500;
/// Bytes of their arguments: enough that most of the time something is being written.
const BYTES: usize = 8_000;
/// Every so many jobs fail twice, and are completed then.
const FAIL: u64 = 10;

/// Rows 01 and 16: whoever records, Redis and PostgreSQL are killed with SIGKILL in turns while 9,000 jobs run.
#[tokio::test]
async fn row_01_kill_9_of_recorder_redis_and_postgres_loses_and_doubles_no_history() {
    let mut stage = Stage::with(RedisServer::start_with(&["--appendonly", "yes"])).await;
    let postgres = PostgresServer::start();
    let options = durable(&postgres).await;
    let address: LedgerAddress = postgres.url().parse().expect("an address");
    migrate(&address).await.expect("the ledger is made");
    let ledger = Ledger::open(&address).await.expect("the ledger opens");

    let _worker = stage.start(stage.worker(8), "worker");
    let mut scheduler = stage.start(stage.scheduler(&postgres.url()), "scheduler");
    for round in 0..ROUNDS {
        let jobs = (0..JOBS).map(|number| job(&stage, number)).collect();
        stage.broker.enqueue(jobs).await.expect("enqueue answers");
        let before = recorded(&options).await.expect("it answers");
        eventually("some are recorded", PATIENCE, async || recorded(&options).await.filter(|now| *now > before)).await;
        match round % 3 {
            0 => {
                stage.server.kill9();
                stage.server.restart();
            }
            1 => {
                scheduler.signal(Signal::Kill);
                scheduler.ended(PATIENCE).await;
                scheduler = stage.start(stage.scheduler(&postgres.url()), "scheduler");
            }
            _ => crash(&options, "jobs").await,
        }
    }
    let total = ROUNDS * JOBS;
    stage.until_counts("all have ended", |counts| counts.completed == total).await;
    // A look may show a job's end before the events that led there are recorded.
    let records = eventually("all ends and attempts are recorded", PATIENCE, async || {
        let records = search(&ledger, "").await.ok()?;
        let is_whole = |record: &JobRecord| {
            record.job.state == State::Completed && record.attempts.len() == record.job.attempt as usize
        };
        (records.len() as u64 == total && records.iter().all(is_whole)).then_some(records)
    })
    .await;
    let by_id: BTreeMap<_, _> = records.iter().map(|record| (&record.job.id, record)).collect();
    assert_eq!(by_id.len() as u64, total, "each job is there once");
    let mut failed = 0;
    for (id, record) in by_id {
        let view = stage.view(id).await;
        assert_eq!((record.job.state, record.job.attempt), (State::Completed, view.attempt), "{id}");
        let numbers: Vec<u32> = record.attempts.iter().map(|attempt| attempt.attempt).collect();
        assert_eq!(numbers, (1..=view.attempt).collect::<Vec<_>>(), "{id} has each of its attempts once");
        failed += view.errors.len() as u64;
    }
    let groups = ledger.failures(&FailureQuery { limit: 100, ..FailureQuery::default() }).await.expect("it answers");
    assert!(failed >= total / FAIL * 2, "{failed} attempts have failed");
    assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), failed, "{groups:?}");
}

fn job(stage: &Stage, number: u64) -> NewJob {
    let message = format!("no answer from {number}: {}", "x".repeat(BYTES));
    let times = if number.is_multiple_of(FAIL) { 2 } else { 0 };
    let mut job = stage.job("debug.fail", &json!({ "times": times, "message": message }));
    job.retry = Some(RetryPolicy { base_ms: 10, cap_ms: 10, ..RetryPolicy::default() });
    job
}

/// Jobs in the history, if the server answers.
async fn recorded(options: &PgConnectOptions) -> Option<i64> {
    let mut connection = options.connect().await.ok()?;
    sqlx::query_scalar("SELECT count(*) FROM lovage.jobs").fetch_one(&mut connection).await.ok()
}

async fn search(ledger: &Ledger, filter: &str) -> Result<Vec<JobRecord>, lovage_ledger::LedgerError> {
    let filter = Filter::parse(filter, Timestamp::default()).expect("a filter");
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let patience = Duration::from_secs(30);
        let found = ledger.search(&Search { filter: &filter, limit: 500, cursor: cursor.as_deref(), patience }).await?;
        all.extend(found.jobs);
        cursor = found.next;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}
