//! Ticks: each second the schedules that are due enqueue their jobs.
//!
//! First the jobs, then the note of how far each schedule is: a leader who is lost in between leaves ticks that the next one enqueues
//! again under the same ids and unique keys, which are then there already. What a tick means (missed, overlapping) is decided in
//! `lovage_core::schedule`.

mod plan;
mod seconds;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use lovage_broker::{Broker, BrokerError, Connect, EnqueueOutcome, Refused};
use lovage_core::schedule::ScheduleSpec;
use lovage_core::{Clock, JobId, NewJob, QueueName, ScheduleName, State, Timestamp};
use lovage_ledger::{Advance, Ledger, Run, RunOutcome, Schedule};
use tokio::sync::Mutex;
use tracing::{info, warn};

use self::plan::{Outlook, Plan};
use self::seconds::Seconds;
use crate::duty::{Duty, DutyError};
use crate::metrics::Metrics;

/// Schedules of one step.
const SCHEDULES: u32 = 1_000;
/// Waiting schedules that are looked at in a step.
const WAITING: u32 = 250;
/// Jobs that are asked for in one call.
const LOOK: usize = 250;
/// Jobs, and bytes of their arguments, of one enqueue: well within what a broker takes at a time.
const JOBS: usize = 1_000;
const BYTES: usize = 8 * 1024 * 1024;
/// When a tick is tried again that a full queue would not have.
const FULL_AGAIN: Duration = Duration::from_secs(5);

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
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    configured: Vec<ScheduleSpec>,
    state: Mutex<Remembered>,
}

/// How jobs stand that their queues have.
type States = HashMap<(QueueName, JobId), State>;

/// What is remembered within a term.
#[derive(Default)]
struct Remembered {
    term: u64,
    broker: Option<Arc<dyn Broker>>,
    seconds: Option<Seconds>,
    /// The last of the waiting schedules that was looked at.
    waited: Option<ScheduleName>,
}

impl std::fmt::Debug for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cron").finish_non_exhaustive()
    }
}

/// A zone by its name.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

#[async_trait]
impl Duty for Cron {
    fn name(&self) -> &'static str {
        "cron"
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        let mut state = self.state.lock().await;
        let mut seconds = state.seconds.take().unwrap_or_default();
        drop(state);
        seconds.next().await;
        while self.tick(term).await?.more {}
        state = self.state.lock().await;
        state.seconds = Some(seconds);
        Ok(Duration::ZERO)
    }
}

impl Cron {
    /// With the schedules of the configuration, which are made those of the ledger when a term begins.
    pub fn new(
        connect: Connect,
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        configured: Vec<ScheduleSpec>,
    ) -> Self {
        Self { connect, ledger, clock, metrics, configured, state: Mutex::default() }
    }

    /// Does what is due now, for at most a thousand schedules.
    pub async fn tick(&self, term: u64) -> Result<Ticked, DutyError> {
        let mut state = self.state.lock().await;
        let result = self.tick_with(&mut state, term).await;
        if matches!(result, Err(DutyError::Broker(_))) {
            state.broker = None;
        }
        result
    }

    async fn tick_with(&self, state: &mut Remembered, term: u64) -> Result<Ticked, DutyError> {
        if state.term != term {
            self.sync(term).await?;
            state.term = term;
        }
        let now = self.clock.now();
        let mut schedules = self.ledger.due_schedules(now, SCHEDULES).await?;
        let due = schedules.len();
        let waiting = self.ledger.waiting_schedules(state.waited.as_ref(), WAITING).await?;
        state.waited = waiting.last().filter(|_| waiting.len() == WAITING as usize).map(|last| last.spec.name.clone());
        for waiting in waiting {
            if !schedules.iter().any(|known| known.spec.name == waiting.spec.name) {
                schedules.push(waiting);
            }
        }
        self.metrics.is_at(self.name(), schedules.first().and_then(|first| first.next_at).filter(|at| *at <= now));
        if schedules.is_empty() {
            return Ok(Ticked::default());
        }
        let broker = match &state.broker {
            Some(broker) => Arc::clone(broker),
            None => Arc::clone(state.broker.insert((self.connect)().await?)),
        };
        let enqueued = self.run(broker.as_ref(), term, now, &schedules).await?;
        Ok(Ticked { schedules: schedules.len(), enqueued, more: due == SCHEDULES as usize })
    }

    /// Makes the schedules of the configuration those of the ledger.
    async fn sync(&self, term: u64) -> Result<(), DutyError> {
        let synced = self.ledger.sync_schedules(term, &self.configured, self.clock.now()).await?;
        for name in &synced.taken {
            warn!(schedule = %name, "a schedule of the configuration has the name of one that an operator has made, which stays");
        }
        let (added, changed, removed) = (synced.added.len(), synced.changed.len(), synced.removed.len());
        if added + changed + removed > 0 {
            info!(added, changed, removed, "the schedules of the configuration are in force");
        }
        Ok(())
    }

