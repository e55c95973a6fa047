//! What somebody records elsewhere is kept until it is recorded, within a bound. (`retention` and `events` check what
//! happens where nobody records.)

use lovage_broker::{BrokerError, BulkAction};
use lovage_core::{DiscardReason, Event, EventKind, JobId, NewJob, State, Transition};

use crate::bench::{Bench, EVENTS_KEPT, UNRECORDED_KEPT, failure, seconds};
use crate::retention::{complete_all, swept};

/// Longer than the suite keeps any ended job.
const OLD: u64 = 3 * 3_600;

/// All kept events after a cursor; panics if some are missing.
async fn read(bench: &Bench, cursor: Option<&str>) -> Vec<Event> {
    let (mut events, mut next) = (Vec::new(), cursor.map(str::to_owned));
    loop {
        let page = bench.broker.events(&bench.queue, next.as_deref(), 1_000).await.unwrap();
        assert!(!page.gap, "nothing is missing after {next:?}");
        if page.events.is_empty() {
            return events;
        }
        events.extend(page.events);
        next = page.next;
    }
}

async fn record(bench: &Bench, cursor: &str) {
    bench.broker.recorded(&bench.queue, cursor).await.unwrap();
}

/// Records that a job came and was deleted. Answers the cursor.
async fn begin(bench: &Bench) -> String {
    let id = bench.add(bench.job(0)).await;
    bench.broker.delete(&bench.queue, &id).await.unwrap();
    let cursor = read(bench, None).await.pop().unwrap().cursor;
    record(bench, &cursor).await;
    cursor
}

/// Records all that happened.
async fn record_all(bench: &Bench) {
    record(bench, &read(bench, None).await.pop().unwrap().cursor).await;
}

/// Enqueues jobs in calls of ten.
async fn say(bench: &Bench, events: usize) {
    for _ in 0..events / 10 {
        bench.add_many(10).await;
    }
}

async fn has_gap(bench: &Bench, cursor: &str) -> bool {
    bench.broker.events(&bench.queue, Some(cursor), 1).await.unwrap().gap
}

async fn are_there(bench: &Bench, ids: &[JobId]) -> Vec<JobId> {
    bench.broker.jobs(&bench.queue, ids).await.unwrap().into_iter().map(|job| job.id).collect()
}

pub async fn ended_jobs_stay_until_they_are_recorded(bench: Bench) {
    let start = begin(&bench).await;
    let ids = bench.add_many(5).await;
    let jobs = bench.claim(5).await;
    bench.complete(&jobs[0]).await;
    bench.clock.advance(seconds(1));
    bench.complete(&jobs[1]).await;
    bench.complete(&jobs[2]).await;
    bench.clock.advance(seconds(1));
    bench.finish(&jobs[3], Transition::Cancel).await;
    bench.finish(&jobs[4], Transition::Discard { reason: DiscardReason::Rejected, error: failure("no") }).await;
    let ends: Vec<_> =
        read(&bench, Some(&start)).await.into_iter().filter(|event| event.kind == EventKind::Finished).collect();
    bench.clock.advance(seconds(OLD));
    assert_eq!(swept(&bench).await, 0);
    record(&bench, &ends[0].cursor).await;
    assert_eq!(swept(&bench).await, 0, "others may have ended at the same time");
    record(&bench, &ends[1].cursor).await;
    assert_eq!(swept(&bench).await, 1);
    assert_eq!(are_there(&bench, &ids).await, ids[1..]);
    record(&bench, &ends[3].cursor).await;
    assert_eq!(swept(&bench).await, 2);
    assert_eq!(are_there(&bench, &ids).await, ids[3..]);
    record(&bench, &ends[4].cursor).await;
    assert_eq!(swept(&bench).await, 2, "when all is recorded, the last ones go too");
}

pub async fn jobs_beyond_the_count_stay_within_the_bound(bench: Bench) {
    // The suite keeps 20,000 of a state.
    begin(&bench).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.extend(bench.add_many(5_750).await);
        complete_all(&bench).await;
        bench.clock.advance(seconds(1));
    }
    assert_eq!(swept(&bench).await, 1_000, "20,000 and the bound of 2,000 stay");
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.completed, 20_000 + UNRECORDED_KEPT as u64);
    assert_eq!(are_there(&bench, &ids[999..1_001]).await, ids[1_000..1_001], "the oldest went");
    record_all(&bench).await;
    assert_eq!(swept(&bench).await, UNRECORDED_KEPT as u64);
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.completed, 20_000);
}

