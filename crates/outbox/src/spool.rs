//! A producer that survives an outage of the broker: what cannot be handed in now waits in a local file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{BrokerError, EnqueueOutcome, Producer, Refused};
use lovage_core::limits::MAX_PAYLOAD_BYTES;
use lovage_core::{Clock, Entropy, JobId, NewJob};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tracing::warn;

use crate::address::{Address, Place};
use crate::error::OutboxError;
use crate::outbox::Outbox;
use crate::relay::{Relay, RelayConfig};
use crate::row::NewRow;
use crate::sqlite::SqliteTable;

/// How a producer spools.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// The file. Several processes of one machine may share it.
    pub path: PathBuf,
    /// How long the broker may take before a job is spooled instead.
    pub deadline: Duration,
    /// Most jobs in the file.
    pub max_jobs: u64,
    /// Most bytes of their arguments and options.
    pub max_bytes: u64,
    /// Largest arguments of one job.
    pub max_payload_bytes: usize,
}

impl SpoolConfig {
    /// With the default bounds: two seconds, 100,000 jobs, 256 MiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            deadline: Duration::from_secs(2),
            max_jobs: 100_000,
            max_bytes: 256 * 1024 * 1024,
            max_payload_bytes: MAX_PAYLOAD_BYTES,
        }
    }
}

/// What became of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// The broker has answered.
    Answered(EnqueueOutcome),
    /// It is in the file, under this id, and on disk; a relay will send it.
    Spooled(JobId),
    /// The broker is away and the file is full.
    NoRoom(NoRoom),
}

/// The bounds that keep a spool from taking more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the broker cannot be reached and the spool is full ({max_jobs} jobs or {max_bytes} bytes); try again when the broker \
     is back, or allow the spool more"
)]
pub struct NoRoom {
    /// Most jobs.
    pub max_jobs: u64,
    /// Most bytes.
    pub max_bytes: u64,
}

/// A producer with a spool.
pub struct Spooled {
    config: SpoolConfig,
    jobs: Arc<dyn Producer>,
    table: SqliteTable,
    address: Address,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Spooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spooled").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Spooled {
    /// Opens the file, and creates it if it is not there. `clock` and `entropy` make ids for jobs without one.
    pub async fn open(
        config: SpoolConfig,
        jobs: Arc<dyn Producer>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OutboxError> {
        let options = SqliteConnectOptions::new().filename(&config.path);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let address = Address(Place::Sqlite(Box::new(options.clone())));
        let table = SqliteTable::new(&address, &options);
        table.init_spool().await?;
        Ok(Self { config, jobs, table, address, clock, entropy })
    }

    /// Hands jobs in, or spools them if the broker does not answer in time; one answer per job, in order. Jobs of a
    /// queue of which something waits in the file already go behind it, so their order is kept.
    ///
    /// After an error the call may be repeated; with ids of your own, repeating it doubles nothing.
    pub async fn enqueue(&self, mut jobs: Vec<NewJob>) -> Result<Vec<Handed>, OutboxError> {
        let mut behind = BTreeSet::new();
        for queue in jobs.iter().map(|job| job.queue.clone()).collect::<BTreeSet<_>>() {
            if self.table.waits(queue.as_str()).await? {
                behind.insert(queue);
            }
        }
        for job in &mut jobs {
            // Before the first attempt: an answer that was lost must not make a second job of it.
            job.id.get_or_insert_with(|| JobId::generate(self.clock.now(), &*self.entropy));
        }
        let waits = |(_, job): &(usize, NewJob)| behind.contains(&job.queue);
        let (mut late, now): (Vec<_>, Vec<_>) = jobs.into_iter().enumerate().partition(waits);
        let mut handed = Vec::new();
        match self.try_now(now.iter().map(|(_, job)| job.clone()).collect()).await? {
            Some(outcomes) => {
                handed.extend(now.iter().map(|(at, _)| *at).zip(outcomes.into_iter().map(Handed::Answered)));
            }
            None => late.extend(now),
        }
        late.sort_by_key(|(at, _)| *at);
        handed.extend(self.spool(late).await?);
        handed.sort_by_key(|(at, _)| *at);
        Ok(handed.into_iter().map(|(_, handed)| handed).collect())
    }

    /// Sends what is in the file: `run` it in the background, or `drain` it. A relay of another process does the same.
    pub fn relay(&self, confirm_after: Option<Duration>) -> Relay {
        let max_payload_bytes = self.config.max_payload_bytes;
        let config = RelayConfig { max_payload_bytes, confirm_after, ..RelayConfig::default() };
        Relay::new(self.outbox(), self.jobs.clone(), config)
    }

    /// The file as an outbox, to look at.
    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.address.clone())
    }

    /// The broker's answers, or nothing if it is away.
    async fn try_now(&self, jobs: Vec<NewJob>) -> Result<Option<Vec<EnqueueOutcome>>, OutboxError> {
        if jobs.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let silent = || BrokerError::Unavailable(format!("no answer within {} ms", self.config.deadline.as_millis()));
        let answer = tokio::time::timeout(self.config.deadline, self.jobs.enqueue(jobs)).await;
        match answer.unwrap_or_else(|_| Err(silent())) {
            Ok(outcomes) => Ok(Some(outcomes)),
            Err(error) if error.is_transient() => {
                warn!(%error, spool = %self.address, "the broker is away, jobs wait in the spool");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what is valid; all of it, or nothing if it does not fit.
    async fn spool(&self, jobs: Vec<(usize, NewJob)>) -> Result<Vec<(usize, Handed)>, OutboxError> {
        let (mut handed, mut rows) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
        for (at, job) in jobs {
            // A mistake is told at once, and not found by a relay hours later.
            let valid = job.validate(self.config.max_payload_bytes);
            match valid.and_then(|()| job.id.as_ref().map(|id| NewRow::of(id, &job)).transpose()) {
                Ok(Some(row)) => {
                    handed.push((at, Handed::Spooled(row.id.clone())));
                    rows.push(row);
                }
                Ok(None) => {}
                Err(invalid) => handed.push((at, Handed::Answered(EnqueueOutcome::Refused(Refused::Invalid(invalid))))),
            }
        }
        let SpoolConfig { max_jobs, max_bytes, .. } = self.config;
        if rows.is_empty() || self.table.insert(&rows, max_jobs, max_bytes).await? {
            return Ok(handed);
        }
        let full = |(at, handed)| match handed {
            Handed::Spooled(_) => (at, Handed::NoRoom(NoRoom { max_jobs, max_bytes })),
            other => (at, other),
        };
        Ok(handed.into_iter().map(full).collect())
    }
}
