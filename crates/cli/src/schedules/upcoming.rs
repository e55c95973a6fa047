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
    std::iter::successors(spec.next(after, zone), |tick| spec.next(*tick, zone))
}

/// The time that clocks of the zone show: `Tue 2026-12-01 03:00:00 +01:00`.
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    written(at, zone, "%a %Y-%m-%d %H:%M:%S %:z")
}

/// The instant with the zone's offset, for programs: `2026-12-01T03:00:00+01:00`.
pub fn offset(at: Timestamp, zone: &TimeZone) -> String {
    written(at, zone, "%Y-%m-%dT%H:%M:%S%:z")
}

fn written(at: Timestamp, zone: &TimeZone, form: &str) -> String {
    let instant = i64::try_from(at.as_millis()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    instant.map_or_else(|| at.to_string(), |instant| instant.to_zoned_datetime(zone.clone()).strftime(form).to_string())
}
