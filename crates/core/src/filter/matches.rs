//! The meaning of a filter, by which every query is tested.

use crate::clock::Timestamp;
use crate::filter::leaves::{Leaf, leaves};
use crate::filter::{ErrorWords, KindPattern, Test, words};
use crate::fingerprint::Fingerprint;
use crate::id::JobId;
use crate::names::{Kind, QueueName, Tenant, WorkerId};
use crate::state::{DiscardReason, State};

/// What a filter asks of one job, borrowed from wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its id.
    pub id: &'a JobId,
    /// Where it stands.
    pub state: State,
    /// Its queue.
    pub queue: &'a QueueName,
    /// Its kind; absent when the stored form cannot be read.
    pub kind: Option<&'a Kind>,
    /// The customer or team.
    pub tenant: Option<&'a Tenant>,
    /// Its labels.
    pub tags: &'a [String],
    /// The workers that ran its attempts.
    pub workers: &'a [WorkerId],
    /// Why it was discarded.
    pub reason: Option<DiscardReason>,
    /// The fingerprints of its errors.
    pub failures: &'a [Fingerprint],
    /// The texts of its errors.
    pub errors: &'a [String],
    /// The number of its last attempt; 0 before the first.
    pub attempt: u32,
    /// When it was enqueued.
    pub created: Timestamp,
    /// When it came to its end.
    pub ended: Option<Timestamp>,
    /// Its arguments as JSON text; absent when the stored form cannot be read.
    pub args: Option<&'a str>,
    /// How many leaves of the arguments can be found, in the order of the text: what the index gives to [`leaves`].
    pub most_leaves: usize,
}

/// Whether any value of the test fits.
pub(super) fn test(test: &Test, facts: &Facts<'_>) -> bool {
    match test {
        Test::State(values) => values.contains(&facts.state),
        Test::Kind(values) => facts.kind.is_some_and(|kind| values.iter().any(|pattern| kind_fits(pattern, kind))),
        Test::Queue(values) => values.contains(facts.queue),
        Test::Tenant(values) => values.iter().any(|value| value.as_ref() == facts.tenant),
        Test::Tag(values) => values.iter().any(|value| facts.tags.contains(value)),
        Test::Id(values) => values.contains(facts.id),
        Test::Worker(values) => values.iter().any(|value| facts.workers.contains(value)),
        Test::Reason(values) => facts.reason.is_some_and(|reason| values.contains(&reason)),
        Test::Failure(values) => values.iter().any(|value| facts.failures.contains(value)),
        Test::Error(values) => errors_fit(values, facts.errors),
        Test::Attempt(values) => values.iter().any(|range| range.contains(facts.attempt)),
        Test::Created(values) => values.iter().any(|range| range.contains(facts.created)),
        Test::Ended(values) => facts.ended.is_some_and(|ended| values.iter().any(|range| range.contains(ended))),
        Test::Argument { path, values } => {
            let wanted: Vec<Leaf> = values.iter().flat_map(super::ArgumentValue::leaves).collect();
            let found = leaves(facts.args.unwrap_or_default(), facts.most_leaves);
            found.iter().any(|(at, leaf)| at == path && wanted.contains(leaf))
        }
    }
}

fn kind_fits(pattern: &KindPattern, kind: &Kind) -> bool {
    match pattern {
        KindPattern::Exact(exact) => exact == kind,
        KindPattern::Prefix(prefix) => kind.as_str().starts_with(prefix.as_str()),
    }
}

/// Words that stand in the errors of all attempts taken together: an index knows the words of a job, not of each attempt.
fn errors_fit(values: &[ErrorWords], errors: &[String]) -> bool {
    let there: Vec<String> = errors.iter().flat_map(|error| words(error)).collect();
    values.iter().any(|value| value.as_slice().iter().all(|word| there.contains(word)))
}
