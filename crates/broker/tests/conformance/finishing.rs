//! Ends of attempts.

use std::time::Duration;

use lovage_broker::{Finish, HeldLease, LeaseStatus};
use lovage_core::{AttemptError, Clock as _, DiscardReason, ErrorClass, State, Transition};

use crate::bench::{Bench, failure, held, retry_in, seconds};

pub async fn a_completed_job_keeps_its_result(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    bench.clock.advance(seconds(2));
    let result = serde_json::value::to_raw_value(&serde_json::json!({"rows": 3})).unwrap();
    assert_eq!(bench.finish(&job, Transition::Complete { result: Some(result) }).await, LeaseStatus::Held);
    let view = bench.view(&id).await;
    assert_eq!(view.state, State::Completed);
    assert_eq!(view.result.unwrap().get(), r#"{"rows":3}"#);
    assert_eq!(view.since, bench.clock.now());
    assert_eq!((view.attempt, view.failed, view.lease_until), (1, 0, None));
}

pub async fn a_failed_attempt_waits_and_comes_back(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let first = bench.claim_one().await;
    bench.finish(&first, retry_in(Duration::from_millis(1_500))).await;
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.attempt, view.failed), (State::Retryable, 1, 1));
    assert_eq!(view.due_at, Some(bench.clock.now().plus(Duration::from_millis(1_500))));
    assert_eq!(view.errors.len(), 1);
    let error = &view.errors[0];
    assert_eq!((error.attempt, error.class, error.message.as_str()), (1, ErrorClass::Failed, "no luck"));
    assert_eq!((error.at, error.worker.as_ref()), (bench.clock.now(), Some(&bench.worker)));

    bench.clock.advance(Duration::from_millis(1_499));
    assert!(bench.claim(1).await.is_empty());
    bench.clock.advance(Duration::from_millis(1));
    let second = bench.claim_one().await;
    assert_eq!((second.attempt, second.failed), (2, 1));
    assert!(second.token > first.token);
}

pub async fn a_snoozed_job_spends_no_attempt(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    bench.finish(&job, Transition::Release { delay: seconds(60), error: None }).await;
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.failed, view.errors.len()), (State::Scheduled, 0, 0));
    bench.clock.advance(seconds(60));
    let job = bench.claim_one().await;
    assert_eq!((job.attempt, job.failed), (2, 0), "another run, but no failure");
}

pub async fn a_released_job_returns_to_its_old_place(bench: Bench) {
    let ids = bench.add_many(3).await;
    let job = bench.claim_one().await;
    assert_eq!(bench.finish(&job, Transition::Release { delay: Duration::ZERO, error: None }).await, LeaseStatus::Held);
    assert_eq!(bench.state(&ids[0]).await, State::Available);
    let order: Vec<_> = bench.claim(3).await.into_iter().map(|job| (job.id, job.failed)).collect();
    assert_eq!(order, ids.into_iter().map(|id| (id, 0)).collect::<Vec<_>>());
}

pub async fn a_discarded_job_keeps_its_reason_and_error(bench: Bench) {
    for reason in [DiscardReason::AttemptsExhausted, DiscardReason::Rejected, DiscardReason::TimedOut] {
        let id = bench.add(bench.job(1)).await;
        let job = bench.claim_one().await;
        bench.finish(&job, Transition::Discard { reason, error: failure("relation \"x\" does not exist") }).await;
        let view = bench.view(&id).await;
        assert_eq!((view.state, view.reason, view.failed), (State::Discarded, Some(reason), 1));
        assert_eq!(view.errors[0].message, "relation \"x\" does not exist");
    }
}

pub async fn a_cancelled_attempt_ends_cancelled(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    bench.broker.cancel(&bench.queue, &id).await.unwrap();
    assert_eq!(bench.finish(&job, Transition::Cancel).await, LeaseStatus::Held);
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.cancel_requested), (State::Cancelled, false));
}

