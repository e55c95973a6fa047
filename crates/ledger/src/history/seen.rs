//! What pages tell of one attempt, brought together. It comes to the same in whatever order they are written: of two that
//! speak of the same thing the earlier holds, in either database as here.

use std::collections::BTreeMap;

use lovage_core::history::{AttemptRecord, JobRecord, Outcome, RecordedError};

/// An attempt without its error, and its error.
pub(super) type Seen<'a> = (AttemptRecord, Option<&'a RecordedError>);

/// The attempts of which these looks at one job tell, by their numbers.
pub(super) fn attempts<'a>(looks: &[&'a JobRecord]) -> BTreeMap<u32, Seen<'a>> {
    let mut attempts: BTreeMap<u32, Seen<'a>> = BTreeMap::new();
    for told in looks.iter().flat_map(|look| &look.attempts) {
        let (attempt, error) = attempts.entry(told.attempt).or_default();
        attempt.attempt = told.attempt;
        attempt.worker = earlier(attempt.worker.take(), told.worker.clone());
        attempt.version = earlier(attempt.version.take(), told.version.as_deref().map(storable));
        attempt.started_at = earlier(attempt.started_at, told.started_at);
        attempt.ended_at = earlier(attempt.ended_at, told.ended_at);
        // In the order of the names, as a database has it. So "retryable", which a look supposes of whatever failed, gives
        // way to all that an event may have told of a failure.
        attempt.outcome = attempt.outcome.into_iter().chain(told.outcome).min_by_key(|outcome| Outcome::name(*outcome));
        *error = error.or(told.error.as_ref());
    }
    attempts
}

fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

/// A text without what PostgreSQL cannot hold in one.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
