//! Takes rows, enqueues jobs, settles: one bounded batch after the other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lovage_broker::{BrokerError, EnqueueOutcome, Producer};
use lovage_core::NewJob;
use lovage_core::limits::{MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::error::OutboxError;
use crate::fate::{Fate, Settlement, Told, fate};
use crate::outbox::{Ask, MOST_QUEUES, Outbox, PATIENCE};
use crate::row::Row;

/// How long a queue that cannot be reached is left alone while others can.
const AWAY: Duration = Duration::from_secs(5);
/// Most rows of one batch: it is held in memory.
const BATCH: usize = 500;

/// How a relay works.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Largest arguments in bytes; a row with more fails. The broker's own limit.
    pub max_payload_bytes: usize,
    /// A row stays for so long after the broker has confirmed its job, and then the broker is asked once more: what a
    /// failover has lost meanwhile is enqueued again. Without it, a row goes as soon as its job is confirmed.
    pub confirm_after: Option<Duration>,
    /// Wait when nothing is there.
    pub pause: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self { max_payload_bytes: MAX_PAYLOAD_BYTES, confirm_after: None, pause: Duration::from_millis(200) }
    }
}

/// What became of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batch {
    /// They are new jobs.
    pub enqueued: u64,
    /// Their jobs were there before: an earlier relay died before it could delete the row, or another job answers.
    pub existing: u64,
    /// They were confirmed before, and the broker has confirmed them again.
    pub confirmed: u64,
    /// They were confirmed before, the broker had lost them since, and they are new jobs again.
    pub resent: u64,
    /// They cannot become jobs; the reason stands in the row.
    pub failed: u64,
    /// There is no room for them now.
    pub full: u64,
    /// The broker could not be asked for them, though it could for those of other queues.
    pub away: u64,
    /// When there may be room.
    pub retry_after: Option<Duration>,
}

impl Batch {
    /// Rows that are out of the way, by whatever end.
    pub fn moved(&self) -> u64 {
        self.enqueued + self.existing + self.confirmed + self.resent + self.failed
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.enqueued += other.enqueued;
        self.existing += other.existing;
        self.confirmed += other.confirmed;
        self.resent += other.resent;
        self.failed += other.failed;
        self.full += other.full;
        self.away += other.away;
        self.retry_after = self.retry_after.max(other.retry_after);
    }

    fn told(&mut self, told: Told, sent: bool) {
        *match (told, sent) {
            (Told::New, _) => &mut self.enqueued,
            (Told::Again, _) => &mut self.resent,
            (Told::Known, true) => &mut self.confirmed,
            (Told::Known, false) => &mut self.existing,
        } += 1;
    }
}

/// Moves the rows of one outbox into the broker. Any number may run for the same outbox.
pub struct Relay {
    pub(crate) outbox: Outbox,
    pub(crate) config: RelayConfig,
    jobs: Arc<dyn Producer>,
    /// Queues that are full or away, and until when they are left alone.
    held: BTreeMap<String, Instant>,
    /// The last queue of the last batch, if there may be more behind it.
    after: String,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("outbox", &self.outbox).field("config", &self.config).finish_non_exhaustive()
    }
}

impl Relay {
    /// From this outbox to these jobs.
    pub fn new(outbox: Outbox, jobs: Arc<dyn Producer>, config: RelayConfig) -> Self {
        Self { outbox, config, jobs, held: BTreeMap::new(), after: String::new() }
    }

    /// Moves rows until nothing is left that can be moved now, and answers what became of them all.
    pub async fn drain(&mut self) -> Result<Batch, OutboxError> {
        let mut total = Batch::default();
        loop {
            let batch = self.step().await?;
            total.add(batch);
            // A look that began behind the last queue has not seen the first ones.
            if batch.moved() == 0 && self.after.is_empty() {
                return Ok(total);
            }
        }
    }