pub async fn events_stay_until_they_are_recorded(bench: Bench) {
    let start = begin(&bench).await;
    say(&bench, EVENTS_KEPT + UNRECORDED_KEPT - 10).await;
    bench.broker.sweep(&bench.queue).await.unwrap();
    let events = read(&bench, Some(&start)).await;
    assert_eq!(events.len(), EVENTS_KEPT + UNRECORDED_KEPT - 10);
    record(&bench, &events[1_499].cursor).await;
    bench.broker.sweep(&bench.queue).await.unwrap();
    assert!(has_gap(&bench, &start).await, "the first ones went");
    assert_eq!(read(&bench, Some(&events[1_499].cursor)).await.len(), events.len() - 1_500, "the others did not");
    record(&bench, &events.last().unwrap().cursor).await;
    bench.broker.sweep(&bench.queue).await.unwrap();
    assert!(has_gap(&bench, &events[1_499].cursor).await, "as many as ever are kept when all are recorded");
    assert_eq!(read(&bench, Some(&events[events.len() - EVENTS_KEPT].cursor)).await.len(), EVENTS_KEPT - 1);
}

pub async fn unrecorded_events_are_bounded(bench: Bench) {
    let start = begin(&bench).await;
    say(&bench, 5_000).await;
    assert!(has_gap(&bench, &start).await, "not more than the bound");
    let kept = read(&bench, None).await.len();
    let bound = EVENTS_KEPT + UNRECORDED_KEPT;
    // Both brokers drop events in larger pieces.
    assert!((bound..bound + 500).contains(&kept), "{kept}");
}

pub async fn nobody_records_any_more_after_a_day(bench: Bench) {
    let start = begin(&bench).await;
    bench.add_many(1).await;
    complete_all(&bench).await;
    say(&bench, EVENTS_KEPT + 1_000).await;
    bench.clock.advance(seconds(24 * 3_600 - 1));
    assert_eq!(swept(&bench).await, 0);
    assert!(!has_gap(&bench, &start).await);
    bench.clock.advance(seconds(1));
    assert_eq!(swept(&bench).await, 1, "as if nobody had ever recorded");
    assert!(has_gap(&bench, &start).await);
    // Who comes back begins again.
    let page = bench.broker.events(&bench.queue, Some(&start), 1).await.unwrap();
    record(&bench, &page.next.unwrap()).await;
    complete_all(&bench).await;
    bench.clock.advance(seconds(OLD));
    assert_eq!(swept(&bench).await, 0);
}

pub async fn an_older_cursor_moves_nothing_back(bench: Bench) {
    let start = begin(&bench).await;
    bench.add_many(2).await;
    complete_all(&bench).await;
    bench.clock.advance(seconds(OLD));
    assert_eq!(swept(&bench).await, 0, "they are held");
    record_all(&bench).await;
    record(&bench, &start).await;
    assert_eq!(swept(&bench).await, 2, "they were recorded");
}

pub async fn a_cursor_of_another_past_records_nothing(bench: Bench) {
    let elsewhere = NewJob { queue: "audit".parse().unwrap(), ..bench.job(0) };
    bench.add_all((0..50).map(|_| elsewhere.clone())).await;
    let foreign = bench.broker.events(&elsewhere.queue, None, 50).await.unwrap().next.unwrap();
    bench.add_many(2).await;
    complete_all(&bench).await;
    let ours = read(&bench, None).await.pop().unwrap().cursor;
    record(&bench, &foreign).await;
    bench.clock.advance(seconds(OLD));
    assert_eq!(swept(&bench).await, 0, "somebody records, and has recorded none of these");
    record(&bench, &ours).await;
    record(&bench, &foreign).await;
    assert_eq!(swept(&bench).await, 2, "what was recorded stays so");
}

pub async fn what_people_delete_is_not_held(bench: Bench) {
    begin(&bench).await;
    let ids = bench.add_many(2).await;
    complete_all(&bench).await;
    bench.clock.advance(seconds(OLD));
    swept(&bench).await;
    assert_eq!(are_there(&bench, &ids).await, ids, "they are held");
    bench.broker.delete(&bench.queue, &ids[0]).await.unwrap();
    assert_eq!(are_there(&bench, &ids).await, ids[1..]);
    let done = bench.broker.bulk(&bench.queue, State::Completed, BulkAction::Delete, None).await.unwrap().done;
    assert_eq!((done, are_there(&bench, &ids).await.len()), (1, 0));
}

pub async fn a_cursor_that_cannot_be_read_is_refused(bench: Bench) {
    let cursor = begin(&bench).await;
    for odd in ["", "soon", "1@2@3"] {
        let error = bench.broker.recorded(&bench.queue, odd).await.unwrap_err();
        assert!(matches!(&error, BrokerError::Invalid(_)) && error.to_string().contains("cursor"), "{error}");
    }
    bench.broker.recorded(&"nobody".parse().unwrap(), &cursor).await.unwrap();
    assert_eq!(bench.broker.queues().await.unwrap().len(), 1, "a queue that nobody has used is still none");
}
