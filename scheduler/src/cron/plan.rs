//! What one schedule has to do now. Nothing here asks anybody.

use jiff::tz::TimeZone;
use lovage_core::schedule::{Before, Decision, Due, Overlap, due, undecided};
use lovage_core::{JobId, NewJob, QueueName, Timestamp};
use lovage_ledger::{Advance, Run, RunOutcome, Schedule};
use tracing::{info, warn};

use super::queue::States;
use super::zone;

/// A job of a tick.
type TickJob = (Timestamp, (QueueName, JobId));

/// What a schedule asks before it can be planned.
#[derive(Debug)]
pub(super) struct Outlook<'s> {
    pub schedule: &'s Schedule,
    zone: Option<TimeZone>,
    /// What is due now, if anything is.
    due: Option<Due>,
    /// The jobs of ticks that somebody may have enqueued who was lost before it was written down.
    undecided: Vec<TickJob>,
}

/// The jobs of a schedule's ticks, and what is written down when they are enqueued.
#[derive(Debug)]
pub(super) struct Plan<'s> {
    pub schedule: &'s Schedule,
    /// The ticks with their jobs, in the order in which they are enqueued.
    pub jobs: Vec<(Timestamp, NewJob)>,
    pub advance: Advance,
    /// Ticks that are left out because nobody was there in time.
    pub missed: u64,
    cancel: bool,
}

impl<'s> Outlook<'s> {
    pub fn of(schedule: &'s Schedule, now: Timestamp) -> Self {
        let spec = &schedule.spec;
        let zone = zone(&spec.timezone);
        let is_due = schedule.next_at.is_some_and(|at| at <= now);
        let due = zone.as_ref().filter(|_| is_due).map(|zone| due(spec, zone, schedule.last_tick, now));
        let mut outlook = Self { schedule, zone, due, undecided: Vec::new() };
        // A schedule may have been moved to another queue since somebody enqueued for it.
        let before = schedule.last_job.as_ref().map(|(queue, _)| queue).filter(|queue| **queue != spec.queue);
        if let (Some(zone), Some(due)) = (&outlook.zone, &outlook.due)
            && (outlook.asks_before() || due.missed > 0 || before.is_some())
        {
            for tick in undecided(spec, zone, schedule.last_tick, now) {
                let Some(id) = spec.job_id(tick) else { continue };
                let queues = std::iter::once(&spec.queue).chain(before);
                outlook.undecided.extend(queues.map(|queue| (tick, (queue.clone(), id.clone()))));
            }
        }
        outlook
    }

    /// Whether it matters if the run before has ended.
    fn asks_before(&self) -> bool {
        self.schedule.spec.overlap != Overlap::Allow || self.schedule.waiting_tick.is_some()
    }

    /// The jobs whose states matter.
    pub fn asks(&self) -> impl Iterator<Item = &(QueueName, JobId)> {
        let before = self.schedule.last_job.as_ref().filter(|_| self.asks_before());
        before.into_iter().chain(self.undecided.iter().map(|(_, job)| job))
    }
}

