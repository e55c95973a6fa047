//! What the schedules of one queue have to do: their jobs are enqueued, and what is to be written down of them comes together.

use std::collections::HashMap;
use std::time::Duration;

use lovage_broker::{Broker, BrokerError, EnqueueOutcome, Refused};
use lovage_core::{JobId, NewJob, QueueName, State, Timestamp};
use lovage_ledger::{Advance, Run, RunOutcome, Schedule};
use tracing::warn;

use super::plan::{Outlook, Plan};
use crate::duty::{DutyError, in_time};

/// Jobs that are asked for in one call.
const LOOK: usize = 250;
/// Jobs, and bytes of their arguments, of one enqueue: well within what a broker takes at a time.
const JOBS: usize = 1_000;
const BYTES: usize = 8 * 1024 * 1024;
/// Jobs of a step, after which the other schedules have to wait for the next one.
const JOBS_OF_STEP: usize = 20_000;
/// When a tick is tried again that its queue would not have.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// How jobs stand that their queues have.
pub(super) type States = HashMap<(QueueName, JobId), State>;

/// One step of one queue.
pub(super) struct Step {
    now: Timestamp,
    /// What is to be written down.
    pub advances: Vec<Advance>,
    /// Jobs that were enqueued.
    pub enqueued: usize,
    /// Ticks that are left out because nobody was there in time.
    pub missed: u64,
    /// Whether schedules are left.
    pub more: bool,
}

impl Step {
    pub fn new(now: Timestamp) -> Self {
        Self { now, advances: Vec::new(), enqueued: 0, missed: 0, more: false }
    }

    /// Does what is due for these schedules of a queue. Those that a failure stops are put off.
    pub async fn run(
        &mut self,
        broker: &dyn Broker,
        queue: &QueueName,
        schedules: &[&Schedule],
    ) -> Result<(), DutyError> {
        let outlooks: Vec<Outlook<'_>> = schedules.iter().map(|schedule| Outlook::of(schedule, self.now)).collect();
        let (there, mut silent) = look(broker, &outlooks).await;
        if let Some(error) = silent.remove(queue) {
            self.put_off(schedules);
            return Err(error);
        }
        // The run before may have been in a queue that does not answer.
        let (stopped, outlooks): (Vec<_>, Vec<_>) =
            outlooks.into_iter().partition(|outlook| outlook.asks().any(|(queue, _)| silent.contains_key(queue)));
        self.put_off(&stopped.iter().map(|outlook| outlook.schedule).collect::<Vec<_>>());
        let mut outlooks = outlooks.into_iter();
        let done = self.enqueue_all(broker, &mut outlooks, &there).await;
        if done.is_err() {
            self.put_off(&outlooks.map(|outlook| outlook.schedule).collect::<Vec<_>>());
        }
        done
    }

    fn put_off(&mut self, schedules: &[&Schedule]) {
        self.advances.extend(put_off(schedules, self.now, self.now.plus(AGAIN)));
    }

    async fn enqueue_all(
        &mut self,
        broker: &dyn Broker,
        outlooks: &mut impl ExactSizeIterator<Item = Outlook<'_>>,
        there: &States,
    ) -> Result<(), DutyError> {
        let (mut slice, mut jobs, mut bytes, mut all) = (Vec::new(), 0, 0, 0);
        while let Some(outlook) = outlooks.next() {
            let plan = Plan::of(outlook, self.now, there);
            jobs += plan.jobs.len();
            bytes += plan.jobs.iter().map(|(_, job)| size(job)).sum::<usize>();
            slice.push(plan);
            if jobs >= JOBS || bytes >= BYTES {
                all += jobs;
                (jobs, bytes) = (0, 0);
                self.enqueue(broker, std::mem::take(&mut slice)).await?;
                if all >= JOBS_OF_STEP && outlooks.len() > 0 {
                    self.more = true;
                    return Ok(());
                }
            }
        }
        self.enqueue(broker, slice).await
    }

    /// Enqueues the jobs of some plans. If that fails their schedules are put off.
    async fn enqueue(&mut self, broker: &dyn Broker, plans: Vec<Plan<'_>>) -> Result<(), DutyError> {
        let schedules: Vec<&Schedule> = plans.iter().map(|plan| plan.schedule).collect();
        let done = self.try_to_enqueue(broker, plans).await;
        if done.is_err() {
            self.put_off(&schedules);
        }
        done
    }

