//! What one schedule has to do now. Nothing here asks anybody.

use jiff::tz::TimeZone;
use lovage_core::schedule::{Before, Decision, Overlap, due, undecided};
use lovage_core::{JobId, NewJob, QueueName, Timestamp};
use lovage_ledger::{Advance, Run, RunOutcome, Schedule};
use tracing::warn;

use super::States;

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

/// Whether it matters if the run before has ended.
pub(super) fn asks_before(schedule: &Schedule) -> bool {
    schedule.spec.overlap != Overlap::Allow || schedule.waiting_tick.is_some()
}

/// The ticks whose jobs were enqueued by somebody who was lost before that was written down: runs like any other.
fn found_again(
    schedule: &Schedule,
    zone: &TimeZone,
    now: Timestamp,
    there: &States,
) -> Vec<(Timestamp, (QueueName, JobId))> {
    if !asks_before(schedule) {
        return Vec::new();
    }
    let spec = &schedule.spec;
    let job = |tick| spec.job_id(tick).map(|id| (tick, (spec.queue.clone(), id)));
    let ticks = undecided(spec, zone, schedule.last_tick, now).into_iter();
    ticks.filter_map(job).filter(|(_, job)| there.contains_key(job)).collect()
}

impl<'s> Plan<'s> {
    /// `there` has the jobs that matter for what overlaps, as far as their queues have them.
    pub fn of(schedule: &'s Schedule, zone: &TimeZone, now: Timestamp, there: &States) -> Self {
        let spec = &schedule.spec;
        let is_open = |job: &(QueueName, JobId)| there.get(job).is_some_and(|state| !state.is_final());
        let mut unfinished = schedule.last_job.as_ref().is_some_and(is_open);
        let is_due = schedule.next_at.is_some_and(|at| at <= now);
        let mut plan = Self::unchanged(schedule);
        if let Some(waiting) = schedule.waiting_tick.filter(|_| !unfinished) {
            plan.jobs.push((waiting, spec.job(waiting, zone)));
            plan.advance.waiting_tick = None;
            unfinished = true;
        }
        if !is_due {
            return plan;
        }
        let due = due(spec, zone, schedule.last_tick, now);
        (plan.advance.last_tick, plan.advance.next_at, plan.missed) = (due.handled_to, due.next_at, due.missed);
        if due.missed > 0 {
            let tick = due.ticks.first().copied().unwrap_or(due.handled_to);
            let last = Timestamp::from_millis(tick.as_millis().saturating_sub(1));
            plan.tell(last, RunOutcome::Missed, now, format!("{} ticks before this", due.missed));
        }
        let mut ticks = due.ticks;
        for (tick, job) in found_again(schedule, zone, now, there) {
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
    pub fn without_zone(schedule: &'s Schedule, now: Timestamp) -> Self {
        let mut plan = Self::unchanged(schedule);
        warn!(schedule = %schedule.spec.name, timezone = schedule.spec.timezone, "this machine knows no such zone");
        plan.advance.next_at = Some(now.plus(std::time::Duration::from_mins(1)));
        let note = format!("this machine knows no zone {:?}", schedule.spec.timezone);
        plan.tell(schedule.next_at.unwrap_or(now), RunOutcome::Refused, now, note);
        plan
    }

    fn unchanged(schedule: &'s Schedule) -> Self {
        let advance = Advance {
            name: schedule.spec.name.clone(),
            revision: schedule.revision,
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
