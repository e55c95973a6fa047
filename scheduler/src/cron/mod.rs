//! Ticks: each second the schedules that are due enqueue their jobs.
//!
//! First the jobs, then the note of how far each schedule is: a leader who is lost in between leaves ticks that the next one enqueues
//! again under the same ids and unique keys, which are then there already. What a tick means (missed, overlapping) is decided in
//! `lovage_core::schedule`. The time is the ledger's, so that leaders on machines with different clocks see the same ticks.

mod plan;
mod queue;
mod seconds;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use jiff::tz::TimeZone;
use lovage_broker::{Broker, Connect};
use lovage_core::schedule::ScheduleSpec;
use lovage_core::{QueueName, ScheduleName, Timestamp};
use lovage_ledger::{Ledger, ManagedBy, Schedule};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use self::queue::{AGAIN, Step};
use self::seconds::Seconds;
use crate::duty::{Duty, DutyError};
use crate::metrics::Metrics;

/// Schedules of one step.
const SCHEDULES: u32 = 1_000;
/// Waiting schedules that are looked at in a step.
const WAITING: u32 = 250;
/// Queues that are asked at the same time.
const QUEUES: usize = 8;
/// How long a queue is left alone at most that does not answer.
const LONGEST_AWAY: Duration = Duration::from_mins(1);

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ticked {
    /// Schedules that were looked at.
    pub schedules: usize,
    /// Jobs that were enqueued.
    pub enqueued: usize,
    /// Whether more are due.
    pub more: bool,
}

/// Enqueues the jobs of schedules.
pub struct Cron {
    connect: Connect,
    ledger: Ledger,
    metrics: Metrics,
    configured: Option<Vec<ScheduleSpec>>,
    state: Mutex<Remembered>,
}

/// What is remembered within a term.
#[derive(Default)]
struct Remembered {
    term: u64,
    broker: Option<Arc<dyn Broker>>,
    seconds: Seconds,
    /// The last of the waiting schedules that was looked at.
    waited: Option<ScheduleName>,
    /// Queues that do not answer.
    away: HashMap<QueueName, Away>,
}

/// A queue that does not answer.
#[derive(Debug, Clone, Copy)]
struct Away {
    since: Timestamp,
    /// When it is asked again, and how long after it was asked last.
    again: Timestamp,
    wait: Duration,
}

impl std::fmt::Debug for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cron").finish_non_exhaustive()
    }
}

/// Names of the database that are no zone: of the machine's own, and of none.
const NO_ZONES: [&str; 5] = ["localtime", "Etc/Unknown", "posixrules", "Factory", "Local"];

/// A zone by its name.
pub fn zone(name: &str) -> Option<TimeZone> {
    let is_one = !NO_ZONES.iter().any(|known| known.eq_ignore_ascii_case(name));
    is_one.then(|| TimeZone::get(name).ok()).flatten()
}

/// A schedule's first tick after a time.
pub fn first_tick(spec: &ScheduleSpec, after: Timestamp) -> Option<Timestamp> {
    zone(&spec.timezone).and_then(|zone| spec.next(after, &zone))
}

#[async_trait]
impl Duty for Cron {
    fn name(&self) -> &'static str {
        "cron"
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        self.state.lock().await.seconds.next(&self.ledger).await?;
        while self.tick(term).await?.more {}
        Ok(Duration::ZERO)
    }
}

impl Cron {
    /// With the schedules of the configuration, which are made those of the ledger when a term begins. Without any
    /// (`None`, which is not the same as an empty list) those of the ledger stay as they are.
    pub fn new(connect: Connect, ledger: Ledger, metrics: Metrics, configured: Option<Vec<ScheduleSpec>>) -> Self {
        Self { connect, ledger, metrics, configured, state: Mutex::default() }
    }