    /// Moves at most one batch. An error leaves everything that was not confirmed where it is.
    pub async fn step(&mut self) -> Result<Batch, OutboxError> {
        let now = Instant::now();
        self.held.retain(|_, until| *until > now);
        // No call may carry more bytes of arguments than a broker takes, however large the single jobs are.
        let most = (MAX_BATCH_BYTES / self.config.max_payload_bytes.max(1)).clamp(1, BATCH);
        let most_queues = MOST_QUEUES.min(most);
        let mut heads = self.outbox.heads(&self.after, most_queues).await?;
        let last = heads.queues.last().filter(|_| heads.queues.len() == most_queues);
        self.after = last.cloned().unwrap_or_default();
        heads.queues.retain(|queue| !self.held.contains_key(queue));
        if heads.queues.is_empty() && !heads.due {
            return Ok(Batch::default());
        }
        let held: Vec<String> = self.held.keys().cloned().collect();
        let max_payload = self.config.max_payload_bytes;
        let taken = self.outbox.take(&Ask { queues: &heads.queues, held: &held, most, max_payload }).await?;
        let fates = self.enqueue(&taken.rows).await?;
        let (settlement, batch) = self.judge(&taken.rows, fates);
        if !settlement.is_empty() {
            self.outbox.settle(taken.hold, &settlement).await?;
        }
        Ok(batch)
    }

    /// Enqueues what can be, a call a queue and all calls at once, and answers what follows for each row. An error only if
    /// no queue could be reached: in a cluster one may be away while the others are not.
    async fn enqueue(&self, rows: &[Row]) -> Result<Vec<Fate>, OutboxError> {
        let mut fates: Vec<Option<Fate>> = vec![None; rows.len()];
        let mut queues: BTreeMap<&str, (Vec<usize>, Vec<NewJob>)> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            match row.job(self.config.max_payload_bytes) {
                Err(reason) => fates[at] = Some(Fate::Failed(reason)),
                Ok(job) => {
                    let (places, jobs) = queues.entry(&row.queue).or_default();
                    places.push(at);
                    jobs.push(job);
                }
            }
        }
        let calls = queues.into_iter().map(async |(queue, (places, jobs))| (queue, places, self.ask(jobs).await));
        let (mut reached, mut trouble) = (false, None);
        for (queue, places, answer) in join_all(calls).await {
            match answer {
                Ok(outcomes) => {
                    reached = true;
                    for (at, outcome) in places.into_iter().zip(outcomes) {
                        fates[at] = Some(fate(&rows[at], &outcome, self.config.confirm_after.is_some()));
                    }
                }
                Err(error) => {
                    debug!(queue, %error, "the broker did not take the rows of a queue");
                    trouble = Some(error);
                }
            }
        }
        match trouble {
            Some(error) if !reached => Err(error.into()),
            // Also what an answer that is too short left out.
            _ => Ok(fates.into_iter().map(|fate| fate.unwrap_or(Fate::Away)).collect()),
        }
    }

    /// A broker that falls silent must not keep rows locked.
    async fn ask(&self, jobs: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>, BrokerError> {
        let silent = || BrokerError::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, self.jobs.enqueue(jobs)).await.unwrap_or_else(|_| Err(silent()))
    }

    fn judge(&mut self, rows: &[Row], fates: Vec<Fate>) -> (Settlement, Batch) {
        let confirm_after = self.config.confirm_after.unwrap_or_default();
        let (mut settlement, mut batch) = (Settlement { confirm_after, ..Settlement::default() }, Batch::default());
        for (row, fate) in rows.iter().zip(fates) {
            match fate {
                Fate::Gone(told) => {
                    settlement.gone.push(row.seq);
                    batch.told(told, row.sent);
                    say_lost(row, told);
                }
                Fate::Sent(told) => {
                    settlement.sent.push(row.seq);
                    batch.told(told, row.sent);
                    say_lost(row, told);
                }
                Fate::Aside(wait) => {
                    settlement.aside.push((row.seq, wait.as_millis() as i64));
                    batch.full += 1;
                    batch.retry_after = batch.retry_after.max(Some(wait));
                }
                Fate::Held(wait) => {
                    self.held.insert(row.queue.clone(), Instant::now() + wait);
                    batch.full += 1;
                    batch.retry_after = batch.retry_after.max(Some(wait));
                }
                Fate::Away => {
                    self.held.insert(row.queue.clone(), Instant::now() + AWAY);
                    batch.away += 1;
                }
                Fate::Failed(reason) => {
                    batch.failed += 1;
                    let (queue, id) = (&row.queue, &row.id);
                    error!(outbox = %self.outbox.address(), queue, id, reason, "a row cannot become a job; it stays");
                    // PostgreSQL's text knows no NUL.
                    settlement.failed.push((row.seq, reason.replace('\0', "\u{fffd}")));
                }
            }
        }
        (settlement, batch)
    }
}

fn say_lost(row: &Row, told: Told) {
    if told == Told::Again {
        let (queue, id) = (&row.queue, &row.id);
        warn!(queue, id, "the broker had confirmed a job and lost it; it is enqueued again");
    }
}
