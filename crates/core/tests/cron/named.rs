//! Named days of named zones. The instants were computed apart from this crate, by a walk over the minutes of Python's
//! `zoneinfo`.

use lovage_core::Timestamp;

use crate::{at, read, runs, shown, zone};

/// A zone, an expression, the instant after which runs are asked for, and all of them up to the last one listed.
type Case = (&'static str, &'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // a time that is skipped runs at the end of the gap
    ("America/New_York", "30 2 * * *", "2025-03-08T12:00:00Z", &["2025-03-09T07:00:00Z", "2025-03-10T06:30:00Z"]),
    // all that a gap skips is one run
    ("America/New_York", "0,30 2 * * *", "2025-03-09T00:00:00Z", &["2025-03-09T07:00:00Z", "2025-03-10T06:00:00Z", "2025-03-10T06:30:00Z"]),
    // the end of the gap and a time of its own
    ("America/New_York", "30 2,3 * * *", "2025-03-09T00:00:00Z", &["2025-03-09T07:00:00Z", "2025-03-09T07:30:00Z", "2025-03-10T06:30:00Z", "2025-03-10T07:30:00Z"]),
    // the end of the gap is a run already
    ("America/New_York", "0 2,3 * * *", "2025-03-09T00:00:00Z", &["2025-03-09T07:00:00Z", "2025-03-10T06:00:00Z", "2025-03-10T07:00:00Z"]),
    // a time that comes twice runs at the first
    ("America/New_York", "30 1 * * *", "2025-11-01T12:00:00Z", &["2025-11-02T05:30:00Z", "2025-11-03T06:30:00Z"]),
    // every hour over a gap
    ("America/New_York", "30 * * * *", "2025-03-09T05:00:00Z", &["2025-03-09T05:30:00Z", "2025-03-09T06:30:00Z", "2025-03-09T07:30:00Z", "2025-03-09T08:30:00Z"]),
    // every hour over a repeat
    ("America/New_York", "30 * * * *", "2025-11-02T04:00:00Z", &["2025-11-02T04:30:00Z", "2025-11-02T05:30:00Z", "2025-11-02T06:30:00Z", "2025-11-02T07:30:00Z"]),
    // hours that are named over a repeat
    ("America/New_York", "*/30 0-3 * * *", "2025-11-02T03:00:00Z", &["2025-11-02T04:00:00Z", "2025-11-02T04:30:00Z", "2025-11-02T05:00:00Z", "2025-11-02T05:30:00Z", "2025-11-02T07:00:00Z", "2025-11-02T07:30:00Z", "2025-11-02T08:00:00Z", "2025-11-02T08:30:00Z"]),
    // gap
    ("Europe/London", "30 1 * * *", "2025-03-29T12:00:00Z", &["2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"]),
    // repeat
    ("Europe/London", "30 1 * * *", "2025-10-25T12:00:00Z", &["2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"]),
    // every hour over a repeat
    ("Europe/London", "0 * * * *", "2025-10-25T23:30:00Z", &["2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z", "2025-10-26T02:00:00Z", "2025-10-26T03:00:00Z"]),
    // every hour, gap of half an hour
    ("Australia/Lord_Howe", "0 * * * *", "2025-10-04T13:30:00Z", &["2025-10-04T14:30:00Z", "2025-10-04T15:30:00Z", "2025-10-04T16:00:00Z", "2025-10-04T17:00:00Z"]),
    // every hour, the end of the gap is a run already
    ("Australia/Lord_Howe", "30 * * * *", "2025-10-04T13:30:00Z", &["2025-10-04T14:00:00Z", "2025-10-04T15:00:00Z", "2025-10-04T15:30:00Z", "2025-10-04T16:30:00Z"]),
    // every hour, gap of half an hour
    ("Australia/Lord_Howe", "15 * * * *", "2025-10-04T13:30:00Z", &["2025-10-04T13:45:00Z", "2025-10-04T14:45:00Z", "2025-10-04T15:30:00Z", "2025-10-04T16:15:00Z", "2025-10-04T17:15:00Z"]),
    // every quarter
    ("Australia/Lord_Howe", "*/15 * * * *", "2025-10-04T15:00:00Z", &["2025-10-04T15:15:00Z", "2025-10-04T15:30:00Z", "2025-10-04T15:45:00Z", "2025-10-04T16:00:00Z"]),
    // gap
    ("Australia/Lord_Howe", "15 2 * * *", "2025-10-03T20:00:00Z", &["2025-10-04T15:30:00Z", "2025-10-05T15:15:00Z"]),
    // repeat
    ("Australia/Lord_Howe", "45 1 * * *", "2025-04-04T20:00:00Z", &["2025-04-05T14:45:00Z", "2025-04-06T15:15:00Z"]),
    // every hour over a repeat of half an hour
    ("Australia/Lord_Howe", "45 * * * *", "2025-04-05T13:00:00Z", &["2025-04-05T13:45:00Z", "2025-04-05T14:45:00Z", "2025-04-05T15:15:00Z", "2025-04-05T16:15:00Z"]),
    // gap of two hours
    ("Antarctica/Troll", "30 1 * * *", "2025-03-29T12:00:00Z", &["2025-03-30T01:00:00Z", "2025-03-30T23:30:00Z", "2025-03-31T23:30:00Z"]),
    // two times in one gap, and its end
    ("Antarctica/Troll", "0 1,2,3 * * *", "2025-03-29T12:00:00Z", &["2025-03-30T01:00:00Z"]),
    // every hour over a gap of two
    ("Antarctica/Troll", "0 * * * *", "2025-03-29T22:30:00Z", &["2025-03-29T23:00:00Z", "2025-03-30T00:00:00Z", "2025-03-30T01:00:00Z", "2025-03-30T02:00:00Z", "2025-03-30T03:00:00Z"]),
    // repeat of two hours
    ("Antarctica/Troll", "30 2 * * *", "2025-10-25T12:00:00Z", &["2025-10-26T00:30:00Z", "2025-10-27T02:30:00Z"]),
    // every hour over a repeat of two
    ("Antarctica/Troll", "0 * * * *", "2025-10-25T22:30:00Z", &["2025-10-25T23:00:00Z", "2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z", "2025-10-26T02:00:00Z", "2025-10-26T03:00:00Z", "2025-10-26T04:00:00Z"]),
    // midnight is skipped
    ("America/Santiago", "0 0 * * *", "2025-09-06T12:00:00Z", &["2025-09-07T04:00:00Z", "2025-09-08T03:00:00Z", "2025-09-09T03:00:00Z"]),
    // the last hour of a day comes twice
    ("America/Santiago", "30 23 * * *", "2025-04-05T12:00:00Z", &["2025-04-06T02:30:00Z", "2025-04-07T03:30:00Z", "2025-04-08T03:30:00Z"]),
    // the last hour of a day comes twice
    ("America/Santiago", "0 0 * * *", "2025-04-05T12:00:00Z", &["2025-04-06T04:00:00Z", "2025-04-07T04:00:00Z", "2025-04-08T04:00:00Z"]),
    // twice a day, midnight is skipped
    ("America/Santiago", "0 0,12 * * *", "2025-09-06T12:00:00Z", &["2025-09-06T16:00:00Z", "2025-09-07T04:00:00Z", "2025-09-07T15:00:00Z"]),
    // gap from 02:45 to 03:45
    ("Pacific/Chatham", "0 3 * * *", "2025-09-26T20:00:00Z", &["2025-09-27T14:00:00Z", "2025-09-28T13:15:00Z", "2025-09-29T13:15:00Z"]),
    // gap from 02:45 to 03:45
    ("Pacific/Chatham", "45 3 * * *", "2025-09-26T20:00:00Z", &["2025-09-27T14:00:00Z", "2025-09-28T14:00:00Z", "2025-09-29T14:00:00Z"]),
    // repeat from 02:45 to 03:45
    ("Pacific/Chatham", "0 3 * * *", "2025-04-04T20:00:00Z", &["2025-04-05T13:15:00Z", "2025-04-06T14:15:00Z", "2025-04-07T14:15:00Z"]),
    // every hour
    ("Pacific/Chatham", "0 * * * *", "2025-09-27T12:00:00Z", &["2025-09-27T12:15:00Z", "2025-09-27T13:15:00Z", "2025-09-27T14:15:00Z", "2025-09-27T15:15:00Z", "2025-09-27T16:15:00Z"]),
    // clocks go back for Ramadan
    ("Africa/Casablanca", "30 2 * * *", "2025-02-22T12:00:00Z", &["2025-02-23T01:30:00Z", "2025-02-24T02:30:00Z", "2025-02-25T02:30:00Z"]),
    // clocks go forward after Ramadan
    ("Africa/Casablanca", "30 2 * * *", "2025-04-05T12:00:00Z", &["2025-04-06T02:00:00Z", "2025-04-07T01:30:00Z", "2025-04-08T01:30:00Z"]),
    // the first hour of a day is skipped
    ("Asia/Tehran", "30 0 * * *", "2022-03-20T12:00:00Z", &["2022-03-20T21:00:00Z", "2022-03-21T20:30:00Z", "2022-03-22T20:00:00Z"]),
    // the last hour of a day comes twice
    ("Asia/Tehran", "30 23 * * *", "2022-09-20T12:00:00Z", &["2022-09-20T19:00:00Z", "2022-09-21T19:00:00Z", "2022-09-22T20:00:00Z"]),
    // no change any more
    ("Asia/Tehran", "30 0 * * *", "2023-03-20T12:00:00Z", &["2023-03-20T21:00:00Z", "2023-03-21T21:00:00Z", "2023-03-22T21:00:00Z"]),
    // a day that does not exist
    ("Pacific/Apia", "0 3 * * *", "2011-12-28T12:00:00Z", &["2011-12-28T13:00:00Z", "2011-12-29T13:00:00Z", "2011-12-30T13:00:00Z", "2011-12-31T13:00:00Z"]),
    // every hour over a day that does not exist
    ("Pacific/Apia", "0 * * * *", "2011-12-30T08:30:00Z", &["2011-12-30T09:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z", "2011-12-30T12:00:00Z"]),
    // a day that does not exist
    ("Pacific/Kwajalein", "30 1 * * *", "1993-08-19T00:00:00Z", &["1993-08-19T13:30:00Z", "1993-08-20T13:30:00Z", "1993-08-21T13:30:00Z", "1993-08-22T13:30:00Z", "1993-08-23T13:30:00Z"]),
    // midnight comes twice
    ("America/Havana", "0 0 * * *", "2025-11-01T12:00:00Z", &["2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z", "2025-11-04T05:00:00Z"]),
    // twice a day, midnight comes twice
    ("America/Havana", "0 0,12 * * *", "2025-11-01T12:00:00Z", &["2025-11-01T16:00:00Z", "2025-11-02T04:00:00Z", "2025-11-02T17:00:00Z"]),
    // the end of the gap is on the next day
    ("Asia/Pyongyang", "45 23 * * *", "2018-05-03T00:00:00Z", &["2018-05-03T15:15:00Z", "2018-05-04T15:00:00Z", "2018-05-05T14:45:00Z"]),
    // every hour over half an hour at midnight
    ("Asia/Pyongyang", "0 * * * *", "2018-05-04T12:00:00Z", &["2018-05-04T12:30:00Z", "2018-05-04T13:30:00Z", "2018-05-04T14:30:00Z", "2018-05-04T15:00:00Z", "2018-05-04T16:00:00Z", "2018-05-04T17:00:00Z"]),
    // an offset with seconds
    ("Africa/Monrovia", "15 0 * * *", "1972-01-05T12:00:00Z", &["1972-01-06T00:59:30Z", "1972-01-07T00:44:30Z", "1972-01-08T00:15:00Z"]),
    // every hour over a gap of 44 minutes and 30 seconds
    ("Africa/Monrovia", "10 * * * *", "1972-01-06T22:00:00Z", &["1972-01-06T22:54:30Z", "1972-01-06T23:54:30Z", "1972-01-07T00:44:30Z", "1972-01-07T01:10:00Z", "1972-01-07T02:10:00Z"]),
];

