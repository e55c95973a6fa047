//! Which ticks run when, what overlapping runs mean, and what placeholders become.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use jiff::tz::TimeZone;
use lovage_core::schedule::{Before, Decision, Due, Overlap, ScheduleSpec, due};
use lovage_core::{JobId, Timestamp};

fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(at.as_millisecond() as u64)
}

fn spec(more: &str) -> ScheduleSpec {
    let json = format!(r#"{{"name": "nightly", "queue": "exports", "kind": "export.query", {more}}}"#);
    ScheduleSpec::parse(&json, zone).unwrap()
}

fn refused(more: &str) -> String {
    let json = format!(r#"{{"name": "nightly", "queue": "exports", "kind": "export.query", {more}}}"#);
    ScheduleSpec::parse(&json, zone).unwrap_err().to_string()
}

fn hourly(more: &str) -> ScheduleSpec {
    spec(&format!(r#""cron": "0 * * * *"{more}"#))
}

/// Hours of 2026-03-02 (UTC).
fn hours(hours: impl IntoIterator<Item = u64>) -> Vec<Timestamp> {
    hours.into_iter().map(|hour| at("2026-03-02T00:00:00Z").plus(Duration::from_hours(hour))).collect()
}

fn due_between(spec: &ScheduleSpec, last: &str, now: &str) -> Due {
    due(spec, &TimeZone::UTC, at(last), at(now))
}

#[test]
fn a_tick_in_time_runs_whatever_the_policy() {
    for policy in ["skip", "once", "all"] {
        let spec = hourly(&format!(r#", "missed": "{policy}""#));
        let due = due_between(&spec, "2026-03-02T02:00:00.005Z", "2026-03-02T03:00:07Z");
        assert_eq!((due.ticks, due.missed), (hours([3]), 0), "{policy}");
        assert_eq!(due.next_at, Some(hours([4])[0]));
        assert_eq!(due.handled_to, at("2026-03-02T03:00:07Z"));
        let nothing = due_between(&spec, "2026-03-02T03:00:07Z", "2026-03-02T03:59:59.999Z");
        assert_eq!((nothing.ticks, nothing.missed, nothing.next_at), (vec![], 0, Some(hours([4])[0])));
    }
}

/// Row 11: all schedulers were away for ten ticks.
#[test]
fn missed_ticks_are_dealt_with_by_policy() {
    let away = |more: &str| due_between(&hourly(more), "2026-03-02T02:00:00Z", "2026-03-02T12:30:00Z");
    let skip = away(r#", "missed": "skip""#);
    assert_eq!((skip.ticks, skip.missed), (vec![], 10));
    let once = away("");
    assert_eq!((once.ticks, once.missed), (hours([12]), 9), "the latest is the default");
    let recent = away(r#", "missed_age": "20m""#);
    assert_eq!((recent.ticks, recent.missed), (vec![], 10), "the latest is too old");
    let all = away(r#", "missed": "all""#);
    assert_eq!((all.ticks, all.missed), (hours(3..=12), 0));
    let three = away(r#", "missed": "all", "missed_max": 3"#);
    assert_eq!((three.ticks, three.missed), (hours(10..=12), 7));
    let young = away(r#", "missed": "all", "missed_age": "4h""#);
    assert_eq!((young.ticks, young.missed), (hours(9..=12), 6));
    for due in [skip.next_at, once.next_at, all.next_at, three.next_at] {
        assert_eq!(due, Some(hours([13])[0]));
    }
}

#[test]
fn a_schedule_of_every_second_that_was_away_for_a_year_is_looked_at_at_once() {
    for more in ["", r#", "missed": "all", "missed_max": 1000, "missed_age": "400d""#, r#", "missed": "skip""#] {
        let spec = spec(&format!(r#""cron": "* * * * * *"{more}"#));
        let due = due_between(&spec, "2025-03-02T00:00:00Z", "2026-03-02T00:00:00.500Z");
        assert_eq!(*due.ticks.last().unwrap(), at("2026-03-02T00:00:00Z"));
        assert!(due.missed >= 9_000, "{} were counted", due.missed);
    }
}

#[test]
fn there_are_no_ticks_before_the_start_and_from_the_end_on() {
    let spec = hourly(r#", "missed": "all", "starts_at": "2026-03-02T04:00:00Z", "ends_at": "2026-03-02T06:00:00Z""#);
    let due = due_between(&spec, "2026-03-02T00:30:00Z", "2026-03-02T09:00:00Z");
    assert_eq!((due.ticks, due.next_at), (hours([4, 5]), None));
    let early = due_between(&spec, "2026-03-01T00:30:00Z", "2026-03-01T09:00:00Z");
    assert_eq!(
        (early.ticks, early.missed, early.next_at),
        (vec![], 0, Some(hours([4])[0])),
        "it is looked at when it starts"
    );
    let once = self::spec(r#""cron": "@at 2026-03-02T04:00:00Z""#);
    let due = due_between(&once, "2026-03-02T00:30:00Z", "2026-03-02T09:00:00Z");
    assert_eq!((due.ticks, due.next_at), (hours([4]), None));
}

#[test]
fn jitter_puts_a_tick_off_by_the_same_every_time_and_keeps_the_order() {
    let spec = spec(r#""cron": "* * * * *", "jitter": "30s", "missed": "all""#);
    let tick = at("2026-03-02T03:00:00Z");
    let jitter = spec.jitter_of(tick);
    assert!(jitter < Duration::from_secs(30));
    assert_eq!(jitter, spec.jitter_of(tick));
    assert!(
        (0..60).any(|minute| spec.jitter_of(tick.plus(Duration::from_mins(minute))) != jitter),
        "it differs by tick"
    );
    let start = tick.plus(jitter);
    let just_before = Timestamp::from_millis(start.as_millis() - 1);
    let early = due(&spec, &TimeZone::UTC, at("2026-03-02T02:59:59Z"), just_before);
    assert_eq!((early.ticks.clone(), early.next_at), (vec![], Some(start)));
    assert!(early.handled_to < tick, "the tick is not dealt with");
    let later = due(&spec, &TimeZone::UTC, early.handled_to, start);
    assert_eq!((later.ticks, later.missed), (vec![tick], 0));
}

/// Who is put off by jitter is not late because of that.
#[test]
fn jitter_makes_no_tick_missed() {
    for policy in [r#""missed": "skip""#, r#""missed": "once", "missed_age": "1m""#] {
        let spec = spec(&format!(r#""cron": "0 3 * * *", "jitter": "1h", {policy}"#));
        for day in 2..20 {
            let tick = at(&format!("2026-03-{day:02}T03:00:00Z"));
            let start = tick.plus(spec.jitter_of(tick));
            let due = due(&spec, &TimeZone::UTC, tick.plus(Duration::ZERO), start);
            assert!(due.ticks.is_empty(), "it was dealt with");
            let last = Timestamp::from_millis(tick.as_millis() - 1);
            let due = lovage_core::schedule::due(&spec, &TimeZone::UTC, last, start);
            assert_eq!((due.ticks, due.missed), (vec![tick], 0), "{policy}, put off by {:?}", spec.jitter_of(tick));
        }
    }
    let error = refused(r#""cron": "*/5 * * * *", "jitter": "10m""#);
    assert!(error.contains("jitter") && error.contains("between two ticks"), "{error}");
}

#[test]
fn the_zone_says_which_day_it_is() {
    let spec = spec(
        r#""cron": "30 2 * * *", "timezone": "Europe/Berlin",
            "args": {"day": "{{ tick.date }}", "before": "{{tick.date - 1d}}", "at": "{{ tick.local }}", "big": 12345678901234567890}"#,
    );
    let berlin = zone("Europe/Berlin").unwrap();
    let summer = due(&spec, &berlin, at("2026-06-30T00:00:00Z"), at("2026-07-01T00:30:00Z")).ticks[0];
    assert_eq!(summer, at("2026-07-01T00:30:00Z"));
    let job = spec.job(summer, &berlin);
    assert_eq!(
        job.args.get(),
        r#"{"day": "2026-07-01", "before": "2026-06-30", "at": "2026-07-01T02:30:00+02:00", "big": 12345678901234567890}"#
    );
    // A day before the day after the clocks went forward is 23 hours before.
    let days = self::spec(
        r#""cron": "30 2 * * *", "args": {"from": "{{ tick.instant - 1d }}", "hours": "{{ tick.instant - 24h }}", "ms": "{{ tick.unix_ms - 1d }}"}"#,
    );
    let job = days.job(at("2026-03-30T00:30:00Z"), &berlin);
    assert_eq!(
        job.args.get(),
        r#"{"from": "2026-03-29T01:30:00.000Z", "hours": "2026-03-29T00:30:00.000Z", "ms": "1774747800000"}"#
    );
    // The day before the clocks go forward has 24 hours, the day itself 23.
    let after = at("2026-03-30T00:30:00Z");
    assert!(spec.job(after, &berlin).args.get().contains(r#""before": "2026-03-29""#));
}

#[test]
fn the_same_tick_is_the_same_job() {
    let spec = hourly(r#", "tags": ["nightly"], "metadata": {"team": "a"}, "expires_after": "2h", "priority": 2"#);
    let tick = at("2026-03-02T03:00:00Z");
    let (one, other) = (spec.job(tick, &TimeZone::UTC), spec.job(tick, &TimeZone::UTC));
    assert_eq!(one.id, Some("nightly:1772420400000".parse::<JobId>().unwrap()));
    assert_eq!((&one.id, &one.unique), (&other.id, &other.unique));
    assert_ne!(one.id, spec.job(tick.plus(Duration::from_hours(1)), &TimeZone::UTC).id);
    assert_eq!(one.metadata["tick"], "2026-03-02T03:00:00.000Z");
    assert_eq!((one.metadata["schedule"].as_str(), one.metadata["team"].as_str()), ("nightly", "a"));
    assert_eq!(one.expires_at, Some(at("2026-03-02T05:00:00Z")));
}

#[test]
fn what_overlaps_is_decided_by_the_rule() {
    use Before::{Ended, Unfinished, UnfinishedAndOneWaits};
    use Decision::{CancelThenEnqueue, Enqueue, Skip, Wait};
    let rule = |overlap: Overlap| [Ended, Unfinished, UnfinishedAndOneWaits].map(|before| overlap.decide(before));
    assert_eq!(rule(Overlap::Allow), [Enqueue, Enqueue, Enqueue]);
    assert_eq!(rule(Overlap::Skip), [Enqueue, Skip, Skip]);
    assert_eq!(rule(Overlap::QueueOne), [Enqueue, Wait, Skip]);
    assert_eq!(rule(Overlap::CancelPrevious), [Enqueue, CancelThenEnqueue, CancelThenEnqueue]);
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    for (more, parts) in [
        (r#""cron": "0 * * * *", "timezone": "Europe/Berln""#, &["timezone", "nightly", "Europe/Berln"][..]),
        (r#""cron": "61 * * * *""#, &["minute", "61"]),
        (r#""cron": "@every 10ms""#, &["1s"]),
        (r#""cron": "0 * * * *", "jitter": "2h""#, &["jitter", "1h"]),
        (r#""cron": "0 * * * *", "missed_max": 3"#, &["missed_max", "all"]),
        (r#""cron": "0 * * * *", "missed": "all", "missed_max": 5000"#, &["missed_max", "1000"]),
        (r#""cron": "0 * * * *", "missed": "skip", "missed_age": "1h""#, &["missed_age"]),
        (r#""cron": "0 * * * *", "missed_age": "59s""#, &["missed_age", "at least 1m"]),
        (r#""cron": "0 * * * *", "expires_after": "0s""#, &["expires_after", "at least 1s"]),
        (r#""cron": "0 * * * *", "success_within": "0s""#, &["success_within", "at least 1s"]),
        (
            r#""cron": "0 * * * *", "ends_at": "2026-01-01T00:00:00Z", "starts_at": "2026-01-01T00:00:00Z""#,
            &["ends_at"],
        ),
        (r#""cron": "0 * * * *", "ends_at": "tomorrow""#, &["tomorrow", "RFC 3339"]),
        (r#""cron": "0 * * * *", "args": {"day": "{{ tick.dat }}"}"#, &["args", "tick.dat", "tick.date"]),
        (r#""cron": "0 * * * *", "args": {"day": "{{ tick.date - x }}"}"#, &["args", "tick.date - x"]),
        (r#""cron": "0 * * * *", "args": {"day": "{{ tick.date"}"#, &["args", "not closed"]),
        (r#""cron": "0 * * * *", "tags": [""]"#, &["tags"]),
        (r#""cron": "0 * * * *", "crom": 1"#, &["crom"]),
        (r#""cron": "0 * * * *", "jitter": "soon""#, &["soon"]),
    ] {
        let error = refused(more);
        assert!(parts.iter().all(|part| error.contains(part)), "{more}: {error}");
    }
}

#[test]
fn a_schedule_is_read_as_it_was_written() {
    let spec = spec(
        r#""cron": "0 2 * * mon-fri", "timezone": "Asia/Shanghai", "args": {"b": 1.00, "a": 2}, "jitter": "90s",
            "starts_at": "2026-01-01T00:00:00+08:00", "missed": "all", "missed_max": 5, "overlap": "queue_one",
            "success_within": "26h", "description": "订单", "tenant": "acme""#,
    );
    let text = serde_json::to_string(&spec).unwrap();
    let again = ScheduleSpec::parse(&text, zone).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    assert_eq!(again.args.get(), r#"{"b": 1.00, "a": 2}"#);
    assert!(
        text.contains(r#""starts_at":"2025-12-31T16:00:00.000Z""#) && text.contains(r#""success_within":"1d2h""#),
        "{text}"
    );
}
