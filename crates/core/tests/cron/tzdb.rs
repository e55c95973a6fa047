//! All zones of the machine's database, from 1970 to 2100.

use std::collections::HashMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use lovage_core::Timestamp;
use lovage_core::cron::Recurrence;

use crate::read;

/// 1970-01-02T00:00:00Z and 2100-01-01T00:00:00Z.
const SPAN: std::ops::Range<i64> = 86_400..4_102_444_800;
/// Daily schedules: hour and minute.
const TIMES: [(i8, i8); 7] = [(0, 0), (0, 30), (1, 30), (2, 0), (2, 30), (3, 0), (23, 59)];

/// A zone under one of its names, and the instants at which its offset changes, with the change in seconds.
struct Zone {
    name: String,
    rules: TimeZone,
    changes: Vec<(i64, i32)>,
}

fn offset(zone: &TimeZone, second: i64) -> i32 {
    zone.to_offset(jiff::Timestamp::from_second(second).unwrap()).seconds()
}

/// Every zone of the database; those that are the same under two names once.
fn zones() -> Vec<Zone> {
    let mut found: HashMap<Vec<(i64, i32)>, Zone> = HashMap::new();
    let mut names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    names.sort();
    assert!(
        names.len() > 300,
        "the time zone database of this machine has {} zones; install it: apt-get install tzdata",
        names.len()
    );
    for name in names {
        let zone = crate::zone(&name);
        let start = jiff::Timestamp::from_second(SPAN.start).unwrap();
        let mut last = offset(&zone, SPAN.start);
        let mut key = vec![(0, last)];
        let mut changes = Vec::new();
        for change in zone.following(start).take_while(|change| change.timestamp().as_second() < SPAN.end) {
            let (at, now) = (change.timestamp().as_second(), change.offset().seconds());
            key.push((at, now));
            changes.push((at, now - last));
            last = now;
        }
        found.entry(key).or_insert(Zone { name, rules: zone, changes });
    }
    let mut zones: Vec<Zone> = found.into_values().collect();
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    zones
}

/// Runs a check over all zones, on as many threads as there are cores.
fn for_all(check: impl Fn(&Zone) + Sync) {
    let (zones, check) = (zones(), &check);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let mine = zones.iter().skip(first).step_by(threads);
            scope.spawn(move || mine.for_each(check));
        }
    });
}

/// The changes that are looked at: all until 2040, and from then on, when each year is like the last, every sixth.
fn sampled(zone: &Zone) -> impl Iterator<Item = (i64, i32)> {
    let late = 2_208_988_800;
    zone.changes
        .iter()
        .enumerate()
        .filter(move |(index, (at, _))| *at < late || index % 12 < 2)
        .map(|(_, change)| *change)
}

fn next(recurrence: &Recurrence, after: i64, zone: &Zone) -> i64 {
    let after = Timestamp::from_millis(after as u64 * 1_000);
    let next = recurrence.next(after, &zone.rules).unwrap();
    assert!(next > after, "{recurrence} in {} goes back", zone.name);
    (next.as_millis() / 1_000) as i64
}

/// When a daily schedule is to run for a day: at the first of two, at the end of a gap, or not at all if the zone's
/// calendar leaves the day out.
fn due(time: DateTime, zone: &Zone) -> Option<i64> {
    let offset_of = |time: DateTime| zone.rules.to_ambiguous_timestamp(time).offset();
    let second = Offset::UTC.to_timestamp(time).unwrap().as_second();
    match offset_of(time) {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            Some(second - i64::from(offset.seconds()))
        }
        AmbiguousOffset::Gap { before, after } => {
            let skipped = |time: DateTime| offset_of(time) == AmbiguousOffset::Gap { before, after };
            let whole_day = skipped(time.date().at(0, 0, 0, 0)) && skipped(time.date().at(23, 59, 59, 0));
            // The end of the gap is the only change near by.
            let near = second - i64::from(before.seconds());
            let end = zone.changes.iter().filter(|(at, shift)| *at <= near && *shift > 0).map(|(at, _)| *at).max();
            (!whole_day).then_some(end.unwrap())
        }
    }
}

fn local_date(second: i64, zone: &Zone) -> Date {
    zone.rules.to_datetime(jiff::Timestamp::from_second(second).unwrap()).date()
}

/// Holds a daily schedule to one run for each day of the zone's calendar, from two days before an instant on.
fn daily(recurrence: &Recurrence, (hour, minute): (i8, i8), around: i64, days: usize, zone: &Zone) {
    let mut date = local_date((around - 2 * 86_400).max(86_400), zone);
    let mut last = None;
    for _ in 0..days {
        if let Some(expected) = due(date.at(hour, minute, 0, 0), zone) {
            if let Some(last) = last {
                assert_eq!(next(recurrence, last, zone), expected, "{recurrence} in {} on {date}", zone.name);
            }
            last = Some(expected);
        }
        date = date.tomorrow().unwrap();
    }
}

/// Row 13, with the next.
#[test]
fn daily_schedules_run_once_on_each_day_of_each_zone() {
    let schedules = TIMES.map(|(hour, minute)| (read(&format!("{minute} {hour} * * *")), (hour, minute)));
    for_all(|zone| {
        for (recurrence, time) in &schedules {
            for (at, _) in sampled(zone) {
                daily(recurrence, *time, at, 5, zone);
            }
            for at in SPAN.step_by(500 * 86_400) {
                daily(recurrence, *time, at, 2, zone);
            }
        }
    });
}

/// Row 13.
#[test]
fn hourly_schedules_run_every_hour_of_elapsed_time() {
    let schedules = ["0 * * * *", "30 * * * *", "59 0-23 * * *"].map(read);
    for_all(|zone| {
        for recurrence in &schedules {
            for (at, shift) in sampled(zone) {
                hourly(recurrence, at, shift, zone);
            }
            for at in SPAN.step_by(1_000 * 86_400) {
                next(recurrence, at, zone);
            }
        }
    });
}

/// Runs over a change are an hour apart, unless the change is not of whole hours.
fn hourly(recurrence: &Recurrence, change: i64, shift: i32, zone: &Zone) {
    let mut last = next(recurrence, (change - 2 * 3_600).max(0), zone);
    while last < change + 3 * 3_600 {
        let run = next(recurrence, last, zone);
        let odd = zone.changes.iter().any(|(at, shift)| (last..=run).contains(at) && shift % 3_600 != 0);
        // A gap brings the next run nearer; a repeat of some minutes may bring one more or put one off.
        let apart = if odd { 1..=3_600 + i64::from(shift.min(0).abs() % 3_600) } else { 3_600..=3_600 };
        assert!(apart.contains(&(run - last)), "{recurrence} in {}: {last} and {run}, change at {change}", zone.name);
        last = run;
    }
}