    /// After those were cancelled that they are to follow.
    async fn try_to_enqueue(&mut self, broker: &dyn Broker, mut plans: Vec<Plan<'_>>) -> Result<(), DutyError> {
        for (queue, job) in plans.iter().filter_map(Plan::to_cancel) {
            match in_time(broker.cancel(queue, job)).await {
                Ok(_) | Err(DutyError::Broker(BrokerError::NotFound { .. } | BrokerError::Illegal(_))) => {}
                Err(error) => return Err(error),
            }
        }
        let mut jobs: Vec<NewJob> = Vec::with_capacity(plans.iter().map(|plan| plan.jobs.len()).sum());
        let mut ticks: Vec<Vec<Timestamp>> = Vec::with_capacity(plans.len());
        for plan in &mut plans {
            let (of_plan, its_jobs): (Vec<_>, Vec<_>) = std::mem::take(&mut plan.jobs).into_iter().unzip();
            ticks.push(of_plan);
            jobs.extend(its_jobs);
        }
        let mut outcomes = enqueue(broker, jobs).await?.into_iter();
        for (plan, ticks) in plans.into_iter().zip(ticks) {
            let count = ticks.len();
            let outcomes: Vec<_> = ticks.into_iter().zip(outcomes.by_ref().take(count)).collect();
            let is_new = |(_, outcome): &&(_, EnqueueOutcome)| matches!(outcome, EnqueueOutcome::Enqueued(_));
            self.enqueued += outcomes.iter().filter(is_new).count();
            self.missed += plan.missed;
            self.advances.push(advance(plan, self.now, outcomes));
        }
        Ok(())
    }
}

/// What counts of a job against the bytes of a call.
fn size(job: &NewJob) -> usize {
    job.args.get().len()
}

/// Enqueues jobs in calls that a broker takes, also those of one schedule with many ticks.
async fn enqueue(broker: &dyn Broker, jobs: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>, DutyError> {
    let mut outcomes = Vec::with_capacity(jobs.len());
    let (mut call, mut bytes) = (Vec::new(), 0);
    for job in jobs {
        if call.len() >= JOBS || (bytes > 0 && bytes + size(&job) > BYTES) {
            outcomes.extend(in_time(broker.enqueue(std::mem::take(&mut call))).await?);
            bytes = 0;
        }
        bytes += size(&job);
        call.push(job);
    }
    if !call.is_empty() {
        outcomes.extend(in_time(broker.enqueue(call)).await?);
    }
    Ok(outcomes)
}

/// Schedules that nothing is done for, and that are looked at again then.
pub(super) fn put_off(schedules: &[&Schedule], now: Timestamp, again: Timestamp) -> impl Iterator<Item = Advance> {
    // What only waits for the run before is not due.
    let due = schedules.iter().filter(move |schedule| schedule.next_at.is_some_and(|at| at <= now));
    due.map(move |schedule| Advance { next_at: Some(again), ..Plan::unchanged(schedule).advance })
}

/// How the jobs stand that schedules ask for, and which queues do not say so.
async fn look(broker: &dyn Broker, outlooks: &[Outlook<'_>]) -> (States, HashMap<QueueName, DutyError>) {
    let mut by_queue: HashMap<&QueueName, Vec<JobId>> = HashMap::new();
    for (queue, job) in outlooks.iter().flat_map(Outlook::asks) {
        by_queue.entry(queue).or_default().push(job.clone());
    }
    let (mut states, mut silent) = (States::new(), HashMap::new());
    for (queue, jobs) in by_queue {
        for jobs in jobs.chunks(LOOK) {
            match in_time(broker.jobs(queue, jobs)).await {
                Ok(there) => states.extend(there.into_iter().map(|job| ((queue.clone(), job.id), job.state))),
                Err(error) => {
                    silent.insert(queue.clone(), error);
                    break;
                }
            }
        }
    }
    (states, silent)
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
                // This tick and those after it are tried again, and what was decided of later ones is decided again then.
                warn!(schedule = %schedule.spec.name, "a tick waits because its queue is full");
                let it_waited = schedule.waiting_tick == Some(tick);
                let still_waits = it_waited || !advance.runs.iter().any(|run| Some(run.tick) == schedule.waiting_tick);
                advance.last_tick = if it_waited { schedule.last_tick } else { tick.just_before() };
                advance.waiting_tick = schedule.waiting_tick.filter(|_| still_waits);
                advance.runs.retain(|run| run.job.is_some() || (!it_waited && run.tick < tick));
                advance.next_at = Some(now.plus(full.retry_after.max(AGAIN)));
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