impl<'s> Plan<'s> {
    /// `there` has the jobs that were asked for, as far as their queues have them.
    pub fn of(outlook: Outlook<'s>, now: Timestamp, there: &States) -> Self {
        let Outlook { schedule, zone, due, undecided } = outlook;
        let Some(zone) = &zone else { return Self::without_zone(schedule, now) };
        let spec = &schedule.spec;
        let is_open = |job: &(QueueName, JobId)| there.get(job).is_some_and(|state| !state.is_final());
        let mut unfinished = schedule.last_job.as_ref().is_some_and(is_open);
        let mut plan = Self::unchanged(schedule);
        if let Some(waiting) = schedule.waiting_tick.filter(|_| !unfinished) {
            plan.jobs.push((waiting, spec.job(waiting, zone)));
            plan.advance.waiting_tick = None;
            unfinished = true;
        }
        let Some(Due { mut ticks, missed, missed_between, handled_to, next_at }) = due else { return plan };
        (plan.advance.last_tick, plan.advance.next_at) = (handled_to, next_at);
        // What was enqueued was not missed, and is a run like any other.
        let found: Vec<TickJob> = undecided.into_iter().filter(|(_, job)| there.contains_key(job)).collect();
        plan.missed = missed.saturating_sub(found.iter().filter(|(tick, _)| !ticks.contains(tick)).count() as u64);
        if plan.missed > 0 {
            let (first, last) = missed_between.unwrap_or((handled_to, handled_to));
            let since = first.rfc3339();
            let told = match plan.missed {
                1 => "nobody was there in time".to_owned(),
                missed => format!("nobody was there for {missed} ticks since {since}"),
            };
            info!(schedule = %spec.name, missed = plan.missed, since, until = last.rfc3339(), "ticks were missed");
            plan.tell(last, RunOutcome::Missed, now, told);
        }
        for (tick, job) in found {
            unfinished |= is_open(&job);
            ticks.retain(|other| *other != tick);
            let (schedule, outcome) = (spec.name.clone(), RunOutcome::Enqueued);
            plan.advance.runs.push(Run { schedule, tick, outcome, at: now, job: Some(job), note: None, ended: None });
        }
        for tick in ticks {
            let before = match (unfinished, plan.advance.waiting_tick) {
                (false, _) => Before::Ended,
                (true, None) => Before::Unfinished,
                (true, Some(_)) => Before::UnfinishedAndOneWaits,
            };
            match spec.overlap.decide(before) {
                Decision::Enqueue => {
                    plan.jobs.push((tick, spec.job(tick, zone)));
                    unfinished = true;
                }
                Decision::CancelThenEnqueue => {
                    // Of several ticks at once only the last is left over.
                    plan.cancel = true;
                    for (earlier, _) in std::mem::take(&mut plan.jobs) {
                        plan.tell(earlier, RunOutcome::Skipped, now, "a later tick came at the same time".to_owned());
                    }
                    plan.jobs.push((tick, spec.job(tick, zone)));
                }
                Decision::Wait => plan.advance.waiting_tick = Some(tick),
                Decision::Skip => {
                    plan.tell(tick, RunOutcome::Skipped, now, "the run before has not ended".to_owned());
                }
            }
        }
        plan
    }

    /// A schedule whose zone this machine does not know: it is told, and tried again.
    fn without_zone(schedule: &'s Schedule, now: Timestamp) -> Self {
        let mut plan = Self::unchanged(schedule);
        warn!(schedule = %schedule.spec.name, timezone = schedule.spec.timezone, "this machine knows no such zone");
        plan.advance.next_at = Some(now.plus(std::time::Duration::from_mins(1)));
        let note = format!("this machine knows no zone {:?}", schedule.spec.timezone);
        plan.tell(schedule.next_at.unwrap_or(now), RunOutcome::Refused, now, note);
        plan
    }

    /// Of a schedule that goes on as it is.
    pub fn unchanged(schedule: &'s Schedule) -> Self {
        let advance = Advance {
            name: schedule.spec.name.clone(),
            edition: schedule.edition,
            last_tick: schedule.last_tick,
            next_at: schedule.next_at,
            waiting_tick: schedule.waiting_tick,
            runs: Vec::new(),
        };
        Self { schedule, jobs: Vec::new(), advance, missed: 0, cancel: false }
    }

    fn tell(&mut self, tick: Timestamp, outcome: RunOutcome, at: Timestamp, note: String) {
        let schedule = self.schedule.spec.name.clone();
        self.advance.runs.push(Run { schedule, tick, outcome, at, job: None, note: Some(note), ended: None });
    }

    /// The job of the run before, if it is to be cancelled first.
    pub fn to_cancel(&self) -> Option<(&QueueName, &JobId)> {
        let found = self.advance.runs.iter().rev().find_map(|run| run.job.as_ref());
        found.or(self.schedule.last_job.as_ref()).filter(|_| self.cancel).map(|(queue, job)| (queue, job))
    }
}
