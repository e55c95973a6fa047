//! The history of jobs: written by the recorder page by page, searched by people.
//!
//! A job's row is the job as it was when it was last looked at, found by [`terms`]; attempts, failures and artifacts stand in
//! rows of their own. Everything is written once whatever is repeated: jobs by queue, id and the instant of their enqueue,
//! attempts and failures by job and number.

mod cursor;
mod failures;
mod more;
mod page;
mod postgres;
mod retention;
mod search;
mod seen;
mod sqlite;
pub(crate) mod stored;
mod terms;

use std::time::Duration;

use lovage_core::history::JobRecord;
use lovage_core::{JobId, JobView, QueueName, Timestamp};

pub use self::failures::{Failure, FailureQuery};
pub use self::page::{Page, Position, Recorded};
pub(crate) use self::postgres::Months;
pub use self::retention::PrunedJobs;
pub(crate) use self::retention::SLICE;
pub use self::search::{Found, Search};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Store, on};

/// How long a page is waited for.
const PATIENCE: Duration = Duration::from_secs(90);
/// Most ids of one call.
pub const MAX_FIND: usize = 1_000;
/// Attempts with which a job is read: its latest.
const MAX_ATTEMPTS: i64 = 50;

impl Ledger {
    /// Writes a page of history and moves the recorder's position in its queue, in one commit. Repeating it changes nothing.
    ///
    /// [`LedgerError::Deposed`] if another leader's term has begun. [`LedgerError::Refused`] if the database
    /// will not have the data, whatever is done.
    pub async fn record(&self, page: &Page<'_>) -> Result<Recorded, LedgerError> {
        let recorded = async {
            match &self.store {
                Store::Postgres(pool) => postgres::write::record(pool, &self.months, page).await,
                Store::Sqlite(pool) => sqlite::write::record(pool, page).await,
            }
        };
        tokio::time::timeout(PATIENCE, recorded)
            .await
            .unwrap_or_else(|_| Err(LedgerError::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()))))
    }

    /// Begins a leader's term: its number is the next one, also after the broker has forgotten all terms.
    pub async fn begin_term(&self) -> Result<u64, LedgerError> {
        let sql = "UPDATE leader SET term = term + 1 RETURNING term";
        let term: i64 = on!(self, |pool, _begin| async { sqlx::query_scalar(sql).fetch_one(pool).await })?;
        Ok(term as u64)
    }

    /// [`LedgerError::Deposed`] if another leader's term has begun: before what is done apart from the ledger's own statements.
    pub async fn check_term(&self, term: u64) -> Result<(), LedgerError> {
        let sql = "SELECT term FROM leader";
        let latest: i64 = on!(self, |pool, _begin| async { sqlx::query_scalar(sql).fetch_one(pool).await })?;
        if latest as u64 == term { Ok(()) } else { Err(LedgerError::Deposed) }
    }

    /// The queues that were ever recorded, by name.
    pub async fn recorded_queues(&self) -> Result<Vec<QueueName>, LedgerError> {
        let sql = "SELECT queue FROM recorder_positions ORDER BY queue";
        let names: Vec<String> = on!(self, |pool, _begin| async { sqlx::query_scalar(sql).fetch_all(pool).await })?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// How far the events of a queue are recorded; nothing of a queue that was never recorded.
    pub async fn position(&self, queue: &QueueName) -> Result<Option<Position>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::read::position(pool, queue).await,
            Store::Sqlite(pool) => sqlite::read::position(pool, queue).await,
        }
    }

    /// The latest jobs of a queue with these ids (at most [`MAX_FIND`]), as they were when they were last looked at; in no
    /// order, without their errors.
    pub async fn known_jobs(&self, queue: &QueueName, ids: &[JobId]) -> Result<Vec<JobView>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::read::known_jobs(pool, queue, ids).await,
            Store::Sqlite(pool) => sqlite::read::known_jobs(pool, queue, ids).await,
        }
    }

    /// Jobs of a queue that had not come to an end when they were last looked at, after `after`, oldest first, at most
    /// `limit`; without their errors.
    pub async fn unfinished(
        &self,
        queue: &QueueName,
        after: Option<&JobView>,
        limit: u32,
    ) -> Result<Vec<JobView>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::read::unfinished(pool, queue, after, limit).await,
            Store::Sqlite(pool) => sqlite::read::unfinished(pool, queue, after, limit).await,
        }
    }

    /// A job with its attempts: of a queue, or of whichever queue had one with this id last.
    pub async fn job_record(&self, queue: Option<&QueueName>, id: &JobId) -> Result<Option<JobRecord>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::read::job_record(pool, queue, id).await,
            Store::Sqlite(pool) => sqlite::read::job_record(pool, queue, id).await,
        }
    }

    /// A page of the jobs that a filter means, newest first.
    pub async fn search(&self, search: &Search<'_>) -> Result<Found, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::search::search(pool, search).await,
            Store::Sqlite(pool) => sqlite::search::search(pool, search).await,
        }
    }

    /// Groups of failures that are alike, the latest first.
    pub async fn failures(&self, query: &FailureQuery) -> Result<Vec<Failure>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::failures::failures(pool, query).await,
            Store::Sqlite(pool) => sqlite::failures::failures(pool, query).await,
        }
    }

    /// Removes one slice of what came to its end before `before`: jobs with all that belongs to them, counts of failures, and
    /// groups that nothing was added to since. Call again while it says that more is left.
    pub async fn prune_jobs(&self, before: Timestamp) -> Result<PrunedJobs, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::prune::prune(pool, &self.months, before).await,
            Store::Sqlite(pool) => sqlite::prune::prune(pool, before).await,
        }
    }
}
