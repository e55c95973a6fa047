//! Schedules: what is read, what is refused and how, when it runs in which zone, and what it says in words.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod named;
mod parser;
mod reference;
mod tzdb;
mod words;
mod written;

use jiff::tz::TimeZone;
use lovage_core::Timestamp;
use lovage_core::cron::Recurrence;

fn read(text: &str) -> Recurrence {
    Recurrence::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The instant of a text like `2026-11-24T03:00:00Z`.
fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    Timestamp::from_millis(at.as_millisecond() as u64)
}

/// The instant as text, in UTC.
fn shown(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis() as i64).unwrap().to_string()
}

/// A zone of the machine's database, without which these tests say nothing.
fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or_else(|error| {
        panic!("time zone {name}: {error}; install the time zone database: apt-get install tzdata")
    })
}

/// The first runs after an instant, as text.
fn runs(text: &str, after: &str, zone: &TimeZone, count: usize) -> Vec<String> {
    let (recurrence, mut last) = (read(text), at(after));
    let mut runs = Vec::new();
    while runs.len() < count
        && let Some(next) = recurrence.next(last, zone)
    {
        assert!(next > last, "{text} goes back from {last} to {next}");
        runs.push(shown(next));
        last = next;
    }
    runs
}