pub async fn one_bad_item_does_not_hinder_the_others(bench: Bench) {
    let ids = bench.add_many(3).await;
    let jobs = bench.claim(3).await;
    let complete = |lease| Finish { lease, transition: Transition::Complete { result: None } };
    let items = vec![
        complete(held(&jobs[0])),
        complete(HeldLease { id: jobs[1].id.clone(), token: jobs[1].token + 100 }),
        complete(HeldLease { id: "unheard-of".parse().unwrap(), token: 1 }),
        complete(held(&jobs[2])),
    ];
    let statuses = bench.broker.finish(&bench.queue, &bench.worker, items).await.unwrap();
    assert_eq!(statuses, [LeaseStatus::Held, LeaseStatus::Lost, LeaseStatus::Lost, LeaseStatus::Held]);
    assert_eq!(bench.state(&ids[0]).await, State::Completed);
    assert_eq!(bench.state(&ids[1]).await, State::Running);
    assert_eq!(bench.state(&ids[2]).await, State::Completed);
}

/// Row 07: two runs of one job; the old one acknowledges first and is refused, the new one is accepted.
pub async fn row_07_an_old_attempt_cannot_finish(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let old = bench.claim_one().await;
    bench.lose_workers().await;
    let new = bench.claim_one().await;
    for transition in [
        Transition::Complete { result: None },
        retry_in(seconds(1)),
        Transition::Release { delay: Duration::ZERO, error: None },
        Transition::Discard { reason: DiscardReason::Rejected, error: failure("old") },
        Transition::Cancel,
    ] {
        assert_eq!(bench.finish(&old, transition).await, LeaseStatus::Lost);
        assert_eq!(bench.state(&id).await, State::Running, "the new run is untouched");
    }
    assert_eq!(bench.complete(&new).await, LeaseStatus::Held);
    assert_eq!(bench.state(&id).await, State::Completed);
}

/// Whoever asks again because an answer was lost is told that all is well, and nothing is written twice.
pub async fn finishing_twice_counts_once(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    let twice = [Transition::Complete { result: None }, retry_in(seconds(1))];
    let items = twice.into_iter().map(|transition| Finish { lease: held(&job), transition }).collect();
    let statuses = bench.broker.finish(&bench.queue, &bench.worker, items).await.unwrap();
    assert_eq!(statuses, [LeaseStatus::Held, LeaseStatus::Held]);
    let before = bench.view(&id).await;
    bench.clock.advance(seconds(1));
    assert_eq!(bench.complete(&job).await, LeaseStatus::Held);
    let after = bench.view(&id).await;
    assert_eq!((after.state, after.failed, after.errors.len()), (State::Completed, 0, 0));
    assert_eq!(after.since, before.since);
    let events = bench.broker.events(&bench.queue, None, 100).await.unwrap().events;
    assert_eq!(events.len(), 3, "enqueued, claimed, finished: {events:?}");
    // Also for ends after which the job goes on, until it is somebody else's.
    bench.broker.retry(&bench.queue, &id).await.unwrap();
    let job = bench.claim_one().await;
    for _ in 0..2 {
        assert_eq!(bench.finish(&job, retry_in(seconds(60))).await, LeaseStatus::Held);
    }
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.failed, view.errors.len()), (State::Retryable, 1, 1));
    bench.clock.advance(seconds(60));
    let next = bench.claim_one().await;
    assert_eq!(bench.finish(&job, retry_in(seconds(60))).await, LeaseStatus::Lost, "another attempt has begun");
    assert_eq!(bench.complete(&next).await, LeaseStatus::Held);
}

/// Row 26: a kind without a handler is released with a note that a person finds; no attempt is spent.
pub async fn a_released_note_is_shown(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    let error = Some(AttemptError::new(ErrorClass::Released, "no handler for kind debug.noop"));
    bench.finish(&job, Transition::Release { delay: seconds(30), error }).await;
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.failed), (State::Scheduled, 0));
    assert_eq!(view.errors[0].class, ErrorClass::Released);
    assert_eq!(view.errors[0].message, "no handler for kind debug.noop");
}
