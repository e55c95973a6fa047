//! Actions on whole states, in slices.

use lovage_broker::BulkAction;
use lovage_core::{DiscardReason, State, Transition};

use crate::bench::{Bench, failure};

async fn all(bench: &Bench, state: State, action: BulkAction) -> (u64, usize) {
    let (mut done, mut calls, mut cursor) = (0, 0, None);
    loop {
        let progress = bench.broker.bulk(&bench.queue, state, action, cursor).await.unwrap();
        assert!(progress.done <= 1_000, "a slice is bounded");
        done += progress.done;
        calls += 1;
        cursor = progress.cursor;
        if cursor.is_none() {
            return (done, calls);
        }
    }
}

/// Row 21: nothing that an operator does to a big queue is one big script.
pub async fn row_21_a_purge_goes_in_bounded_slices(bench: Bench) {
    bench.add_many(4_500).await;
    let (done, calls) = all(&bench, State::Available, BulkAction::Delete).await;
    assert_eq!(done, 4_500);
    assert!(calls >= 5);
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.unfinished(), 0);
}

pub async fn a_bulk_retry_revives_the_dead(bench: Bench) {
    let ids = bench.add_many(50).await;
    for job in bench.claim(50).await {
        bench.finish(&job, Transition::Discard { reason: DiscardReason::Rejected, error: failure("no") }).await;
    }
    let (done, _) = all(&bench, State::Discarded, BulkAction::Retry).await;
    assert_eq!(done, 50);
    let mut revived: Vec<_> = bench.claim(100).await.into_iter().map(|job| job.id).collect();
    revived.sort();
    let mut expected = ids;
    expected.sort();
    assert_eq!(revived, expected);
}

pub async fn a_bulk_action_passes_over_what_it_may_not_touch(bench: Bench) {
    bench.add_many(3).await;
    bench.claim(3).await;
    assert_eq!(all(&bench, State::Running, BulkAction::Delete).await.0, 0);
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.running, 3);
    bench.add_many(4).await;
    assert_eq!(all(&bench, State::Available, BulkAction::Cancel).await.0, 4);
    assert_eq!(all(&bench, State::Cancelled, BulkAction::Cancel).await.0, 0);
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.cancelled, 4);
}
