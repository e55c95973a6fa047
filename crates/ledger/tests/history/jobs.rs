//! Jobs to be recorded, and short ways to record and to find them.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::filter::Filter;
use lovage_core::history::{AttemptRecord, JobRecord, Outcome, RecordedError};
use lovage_core::{ErrorClass, JobView, Priority, QueueName, RawJson, State, Timestamp};
use lovage_ledger::{Found, Ledger, LedgerError, Page, Recorded, Search};

/// 2026-01-15T12:00:00.123Z.
pub const NOON: u64 = 1_768_478_400_123;
/// Milliseconds of a day.
pub const DAY: u64 = 86_400_000;
/// Time enough to look at everything.
pub const LONG: Duration = Duration::from_mins(1);

pub fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub fn raw(json: &str) -> RawJson {
    serde_json::value::RawValue::from_string(json.to_owned()).unwrap()
}

pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// A job of the queue `exports` that waits.
pub fn job(id: &str) -> JobView {
    JobView {
        id: name(id),
        queue: name("exports"),
        state: State::Available,
        kind: Some(name("export.query")),
        args: Some(raw("{}")),
        priority: Priority::default(),
        tenant: None,
        key: None,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        attempt: 0,
        failed: 0,
        max_attempts: None,
        retry: None,
        timeout_ms: None,
        lost: 0,
        enqueued_at: at(NOON),
        since: at(NOON),
        due_at: None,
        expires_at: None,
        started_at: None,
        lease_until: None,
        worker: None,
        cancel_requested: false,
        reason: None,
        progress: None,
        result: None,
        errors: Vec::new(),
    }
}

/// A job that was enqueued then, and is done.
pub fn done(id: &str, millis: u64) -> JobRecord {
    let (enqueued_at, since) = (at(millis), at(millis + 10));
    alone(JobView { state: State::Completed, enqueued_at, since, ..job(id) })
}

/// A job without attempts.
pub fn alone(job: JobView) -> JobRecord {
    JobRecord { job, attempts: Vec::new(), gone_at: None }
}

pub fn attempt(number: u32) -> AttemptRecord {
    AttemptRecord { attempt: number, ..AttemptRecord::default() }
}

pub fn error(millis: u64, message: &str) -> RecordedError {
    RecordedError { at: at(millis), class: ErrorClass::Failed, message: message.to_owned() }
}

/// An attempt of a release that failed then.
pub fn failed(number: u32, version: &str, error: RecordedError) -> AttemptRecord {
    AttemptRecord {
        version: Some(version.to_owned()),
        ended_at: Some(error.at),
        outcome: Some(Outcome::Retryable),
        error: Some(error),
        ..attempt(number)
    }
}

/// A page of term 1 without a position.
pub async fn write(ledger: &Ledger, jobs: &[JobRecord]) -> Recorded {
    let queue = jobs[0].job.queue.clone();
    ledger.record(&Page { queue: &queue, term: 1, position: None, jobs }).await.unwrap()
}

/// The job of whichever queue, as it is kept.
pub async fn read(ledger: &Ledger, id: &str) -> JobRecord {
    ledger.job_record(None, &name(id)).await.unwrap().unwrap()
}

pub fn exports() -> QueueName {
    name("exports")
}

pub fn filter(text: &str) -> Filter {
    Filter::parse(text, at(NOON)).unwrap()
}

pub fn ids(jobs: &[JobRecord]) -> Vec<&str> {
    jobs.iter().map(|record| record.job.id.as_str()).collect()
}

pub async fn ask(
    ledger: &Ledger,
    filter: &Filter,
    (limit, cursor): (u32, Option<&str>),
    patience: Duration,
) -> Result<Found, LedgerError> {
    ledger.search(&Search { filter, limit, cursor, patience }).await
}

/// The ids of all that a filter means, page by page.
pub async fn all(ledger: &Ledger, filter: &Filter, limit: u32, patience: Duration) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = ask(ledger, filter, (limit, cursor.as_deref()), patience).await.unwrap();
        assert!(page.jobs.len() <= limit as usize, "{} jobs", page.jobs.len());
        found.extend(page.jobs.iter().map(|record| record.job.id.to_string()));
        assert!(page.next.is_none() || page.next != cursor, "it goes on");
        cursor = page.next;
        if cursor.is_none() {
            assert_eq!(page.searched_to, None);
            return found;
        }
    }
}

/// The ids of what this text means.
pub async fn found(ledger: &Ledger, text: &str) -> Vec<String> {
    all(ledger, &filter(text), 500, LONG).await
}