    async fn run(
        &self,
        broker: &dyn Broker,
        term: u64,
        now: Timestamp,
        schedules: &[Schedule],
    ) -> Result<usize, DutyError> {
        let outlooks: Vec<Outlook<'_>> = schedules.iter().map(|schedule| Outlook::of(schedule, now)).collect();
        let there = look(broker, &outlooks).await?;
        let plans: Vec<Plan<'_>> = outlooks.into_iter().map(|outlook| Plan::of(outlook, now, &there)).collect();
        for (queue, job) in plans.iter().filter_map(Plan::to_cancel) {
            match broker.cancel(queue, job).await {
                Ok(_) | Err(BrokerError::NotFound { .. } | BrokerError::Illegal(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (mut enqueued, mut slice, mut size) = (0, Vec::new(), (0, 0));
        for plan in plans {
            size.0 += plan.jobs.len();
            size.1 += plan.jobs.iter().map(|(_, job)| job.args.get().len()).sum::<usize>();
            slice.push(plan);
            if size.0 >= JOBS || size.1 >= BYTES {
                enqueued += self.enqueue(broker, term, now, std::mem::take(&mut slice)).await?;
                size = (0, 0);
            }
        }
        Ok(enqueued + self.enqueue(broker, term, now, slice).await?)
    }

    /// Enqueues the jobs of some plans, and writes down how far their schedules are.
    async fn enqueue(
        &self,
        broker: &dyn Broker,
        term: u64,
        now: Timestamp,
        mut plans: Vec<Plan<'_>>,
    ) -> Result<usize, DutyError> {
        let mut jobs: Vec<NewJob> = Vec::with_capacity(plans.iter().map(|plan| plan.jobs.len()).sum());
        let mut ticks: Vec<Vec<Timestamp>> = Vec::with_capacity(plans.len());
        for plan in &mut plans {
            let (of_plan, its_jobs): (Vec<_>, Vec<_>) = std::mem::take(&mut plan.jobs).into_iter().unzip();
            ticks.push(of_plan);
            jobs.extend(its_jobs);
        }
        let outcomes = if jobs.is_empty() { Vec::new() } else { broker.enqueue(jobs).await? };
        let enqueued = outcomes.iter().filter(|outcome| matches!(outcome, EnqueueOutcome::Enqueued(_))).count();
        let missed = plans.iter().map(|plan| plan.missed).sum();
        let mut outcomes = outcomes.into_iter();
        let mut advances = Vec::with_capacity(plans.len());
        for (plan, ticks) in plans.into_iter().zip(ticks) {
            let count = ticks.len();
            advances.push(advance(plan, now, ticks.into_iter().zip(outcomes.by_ref().take(count)).collect()));
        }
        if !advances.is_empty() {
            self.ledger.advance(term, &advances).await?;
        }
        self.metrics.missed.inc_by(missed);
        Ok(enqueued)
    }
}

/// How the jobs stand that schedules ask for.
async fn look(broker: &dyn Broker, outlooks: &[Outlook<'_>]) -> Result<States, DutyError> {
    let mut by_queue: HashMap<&QueueName, Vec<JobId>> = HashMap::new();
    for (queue, job) in outlooks.iter().flat_map(Outlook::asks) {
        by_queue.entry(queue).or_default().push(job.clone());
    }
    let mut states = States::new();
    for (queue, jobs) in by_queue {
        for jobs in jobs.chunks(LOOK) {
            let there = broker.jobs(queue, jobs).await?;
            states.extend(there.into_iter().map(|job| ((queue.clone(), job.id), job.state)));
        }
    }
    Ok(states)
}

/// What is written down of a schedule whose ticks' jobs were enqueued, or not.
fn advance(plan: Plan<'_>, now: Timestamp, outcomes: Vec<(Timestamp, EnqueueOutcome)>) -> Advance {
    let Plan { schedule, mut advance, .. } = plan;
    for (tick, outcome) in outcomes {
        let run = |outcome: RunOutcome, id: Option<JobId>, note: Option<String>| Run {
            schedule: schedule.spec.name.clone(),
            tick,
            outcome,
            at: now,
            job: id.map(|id| (schedule.spec.queue.clone(), id)),
            note,
            ended: None,
        };
        match outcome {
            // Refused or not, its job is there; in the one case the schedule was changed since.
            EnqueueOutcome::Enqueued(id)
            | EnqueueOutcome::Existing(id)
            | EnqueueOutcome::Replaced(id)
            | EnqueueOutcome::Refused(Refused::Conflict { id, .. } | Refused::UniqueTaken { holder: id }) => {
                advance.runs.push(run(RunOutcome::Enqueued, Some(id), None));
            }
            EnqueueOutcome::Refused(Refused::Full(full)) => {
                // This tick and those after it are tried again.
                warn!(schedule = %schedule.spec.name, "a tick waits because its queue is full");
                if schedule.waiting_tick != Some(tick) {
                    advance.last_tick = tick.just_before();
                }
                advance.waiting_tick = schedule.waiting_tick;
                // What was decided of later ticks is decided again then.
                advance.runs.retain(|run| run.tick < tick || run.job.is_some());
                advance.next_at = Some(now.plus(full.retry_after.max(FULL_AGAIN)));
                break;
            }
            EnqueueOutcome::Refused(refused) => {
                warn!(schedule = %schedule.spec.name, %refused, "the queue refuses the job of a tick");
                advance.runs.push(run(RunOutcome::Refused, None, Some(refused.to_string())));
            }
        }
    }
    advance
}
