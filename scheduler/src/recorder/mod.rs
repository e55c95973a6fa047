//! History: what happens in the queues goes into the ledger.
//!
//! Each queue's events are read page by page after the last recorded one. Events say what happened, not what a job is, so the
//! jobs of a page are looked at; both go into the ledger in one commit together with the new position, and the broker is told
//! that it need not keep them any longer. While one page is committed the next is read. What was dropped before it was
//! read is made up for by reading what the queue has ([`heal`]).

mod heal;
mod page;
mod releases;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use lovage_broker::{Broker, Connect};
use lovage_core::history::JobRecord;
use lovage_core::{Clock, Kind, QueueName, Timestamp};
use lovage_ledger::{Ledger, LedgerError, Page, Position};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use self::heal::Healing;
use self::page::{PageSize, Reading};
use self::releases::Releases;
use crate::duty::{Duty, DutyError};
use crate::metrics::Metrics;

/// How long after everything was recorded it is looked again. A job that is over by then is written once.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for new queues.
const QUEUES_EVERY: Duration = Duration::from_secs(3);
/// Queues that are recorded at the same time.
const AT_ONCE: usize = 2;
/// Pages of one queue before it is another's turn.
const PAGES: usize = 4;
/// How often the broker is told again of a queue in which nothing happens: it holds nothing for whom it has not heard of for a
/// day.
const CONFIRM_EVERY: Duration = Duration::from_hours(1);

/// How long a queue that could not be recorded is let alone.
const AGAIN: Duration = Duration::from_secs(5);

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// Jobs that were new or had changed.
    pub jobs: u64,
    /// Failures that were new.
    pub failures: u64,
    /// Whether more is waiting.
    pub more: bool,
}

/// Records the history of all queues.
pub struct Recorder {
    connect: Connect,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    state: Mutex<State>,
    releases: Releases,
    without_arguments: BTreeSet<Kind>,
}

/// What is remembered between two runs of one term.
#[derive(Default)]
struct State {
    term: u64,
    broker: Option<Arc<dyn Broker>>,
    listed: Option<Instant>,
    queues: HashMap<QueueName, Queue>,
}

/// Whose history is recorded, by whom and where it is read.
#[derive(Clone, Copy)]
struct Place<'a> {
    broker: &'a dyn Broker,
    queue: &'a QueueName,
    term: u64,
}

/// How far one queue is.
#[derive(Debug, Default)]
struct Queue {
    position: Option<Position>,
    healing: Option<Healing>,
    /// Everything up to then is recorded, while it is known that there is more.
    behind: Option<Timestamp>,
    /// When the broker was last told what is recorded.
    confirmed: Option<Instant>,
    /// How large pages are.
    size: PageSize,
    /// Not before then, after it could not be recorded.
    again: Option<Instant>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

#[async_trait]
impl Duty for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        let recorded = self.record(term).await?;
        Ok(if recorded.more { Duration::ZERO } else { EVERY })
    }
}

impl Recorder {
    /// One that opens its connection to the broker when it is first needed.
    pub fn new(connect: Connect, ledger: Ledger, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self {
            connect,
            ledger,
            clock,
            metrics,
            state: Mutex::default(),
            releases: Releases::default(),
            without_arguments: BTreeSet::new(),
        }
    }

    /// Keeps neither arguments nor results of jobs of these kinds.
    #[must_use]
    pub fn without_arguments_of(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.without_arguments.extend(kinds);
        self
    }

    /// What is written of jobs beside what the queue says: the releases of workers, and not what is not to be kept.
    async fn complete(&self, broker: &dyn Broker, jobs: &mut [JobRecord]) -> Result<(), DutyError> {
        for JobRecord { job, .. } in &mut *jobs {
            if job.kind.as_ref().is_some_and(|kind| self.without_arguments.contains(kind)) {
                (job.args, job.result) = (None, None);
            }
        }
        self.releases.tell(broker, jobs).await
    }

