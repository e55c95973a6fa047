//! The rule of the module's head: from civil times to instants of a zone, and what is worth saying about one of them.
//!
//! A zone is a row of stretches with one offset each. Within a stretch civil time runs straight; where two meet, the
//! clock jumps over a gap or goes back over what it has shown. So a search goes stretch by stretch, forward in real
//! time, which is why runs are in order whatever a zone does.

use std::ops::Range;

use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::clock::Timestamp;
use crate::cron::fields::{DAY, Fields};

/// How far back a change of offset is looked for that may have turned the clock back over what is now shown again.
const LONGEST_REPEAT: i64 = 2 * DAY;

/// The first run after `after`.
pub(super) fn next(fields: &Fields, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut at = i64::try_from(after.as_millis() / 1_000).ok()?;
    // Civil times before this one were shown already and do not count again.
    let mut shown = if fields.every_hour() { i64::MIN } else { shown_before(at, zone)? };
    // The second of `after` itself is over, but a change right after it is still to come.
    let mut over = 1;
    loop {
        let offset = offset_at(at, zone)?;
        let found = fields.first(shown.max(at + offset + over))?;
        let Some(change) = Change::after(at, offset, zone).filter(|change| found - offset >= change.at) else {
            return instant(found - offset);
        };
        if made_up(fields, found, &change.gap()).is_some() {
            return instant(change.at);
        }
        if !fields.every_hour() {
            shown = shown.max(change.at + change.before);
        }
        (at, over) = (change.at, 0);
    }
}

/// What the clocks do at the run `tick`, if they do anything.
pub(super) fn note(fields: &Fields, tick: Timestamp, zone: &TimeZone) -> Option<String> {
    let before = Timestamp::from_millis(tick.as_millis().checked_sub(1)?);
    if next(fields, before, zone) != Some(tick) {
        return None;
    }
    let at = i64::try_from(tick.as_millis() / 1_000).ok()?;
    let offset = offset_at(at, zone)?;
    let matches = fields.first(at + offset) == Some(at + offset);
    if let Some(change) = Change::at(at, zone) {
        let skipped = fields.first(change.gap().start).and_then(|first| made_up(fields, first, &change.gap()));
        // Of a schedule that names every hour, a run that comes anyway is nothing to explain.
        if let Some(skipped) = skipped.filter(|_| !(matches && fields.every_hour())) {
            return Some(skipped_text(skipped, &change));
        }
    }
    repeated_text(at + offset, offset, zone)
}

/// The instant of one civil time in milliseconds: the first of two, or the end of the gap that it lies in.
pub(super) fn once(civil: i64, zone: &TimeZone) -> Option<Timestamp> {
    let (second, millis) = (civil.div_euclid(1_000), civil.rem_euclid(1_000));
    let at = match ambiguity(second, zone)? {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            (second - seconds(offset)) * 1_000 + millis
        }
        AmbiguousOffset::Gap { before, .. } => {
            let behind = jiff::Timestamp::from_second(second - seconds(before) + 1).ok()?;
            zone.preceding(behind).next()?.timestamp().as_millisecond()
        }
    };
    u64::try_from(at).ok().map(Timestamp::from_millis)
}

/// What the clocks do at one civil time in milliseconds.
pub(super) fn note_once(civil: i64, tick: Timestamp, zone: &TimeZone) -> Option<String> {
    if once(civil, zone) != Some(tick) {
        return None;
    }
    let at = i64::try_from(tick.as_millis() / 1_000).ok()?;
    let civil = civil.div_euclid(1_000);
    match Change::at(at, zone).filter(|change| change.gap().contains(&civil)) {
        Some(change) => Some(skipped_text(civil, &change)),
        None => repeated_text(civil, offset_at(at, zone)?, zone),
    }
}

