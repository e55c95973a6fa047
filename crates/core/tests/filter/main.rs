//! The filter over the history of jobs: what is read, what is refused and how, what it means, and that it is written back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod index;
mod meaning;
mod refused;
mod written;

use lovage_core::Timestamp;
use lovage_core::filter::{Filter, Test};

/// 2026-11-26T12:00:00Z.
const NOON: u64 = 1_795_694_400_000;

fn now() -> Timestamp {
    Timestamp::from_millis(NOON)
}

fn read(text: &str) -> Filter {
    Filter::parse(text, now()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The test of a filter's only clause.
fn one(text: &str) -> Test {
    let mut filter = read(text);
    assert_eq!(filter.clauses.len(), 1, "{text}");
    filter.clauses.remove(0).test
}