/// Row 13.
#[test]
fn named_zones_run_at_the_instants_that_were_computed_elsewhere() {
    for (name, text, after, expected) in CASES {
        assert_eq!(runs(text, after, &zone(name), expected.len()), *expected, "{text} in {name} after {after}");
    }
}

#[test]
fn one_time_of_a_zone_runs_at_the_first_of_two_and_at_the_end_of_a_gap() {
    for (name, text, expected) in [
        ("America/New_York", "@at 2025-03-09T02:30:00", "2025-03-09T07:00:00Z"),
        ("America/New_York", "@at 2025-11-02T01:30:00", "2025-11-02T05:30:00Z"),
        ("America/New_York", "@at 2025-11-02T01:30:00-05:00", "2025-11-02T06:30:00Z"),
        ("America/New_York", "@at 2025-07-01T12:00:00.250", "2025-07-01T16:00:00.25Z"),
        ("Pacific/Apia", "@at 2011-12-30T12:00:00", "2011-12-30T10:00:00Z"),
        ("UTC", "@at 2025-03-09T02:30:00", "2025-03-09T02:30:00Z"),
    ] {
        assert_eq!(runs(text, "1970-01-01T00:00:00Z", &zone(name), 5), [expected], "{text} in {name}");
        assert!(read(text).is_once());
        assert_eq!(read(text).next(at(expected), &zone(name)), None);
    }
    assert!(!read("0 0 1 1 *").is_once());
}

