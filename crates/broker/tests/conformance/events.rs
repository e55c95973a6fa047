//! The stream of events: the outbox from which history and live pages are made.

use lovage_core::{DiscardReason, EventKind, State, Transition};

use crate::bench::{Bench, EVENTS_KEPT, failure, retry_in, seconds};

pub async fn every_change_tells_its_story(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    bench.finish(&job, retry_in(seconds(1))).await;
    bench.clock.advance(seconds(1));
    bench.claim_one().await;
    bench.lose_workers().await;
    let job = bench.claim_one().await;
    bench.broker.cancel(&bench.queue, &id).await.unwrap();
    let error = failure("no");
    bench.finish(&job, Transition::Discard { reason: DiscardReason::Rejected, error }).await;
    bench.broker.retry(&bench.queue, &id).await.unwrap();
    bench.broker.cancel(&bench.queue, &id).await.unwrap();
    bench.broker.delete(&bench.queue, &id).await.unwrap();

    let page = bench.broker.events(&bench.queue, None, 100).await.unwrap();
    let story: Vec<_> = page.events.iter().map(|event| (event.kind, event.state, event.attempt)).collect();
    assert_eq!(
        story,
        [
            (EventKind::Enqueued, Some(State::Available), 0),
            (EventKind::Claimed, Some(State::Running), 1),
            (EventKind::Finished, Some(State::Retryable), 1),
            (EventKind::Promoted, Some(State::Available), 1),
            (EventKind::Claimed, Some(State::Running), 2),
            (EventKind::Lost, Some(State::Available), 2),
            (EventKind::Claimed, Some(State::Running), 3),
            (EventKind::CancelRequested, Some(State::Running), 3),
            (EventKind::Finished, Some(State::Discarded), 3),
            (EventKind::Redriven, Some(State::Available), 3),
            (EventKind::Cancelled, Some(State::Cancelled), 3),
            (EventKind::Deleted, None, 3),
        ]
    );
    assert!(page.events.iter().all(|event| event.id == id && event.queue == bench.queue));
    assert_eq!(page.events[1].worker.as_ref(), Some(&bench.worker));
    assert_eq!(page.events[8].reason, Some(DiscardReason::Rejected));
    assert!(!page.gap);
}

pub async fn reading_resumes_after_the_cursor(bench: Bench) {
    let ids = bench.add_many(10).await;
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = bench.broker.events(&bench.queue, cursor.as_deref(), 3).await.unwrap();
        assert!(!page.gap);
        if page.events.is_empty() {
            assert_eq!(page.next, cursor, "nothing new, the same place");
            break;
        }
        seen.extend(page.events.into_iter().map(|event| event.id));
        cursor = page.next;
    }
    assert_eq!(seen, ids);
    let newest = bench.add(bench.job(11)).await;
    let page = bench.broker.events(&bench.queue, cursor.as_deref(), 3).await.unwrap();
    assert_eq!(page.events.iter().map(|event| &event.id).collect::<Vec<_>>(), [&newest]);
}

pub async fn dropped_events_are_a_gap(bench: Bench) {
    bench.add_many(1).await;
    let page = bench.broker.events(&bench.queue, None, 10).await.unwrap();
    // One call a job, so that every broker has at least this many entries to drop.
    for n in 0..(EVENTS_KEPT as u64 * 3) {
        bench.add(bench.job(n)).await;
    }
    let late = bench.broker.events(&bench.queue, page.next.as_deref(), 10).await.unwrap();
    assert!(late.gap, "events between the cursor and the oldest kept one are gone");
    assert!(!late.events.is_empty(), "reading goes on at the oldest kept one");
    let fresh = bench.broker.events(&bench.queue, late.next.as_deref(), 10).await.unwrap();
    assert!(!fresh.gap);
}