    /// Does what is due now, for at most a thousand schedules.
    pub async fn tick(&self, term: u64) -> Result<Ticked, DutyError> {
        let mut state = self.state.lock().await;
        if state.term != term {
            self.sync(term).await?;
            // Others have led since.
            (state.term, state.waited) = (term, None);
            state.away.clear();
        }
        let now = self.ledger.now().await?;
        // A queue that nothing is due in any more is none that is waited for.
        state.away.retain(|_, away| now < away.again.plus(LONGEST_AWAY));
        let mut schedules = self.ledger.due_schedules(now, SCHEDULES).await?;
        let due = schedules.len();
        let waiting = self.ledger.waiting_schedules(state.waited.as_ref(), WAITING).await?;
        state.waited = waiting.next;
        for waiting in waiting.schedules {
            if !schedules.iter().any(|known| known.spec.name == waiting.spec.name) {
                schedules.push(waiting);
            }
        }
        let oldest = schedules.first().and_then(|first| first.next_at).filter(|at| *at <= now);
        let oldest = state.away.values().map(|away| away.since).chain(oldest).min();
        self.metrics.behind(self.name(), oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)));
        if schedules.is_empty() {
            return Ok(Ticked::default());
        }
        let broker = match &state.broker {
            Some(broker) => Arc::clone(broker),
            None => Arc::clone(state.broker.insert((self.connect)().await?)),
        };
        let mut ticked = self.run(broker.as_ref(), term, now, &schedules, &mut state).await?;
        ticked.more |= due == SCHEDULES as usize;
        Ok(ticked)
    }

    /// Makes the schedules of the configuration those of the ledger.
    async fn sync(&self, term: u64) -> Result<(), DutyError> {
        let Some(configured) = &self.configured else {
            let known = self.ledger.schedules(None, SCHEDULES).await?;
            if known.schedules.iter().any(|known| known.managed_by == ManagedBy::Code && known.withdrawn_at.is_none()) {
                info!(
                    "this configuration says nothing of schedules: those that code manages stay; `schedules = []` withdraws them"
                );
            }
            return Ok(());
        };
        let synced = self.ledger.sync_schedules(term, configured, first_tick).await?;
        for name in &synced.taken {
            warn!(schedule = %name, "a schedule of the configuration has the name of one that an operator has made, which stays");
        }
        for name in &synced.withdrawn {
            warn!(schedule = %name, "a schedule that code manages is not in this configuration: it is withdrawn and does not run");
        }
        let (added, changed, returned) = (synced.added.len(), synced.changed.len(), synced.returned.len());
        if added + changed + returned > 0 {
            info!(added, changed, returned, "the schedules of the configuration are in force");
        }
        Ok(())
    }

    /// Enqueues what the schedules have to, queue by queue, so that one that does not answer holds up no other; and writes down
    /// how far they are, of all queues that have ended meanwhile at once.
    async fn run(
        &self,
        broker: &dyn Broker,
        term: u64,
        now: Timestamp,
        schedules: &[Schedule],
        state: &mut Remembered,
    ) -> Result<Ticked, DutyError> {
        let mut by_queue: BTreeMap<&QueueName, Vec<&Schedule>> = BTreeMap::new();
        for schedule in schedules {
            by_queue.entry(&schedule.spec.queue).or_default().push(schedule);
        }
        let mut ticked = Ticked { schedules: schedules.len(), ..Ticked::default() };
        let (mut steps, mut last, mut put_off, mut failed) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (queue, schedules) in by_queue {
            match state.away.get(queue) {
                None => steps.push(step(broker, now, queue, schedules)),
                // Those that may not answer again come after the others, and not all at once.
                Some(away) if now >= away.again && last.len() < QUEUES => {
                    last.push(step(broker, now, queue, schedules));
                }
                Some(away) if now < away.again => put_off.extend(queue::put_off(&schedules, now, away.again)),
                Some(_) => put_off.extend(queue::put_off(&schedules, now, now.plus(AGAIN))),
            }
        }
        if !put_off.is_empty() {
            self.ledger.advance(term, &put_off).await?;
        }
        steps.extend(last);
        let (queues, began) = (steps.len(), Instant::now());
        let mut steps = futures::stream::iter(steps).buffer_unordered(QUEUES).ready_chunks(QUEUES);
        while let Some(steps) = steps.next().await {
            let (mut advances, mut missed) = (Vec::new(), 0);
            for (queue, step, done) in steps {
                failed += usize::from(done.is_err());
                remember(&mut state.away, queue, now, now.plus(began.elapsed()), done);
                ticked.enqueued += step.enqueued;
                ticked.more |= step.more;
                missed += step.missed;
                advances.extend(step.advances);
            }
            if !advances.is_empty() {
                self.ledger.advance(term, &advances).await?;
            }
            self.metrics.missed.inc_by(missed);
        }
        if failed > 0 && failed == queues {
            state.broker = None;
        }
        Ok(ticked)
    }
}

/// Does what the schedules of one queue have to do.
async fn step<'q>(
    broker: &dyn Broker,
    now: Timestamp,
    queue: &'q QueueName,
    schedules: Vec<&Schedule>,
) -> (&'q QueueName, Step, Result<(), DutyError>) {
    let mut step = Step::new(now);
    let done = step.run(broker, queue, &schedules).await;
    (queue, step, done)
}

/// Says of a queue that it does not answer, or does again, when that changes.
fn remember(
    away: &mut HashMap<QueueName, Away>,
    queue: &QueueName,
    asked: Timestamp,
    answered: Timestamp,
    done: Result<(), DutyError>,
) {
    match done {
        Ok(()) => {
            if away.remove(queue).is_some() {
                info!(%queue, "a queue takes jobs of schedules again");
            }
        }
        Err(error) => {
            let known = away.get(queue);
            let since = known.map_or(asked, |away| away.since);
            let wait = known.map_or(AGAIN, |away| (away.wait * 2).min(LONGEST_AWAY));
            if away.insert(queue.clone(), Away { since, again: answered.plus(wait), wait }).is_none() {
                warn!(%queue, %error, "a queue does not take the jobs of its schedules; trying again");
            }
        }
    }
}