#[test]
fn intervals_are_counted_from_the_epoch_in_every_zone() {
    for name in ["UTC", "Australia/Lord_Howe"] {
        let after = "2025-10-04T15:21:07.5Z";
        assert_eq!(runs("@every 5m", after, &zone(name), 2), ["2025-10-04T15:25:00Z", "2025-10-04T15:30:00Z"]);
        assert_eq!(read("@every 5m").interval(), Some(std::time::Duration::from_mins(5)));
        assert_eq!(runs("@every 1d", after, &zone(name), 2), ["2025-10-05T00:00:00Z", "2025-10-06T00:00:00Z"]);
        assert_eq!(runs("@every 1500ms", after, &zone(name), 2), ["2025-10-04T15:21:09Z", "2025-10-04T15:21:10.5Z"]);
    }
}

/// A zone, an expression, a run, and what is said of it.
type Note = (&'static str, &'static str, &'static str, Option<&'static str>);

const NOTES: &[Note] = &[
    (
        "America/New_York",
        "30 2 * * *",
        "2025-03-09T07:00:00Z",
        Some("02:30 does not exist on this day: clocks go from 02:00 to 03:00"),
    ),
    (
        "America/New_York",
        "0 2,3 * * *",
        "2025-03-09T07:00:00Z",
        Some("02:00 does not exist on this day: clocks go from 02:00 to 03:00"),
    ),
    ("America/New_York", "30 2 * * *", "2025-03-10T06:30:00Z", None),
    ("America/New_York", "30 2 * * *", "2025-03-10T06:31:00Z", None),
    ("America/New_York", "0 3 * * *", "2025-03-09T07:00:00Z", None),
    ("America/New_York", "0 * * * *", "2025-03-09T07:00:00Z", None),
    (
        "America/New_York",
        "30 1 * * *",
        "2025-11-02T05:30:00Z",
        Some("01:30 comes twice on this day; this is the first"),
    ),
    ("America/New_York", "30 1 * * *", "2025-11-02T06:30:00Z", None),
    (
        "America/New_York",
        "30 * * * *",
        "2025-11-02T05:30:00Z",
        Some("01:30 comes twice on this day; this is the first"),
    ),
    (
        "America/New_York",
        "30 * * * *",
        "2025-11-02T06:30:00Z",
        Some("01:30 comes twice on this day; this is the second"),
    ),
    ("America/New_York", "30 * * * *", "2025-11-02T07:30:00Z", None),
    (
        "Australia/Lord_Howe",
        "15 * * * *",
        "2025-10-04T15:30:00Z",
        Some("02:15 does not exist on this day: clocks go from 02:00 to 02:30"),
    ),
    ("Australia/Lord_Howe", "*/15 * * * *", "2025-10-04T15:30:00Z", None),
    (
        "Asia/Pyongyang",
        "45 23 * * *",
        "2018-05-04T15:00:00Z",
        Some("23:45 does not exist on 2018-05-04: clocks go from 23:30 to 00:00"),
    ),
    (
        "Africa/Monrovia",
        "15 0 * * *",
        "1972-01-07T00:44:30Z",
        Some("00:15 does not exist on this day: clocks go from 00:00 to 00:44:30"),
    ),
    (
        "America/New_York",
        "@at 2025-03-09T02:30:00",
        "2025-03-09T07:00:00Z",
        Some("02:30 does not exist on this day: clocks go from 02:00 to 03:00"),
    ),
    (
        "America/New_York",
        "@at 2025-11-02T01:30:00",
        "2025-11-02T05:30:00Z",
        Some("01:30 comes twice on this day; this is the first"),
    ),
    ("America/New_York", "@at 2025-11-02T05:30:00Z", "2025-11-02T05:30:00Z", None),
    ("America/New_York", "@every 1h", "2025-11-02T05:00:00Z", None),
];