    /// Records some of what is there, in every queue; [`Recorded::more`] says that it was not all.
    pub async fn record(&self, term: u64) -> Result<Recorded, DutyError> {
        let mut state = self.state.lock().await;
        if state.term != term {
            *state = State { term, ..State::default() };
        }
        let result = self.record_all(&mut state).await;
        match &result {
            // What another leader has done meanwhile is in the ledger.
            Err(DutyError::Deposed) => *state = State::default(),
            Err(DutyError::Broker(_)) => state.broker = None,
            _ => {}
        }
        result
    }

    async fn record_all(&self, state: &mut State) -> Result<Recorded, DutyError> {
        let broker = match &state.broker {
            Some(broker) => Arc::clone(broker),
            None => Arc::clone(state.broker.insert((self.connect)().await?)),
        };
        if state.listed.is_none_or(|listed| listed.elapsed() >= QUEUES_EVERY) {
            // Also those that the broker has forgotten: what of them had not ended is gone.
            let known = self.ledger.recorded_queues().await?;
            for queue in broker.queues().await?.into_iter().map(|queue| queue.name).chain(known) {
                state.queues.entry(queue).or_default();
            }
            state.listed = Some(Instant::now());
        }
        let term = state.term;
        let mut each: Vec<BoxFuture<'_, Result<Recorded, DutyError>>> = Vec::with_capacity(state.queues.len());
        for (name, queue) in &mut state.queues {
            if queue.again.is_none_or(|again| again <= Instant::now()) {
                let place = Place { broker: broker.as_ref(), queue: name, term };
                each.push(Box::pin(self.record_or_wait(place, queue)));
            }
        }
        let tried = each.len();
        let mut running = futures::stream::iter(each).buffer_unordered(AT_ONCE);
        let (mut sum, mut failed) = (Recorded::default(), Vec::new());
        while let Some(recorded) = running.next().await {
            match recorded {
                Ok(recorded) => sum += recorded,
                Err(DutyError::Deposed) => return Err(DutyError::Deposed),
                // The others go on.
                Err(error) => failed.push(error),
            }
        }
        drop(running);
        let behind = state.queues.values().filter_map(|queue| queue.behind).min();
        self.metrics.behind(self.name(), behind.map_or(Duration::ZERO, |at| self.clock.now().since(at)));
        let waits = state.queues.values().any(|queue| queue.again.is_some());
        match failed.pop() {
            Some(error) if failed.len() + 1 == tried => Err(error),
            None if tried == 0 && waits => Err(DutyError::Other("no queue can be recorded".to_owned())),
            _ => Ok(sum),
        }
    }

    /// Records some of one queue. One that cannot be recorded is let alone for a while, so that it holds up no other.
    async fn record_or_wait(&self, place: Place<'_>, queue: &mut Queue) -> Result<Recorded, DutyError> {
        let recorded = self.record_queue(place, queue).await;
        match &recorded {
            Ok(_) => queue.again = None,
            // That is nothing about this queue, and the term is over.
            Err(DutyError::Deposed) => {}
            Err(error) => {
                if queue.again.is_none() {
                    warn!(queue = %place.queue, %error, "the history of a queue is not recorded; trying again");
                }
                // What is known of it here may not be what was written.
                let (size, behind) = (std::mem::take(&mut queue.size), queue.behind);
                *queue = Queue { size, behind: behind.or(Some(self.clock.now())), ..Queue::default() };
                queue.again = Some(Instant::now() + AGAIN);
            }
        }
        recorded
    }

