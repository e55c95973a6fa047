//! The next runs of a schedule, and how their times are written in its zone.

use jiff::tz::TimeZone;
use lovage_core::Timestamp;
use lovage_core::schedule::ScheduleSpec;

/// The ticks after `after`, within the schedule's start and end.
pub fn upcoming<'s>(
    spec: &'s ScheduleSpec,
    zone: &'s TimeZone,
    after: Timestamp,
) -> impl Iterator<Item = Timestamp> + 's {
    let starts = spec.starts_at.map(|starts| Timestamp::from_millis(starts.as_millis().saturating_sub(1)));
    let next = move |after| spec.cron.next(after, zone).filter(|tick| spec.ends_at.is_none_or(|ends| *tick < ends));
    std::iter::successors(next(starts.map_or(after, |starts| after.max(starts))), move |tick| next(*tick))
}

/// The time that clocks of the zone show: `Tue 2026-12-01 03:00:00 +01:00`.
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    written(at, zone, "%a %Y-%m-%d %H:%M:%S ")
}

/// The instant with the zone's offset, for programs: `2026-12-01T03:00:00+01:00`.
pub fn offset(at: Timestamp, zone: &TimeZone) -> String {
    written(at, zone, "%Y-%m-%dT%H:%M:%S")
}

fn written(at: Timestamp, zone: &TimeZone, form: &str) -> String {
    let instant = i64::try_from(at.as_millis()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let Some(instant) = instant else { return at.to_string() };
    let minutes = zone.to_offset(instant).seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.abs();
    format!("{}{sign}{:02}:{:02}", zone.to_datetime(instant).strftime(form), minutes / 60, minutes % 60)
}
