//! Which ticks of a schedule are to run now.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::spec::{Missed, ScheduleSpec};
use crate::clock::Timestamp;

/// A tick that is not older counts as in time, whatever the policy: a change of leader takes some seconds.
pub const GRACE: Duration = Duration::from_mins(1);
/// Missed ticks that are counted one by one.
const COUNTED: u64 = 10_000;
/// How far back the latest tick is looked for, step by step: so that neither a schedule of every second that was paused for a year
/// nor one of every year costs much.
const STEPS: [Duration; 6] = [
    Duration::from_mins(1),
    Duration::from_hours(1),
    Duration::from_hours(24),
    Duration::from_hours(24 * 31),
    Duration::from_hours(24 * 366),
    Duration::MAX,
];

/// What a schedule has to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// The ticks that run now, oldest first.
    pub ticks: Vec<Timestamp>,
    /// Ticks that are left out because they were missed; counted up to ten thousand.
    pub missed: u64,
    /// The first and the last of them.
    pub missed_between: Option<(Timestamp, Timestamp)>,
    /// Ticks up to here are dealt with when those have run.
    pub handled_to: Timestamp,
    /// When to look again: at the next tick, put off by its jitter; never without.
    pub next_at: Option<Timestamp>,
}

/// The ticks after `last` and up to `now` by the schedule's policy, and when to look again.
pub fn due(spec: &ScheduleSpec, zone: &TimeZone, last: Timestamp, now: Timestamp) -> Due {
    let from = spec.starts_at.map_or(last, |starts| last.max(starts.just_before()));
    let start = |tick: Timestamp| tick.plus(spec.jitter_of(tick));
    let in_time = |tick: &Timestamp| spec.ends_at.is_none_or(|ends| *tick < ends);
    // The first tick that is put off beyond now waits, and so does what follows it: ticks keep their order.
    let put_off = put_off(spec, zone, from, now).filter(in_time);
    let end = spec.ends_at.map_or(now, |ends| now.min(ends.just_before()));
    let until = put_off.map_or(end, Timestamp::just_before);
    let (most, age) = match spec.missed {
        Missed::Skip => (1, Some(GRACE)),
        Missed::Once => (1, spec.missed_age.map(|age| age.max(GRACE))),
        Missed::All => {
            let age = spec.missed_age.unwrap_or(Duration::from_hours(24));
            (spec.missed_max.unwrap_or(100) as usize, Some(age.max(GRACE)))
        }
    };
    // Who was put off is not late because of that.
    let oldest = age.map_or(from, |age| from.max(now.minus(age + spec.jitter.unwrap_or_default()).just_before()));
    let ticks: Vec<Timestamp> = latest(spec, zone, oldest, until, most).into();
    let missed = count(spec, zone, from, until).saturating_sub(ticks.len() as u64);
    let missed_until = ticks.first().map_or(until, |first| first.just_before());
    let missed_between = if missed > 0 {
        spec.cron.next(from, zone).zip(latest(spec, zone, from, missed_until, 1).pop_back())
    } else {
        None
    };
    Due {
        ticks,
        missed,
        missed_between,
        handled_to: put_off.map_or(now, Timestamp::just_before).max(last),
        next_at: put_off.or_else(|| spec.next(last.max(now), zone)).map(start),
    }
}

/// Ticks after `last` and up to `now`, at most the first and the last three: those whose jobs somebody may have enqueued who
/// was lost before it was written down.
pub fn undecided(spec: &ScheduleSpec, zone: &TimeZone, last: Timestamp, now: Timestamp) -> Vec<Timestamp> {
    let mut ticks: Vec<Timestamp> = Vec::with_capacity(6);
    let mut at = last;
    while let Some(tick) = spec.cron.next(at, zone).filter(|tick| *tick <= now && ticks.len() < 3) {
        ticks.push(tick);
        at = tick;
    }
    ticks.extend(latest(spec, zone, last, now, 3));
    ticks.sort_unstable();
    ticks.dedup();
    ticks
}

/// The first tick after `from` that has begun by `now` and whose job starts later.
fn put_off(spec: &ScheduleSpec, zone: &TimeZone, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let jitter = spec.jitter.filter(|jitter| !jitter.is_zero())?;
    // What is older has started.
    let mut at = from.max(now.minus(jitter).just_before());
    loop {
        let tick = spec.cron.next(at, zone).filter(|tick| *tick <= now)?;
        if tick.plus(spec.jitter_of(tick)) > now {
            return Some(tick);
        }
        at = tick;
    }
}

/// The latest ticks after `from` and up to `until`, at most `most`.
fn latest(spec: &ScheduleSpec, zone: &TimeZone, from: Timestamp, until: Timestamp, most: usize) -> VecDeque<Timestamp> {
    let mut ticks = VecDeque::new();
    for step in STEPS {
        let start = from.max(until.minus(step).just_before());
        ticks.clear();
        let mut at = start;
        while let Some(tick) = spec.cron.next(at, zone).filter(|tick| *tick <= until) {
            if ticks.len() == most {
                ticks.pop_front();
            }
            ticks.push_back(tick);
            at = tick;
        }
        if ticks.len() == most || start <= from {
            break;
        }
    }
    ticks
}

fn count(spec: &ScheduleSpec, zone: &TimeZone, from: Timestamp, until: Timestamp) -> u64 {
    let (mut count, mut at) = (0, from);
    while let Some(tick) = spec.cron.next(at, zone).filter(|tick| *tick <= until) {
        count += 1;
        if count == COUNTED {
            break;
        }
        at = tick;
    }
    count
}