    async fn record_queue(&self, place: Place<'_>, queue: &mut Queue) -> Result<Recorded, DutyError> {
        let mut position = match queue.position.take() {
            Some(position) => position,
            // What is in a queue that was never recorded is read from its state.
            None => self.ledger.position(place.queue).await?.unwrap_or(Position { cursor: None, healing: true }),
        };
        let is_new = position.cursor.is_none();
        let mut sum = Recorded::default();
        let mut reading = self.read(place, position.cursor.as_deref(), &mut queue.size).await?;
        for left in (0..PAGES).rev() {
            if reading.gap {
                self.metrics.gaps.inc();
                info!(queue = %place.queue, "events were gone before they were recorded; reading what the queue has instead");
                // Also in the middle of it: what was listed already may have changed.
                (position.healing, queue.healing) = (true, None);
            }
            let Reading { jobs, gone, next, is_last, at, .. } = reading;
            let is_news = next.is_some() && next != position.cursor;
            let confirm = queue.confirmed.is_none_or(|confirmed| confirmed.elapsed() >= CONFIRM_EVERY);
            if is_news || confirm {
                queue.confirmed = Some(Instant::now());
            }
            position.cursor = next;
            queue.behind = at.or(queue.behind).filter(|_| !is_last);
            let mut jobs = jobs;
            jobs.extend(self.remember(place.queue, gone).await?);
            let moved = Some(&position).filter(|_| is_news || confirm);
            // While the queue is read from its state it keeps what it has; what is new to us goes on as it went.
            let tell = !position.healing || is_new;
            let written = self.write(place, moved, &jobs, tell);
            if is_last || left == 0 {
                sum += written.await?;
                sum.more |= !is_last;
                break;
            }
            let following = self.read(place, position.cursor.as_deref(), &mut queue.size);
            let (written, following) = tokio::join!(written, following);
            sum += written?;
            reading = following?;
        }
        if position.healing {
            let healed = self.heal(place, queue.healing.get_or_insert_default()).await?;
            sum += healed;
            if healed.more {
                queue.behind = queue.behind.or(Some(self.clock.now()));
            } else {
                (position.healing, queue.healing) = (false, None);
                self.write(place, Some(&position), &[], true).await?;
            }
        }
        queue.position = Some(position);
        Ok(sum)
    }

    /// Writes jobs, and moves the position; with `tell` the broker hears that it need not keep them.
    async fn write(
        &self,
        place: Place<'_>,
        position: Option<&Position>,
        jobs: &[JobRecord],
        tell: bool,
    ) -> Result<Recorded, DutyError> {
        if jobs.is_empty() && position.is_none() {
            return Ok(Recorded::default());
        }
        let Place { broker, queue, term } = place;
        let page = Page { queue, term, position, jobs };
        let recorded = match self.ledger.record(&page).await {
            Err(LedgerError::Refused(_)) if !jobs.is_empty() => self.write_each(page).await?,
            recorded => recorded?,
        };
        self.metrics.recorded.inc_by(recorded.jobs);
        self.metrics.failures.inc_by(recorded.failures);
        if let Some(cursor) = position.filter(|_| tell).and_then(|position| position.cursor.as_deref()) {
            broker.recorded(queue, cursor).await?;
        }
        Ok(Recorded { jobs: recorded.jobs, failures: recorded.failures, more: false })
    }

    /// Writes a page of which something is refused: halves it until what is at fault stands alone, and goes on without that.
    async fn write_each(&self, page: Page<'_>) -> Result<lovage_ledger::Recorded, LedgerError> {
        let mut sum = lovage_ledger::Recorded::default();
        let mut parts = vec![page.jobs];
        while let Some(jobs) = parts.pop() {
            match self.ledger.record(&Page { jobs, position: None, ..page }).await {
                Ok(recorded) => {
                    sum.jobs += recorded.jobs;
                    sum.failures += recorded.failures;
                }
                Err(LedgerError::Refused(error)) => match jobs {
                    [] => {}
                    [job] => {
                        self.metrics.refused.inc();
                        warn!(queue = %page.queue, job = %job.job.id, error, "the ledger refuses a job; its history is not kept");
                    }
                    _ => {
                        let (first, rest) = jobs.split_at(jobs.len() / 2);
                        parts.extend([rest, first]);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        // Last, so that a crash in between repeats what was not written.
        self.ledger.record(&Page { jobs: &[], ..page }).await?;
        Ok(sum)
    }
}

impl std::ops::AddAssign for Recorded {
    fn add_assign(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.failures += other.failures;
        self.more |= other.more;
    }
}