#[test]
fn a_run_that_the_clocks_have_touched_says_how() {
    for (name, text, tick, note) in NOTES {
        assert_eq!(read(text).note(at(tick), &zone(name)).as_deref(), *note, "{text} in {name} at {tick}");
    }
}

#[test]
fn leap_days_are_found_over_a_century_without_one() {
    let utc = zone("UTC");
    let found = runs("0 0 29 2 *", "2091-06-01T00:00:00Z", &utc, 4);
    assert_eq!(found, ["2092-02-29T00:00:00Z", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"]);
    // A leap day that is a Sunday: 40 years apart over 2100.
    let found = runs("0 0 29 2 */7", "2026-01-01T00:00:00Z", &utc, 4);
    assert_eq!(found, ["2032-02-29T00:00:00Z", "2060-02-29T00:00:00Z", "2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"]);
    // The fifth Friday of a February.
    let found = runs("0 0 * 2 fri#5", "2026-01-01T00:00:00Z", &utc, 2);
    assert_eq!(found, ["2036-02-29T00:00:00Z", "2064-02-29T00:00:00Z"]);
}

#[test]
fn days_by_their_place_are_those_of_the_calendar() {
    let utc = zone("UTC");
    for (text, expected) in [
        ("0 0 L * *", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ("0 0 LW * *", ["2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30"]),
        ("0 0 15W * *", ["2026-01-15", "2026-02-16", "2026-03-16", "2026-04-15"]),
        ("0 0 1W * *", ["2026-01-01", "2026-02-02", "2026-03-02", "2026-04-01"]),
        ("0 0 31W * *", ["2026-01-30", "2026-03-31", "2026-05-29", "2026-07-31"]),
        ("0 0 * * friL", ["2026-01-30", "2026-02-27", "2026-03-27", "2026-04-24"]),
        ("0 0 * * mon#2", ["2026-01-12", "2026-02-09", "2026-03-09", "2026-04-13"]),
        ("0 0 13 * fri", ["2026-01-02", "2026-01-09", "2026-01-13", "2026-01-16"]),
        ("0 0 */10 * fri", ["2026-05-01", "2026-07-31", "2026-08-21", "2026-09-11"]),
    ] {
        let days = expected.map(|day| format!("{day}T00:00:00Z"));
        assert_eq!(runs(text, "2025-12-31T12:00:00Z", &utc, 4), days, "{text}");
    }
}

#[test]
fn what_never_comes_is_never_and_the_end_of_time_is_no_panic() {
    let zone = zone("America/New_York");
    for text in ["0 0 30 2 *", "0 0 31 4,6 *", "0 0 31W 2,9 *", "0 0 LW * */7"] {
        assert_eq!(read(text).next(at("2026-01-01T00:00:00Z"), &zone), None, "{text}");
    }
    for text in ["* * * * * *", "0 3 * * *", "0 * * * *", "0 0 29 2 *", "@every 1h", "@at 9999-12-30T00:00:00"] {
        let mut last = at("9999-12-28T00:00:00Z");
        for _ in 0..100 {
            match read(text).next(last, &zone) {
                Some(next) => last = next,
                None => break,
            }
        }
        assert!(shown(last).as_str() >= "9999-12-28", "{text}");
        assert_eq!(read(text).next(Timestamp::from_millis(u64::MAX), &zone), None, "{text}");
        assert_eq!(read(text).note(Timestamp::from_millis(u64::MAX), &zone), None, "{text}");
        assert_eq!(read(text).note(Timestamp::from_millis(0), &zone), None, "{text}");
    }
}