/// The first civil time from `found` on that lies in the gap and is made up for at its end.
fn made_up(fields: &Fields, mut found: i64, gap: &Range<i64>) -> Option<i64> {
    // Whole hours: the clock shows the same minute on both sides, and the hours go on as if nothing were.
    if fields.every_hour() && (gap.end - gap.start) % 3_600 == 0 {
        return None;
    }
    while found < gap.end {
        let midnight = found.div_euclid(DAY) * DAY;
        if midnight < gap.start || midnight + DAY > gap.end {
            return Some(found);
        }
        // The whole day is not in this zone's calendar, like 30 February in all.
        found = fields.first(midnight + DAY)?;
    }
    None
}

/// The civil time up to which everything had been shown when the clock was last turned back before `at`.
fn shown_before(at: i64, zone: &TimeZone) -> Option<i64> {
    let mut shown = i64::MIN;
    // `at` counts too: it may be the first second that is repeated.
    for change in zone.preceding(jiff::Timestamp::from_second(at + 1).ok()?) {
        let second = change.timestamp().as_second();
        if second < at - LONGEST_REPEAT {
            break;
        }
        shown = shown.max(second + offset_at(second - 1, zone)?);
    }
    Some(shown)
}

/// An instant at which a zone's offset changes.
struct Change {
    at: i64,
    before: i64,
    after: i64,
}

impl Change {
    /// The first one after the instant `at`, at which `offset` is in force.
    fn after(at: i64, offset: i64, zone: &TimeZone) -> Option<Self> {
        let change = zone.following(jiff::Timestamp::from_second(at).ok()?).next()?;
        Some(Self { at: change.timestamp().as_second(), before: offset, after: seconds(change.offset()) })
    }

    /// The one at exactly this instant.
    fn at(at: i64, zone: &TimeZone) -> Option<Self> {
        let change = zone.preceding(jiff::Timestamp::from_second(at + 1).ok()?).next()?;
        let here = change.timestamp().as_second() == at;
        here.then_some(Self { at, before: offset_at(at - 1, zone)?, after: seconds(change.offset()) })
    }

    /// The civil times that it skips; empty where the clock goes back.
    fn gap(&self) -> Range<i64> {
        self.at + self.before..self.at + self.after
    }
}

fn skipped_text(skipped: i64, change: &Change) -> String {
    let gap = change.gap();
    let (day, shown) = (skipped.div_euclid(DAY), gap.end.div_euclid(DAY));
    let day = if day == shown { "this day".to_owned() } else { date(skipped) };
    let (from, to) = (clock(gap.start), clock(gap.end));
    format!("{} does not exist on {day}: clocks go from {from} to {to}", clock(skipped))
}

fn repeated_text(civil: i64, offset: i64, zone: &TimeZone) -> Option<String> {
    let AmbiguousOffset::Fold { before, .. } = ambiguity(civil, zone)? else { return None };
    let which = if seconds(before) == offset { "first" } else { "second" };
    Some(format!("{} comes twice on this day; this is the {which}", clock(civil)))
}

/// The time of a civil second: `02:30`, with seconds where there are some.
fn clock(civil: i64) -> String {
    let second = civil.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

/// The date of a civil second.
fn date(civil: i64) -> String {
    civil_time(civil).map_or_else(String::new, |time| time.date().to_string())
}

fn civil_time(civil: i64) -> Option<jiff::civil::DateTime> {
    Some(Offset::UTC.to_datetime(jiff::Timestamp::from_second(civil).ok()?))
}

fn ambiguity(civil: i64, zone: &TimeZone) -> Option<AmbiguousOffset> {
    Some(zone.to_ambiguous_timestamp(civil_time(civil)?).offset())
}

fn offset_at(second: i64, zone: &TimeZone) -> Option<i64> {
    Some(seconds(zone.to_offset(jiff::Timestamp::from_second(second).ok()?)))
}

fn seconds(offset: Offset) -> i64 {
    i64::from(offset.seconds())
}

fn instant(second: i64) -> Option<Timestamp> {
    let at = jiff::Timestamp::from_second(second).ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
}
