//! Unique keys. Row 22 of the thirty failures: a lock that leaks, or is freed too early.

use lovage_broker::{EnqueueOutcome, Refused};
use lovage_core::{Debounce, DiscardReason, Hold, NewJob, OnConflict, State, Timestamp, Transition, Unique};

use crate::bench::{Bench, LEASE, failure, held, seconds};

fn unique(bench: &Bench, n: u64, on_conflict: OnConflict) -> NewJob {
    let mut job = bench.job(n);
    job.unique = Some(Unique { ttl_ms: 60_000, on_conflict, ..Unique::key("report:2026-11") });
    job
}

pub async fn the_holder_is_returned(bench: Bench) {
    let holder = bench.add(unique(&bench, 1, OnConflict::Return)).await;
    assert_eq!(bench.enqueue(unique(&bench, 2, OnConflict::Return)).await, EnqueueOutcome::Existing(holder.clone()));
    let mut elsewhere = unique(&bench, 3, OnConflict::Return);
    elsewhere.unique = Some(Unique::key("report:2026-12"));
    assert!(matches!(bench.enqueue(elsewhere).await, EnqueueOutcome::Enqueued(_)));
    assert_eq!(bench.claim(10).await.len(), 2);
}

pub async fn a_second_job_is_rejected_with_the_holder(bench: Bench) {
    let holder = bench.add(unique(&bench, 1, OnConflict::Return)).await;
    let outcome = bench.enqueue(unique(&bench, 2, OnConflict::Reject)).await;
    assert_eq!(outcome, EnqueueOutcome::Refused(Refused::UniqueTaken { holder }));
}

pub async fn a_waiting_holder_takes_the_new_content(bench: Bench) {
    let holder = bench.add(unique(&bench, 1, OnConflict::Replace)).await;
    let second = bench.add(bench.job(9)).await;
    let outcome = bench.enqueue(unique(&bench, 2, OnConflict::Replace)).await;
    assert_eq!(outcome, EnqueueOutcome::Replaced(holder.clone()));
    let claimed = bench.claim(10).await;
    assert_eq!([&claimed[0].id, &claimed[1].id], [&holder, &second], "it keeps its place");
    assert!(claimed[0].spec.contains(r#"{"n":2}"#), "{}", claimed[0].spec);
}

pub async fn a_running_holder_is_followed_by_the_new_job(bench: Bench) {
    let first = bench.add(unique(&bench, 1, OnConflict::Replace)).await;
    let running = bench.claim_one().await;
    let EnqueueOutcome::Enqueued(second) = bench.enqueue(unique(&bench, 2, OnConflict::Replace)).await else {
        panic!("the change must not be lost");
    };
    assert_ne!(first, second);
    // The key is the second job's now: a third one replaces that, and the end of the first does not free it.
    assert_eq!(bench.complete(&running).await, lovage_broker::LeaseStatus::Held);
    let third = bench.enqueue(unique(&bench, 3, OnConflict::Replace)).await;
    assert_eq!(third, EnqueueOutcome::Replaced(second));
}

pub async fn the_key_is_free_after_the_end(bench: Bench) {
    bench.add(unique(&bench, 1, OnConflict::Reject)).await;
    let job = bench.claim_one().await;
    bench.finish(&job, crate::bench::retry_in(seconds(5))).await;
    assert!(bench.enqueue(unique(&bench, 2, OnConflict::Reject)).await.id().is_none(), "a retry is not the end");
    bench.clock.advance(seconds(5));
    let job = bench.claim_one().await;
    bench.complete(&job).await;
    assert!(bench.enqueue(unique(&bench, 3, OnConflict::Reject)).await.id().is_some());
}

pub async fn the_key_outlives_the_end_when_held_for_its_time(bench: Bench) {
    let held_for_time = |n| {
        let mut job = unique(&bench, n, OnConflict::Return);
        job.unique.as_mut().unwrap().hold = Hold::Ttl;
        job
    };
    let first = bench.add(held_for_time(1)).await;
    let job = bench.claim_one().await;
    bench.complete(&job).await;
    bench.clock.advance(seconds(59));
    assert_eq!(bench.enqueue(held_for_time(2)).await, EnqueueOutcome::Existing(first));
    bench.clock.advance(seconds(2));
    assert!(matches!(bench.enqueue(held_for_time(3)).await, EnqueueOutcome::Enqueued(_)));
}

pub async fn row_22_a_key_never_outlives_its_time(bench: Bench) {
    let first = bench.add(unique(&bench, 1, OnConflict::Reject)).await;
    bench.clock.advance(seconds(61));
    let second = bench.add(unique(&bench, 2, OnConflict::Reject)).await;
    assert_ne!(first, second);
    assert!(bench.enqueue(unique(&bench, 3, OnConflict::Reject)).await.id().is_none(), "one owner at a time");
}

pub async fn row_22_a_held_key_is_renewed_with_the_lease(bench: Bench) {
    bench.add(unique(&bench, 1, OnConflict::Reject)).await;
    let job = bench.claim_one().await;
    for _ in 0..10 {
        bench.clock.advance(seconds(20));
        bench.broker.renew(&bench.queue, &[held(&job)], LEASE).await.unwrap();
    }
    assert!(bench.enqueue(unique(&bench, 2, OnConflict::Reject)).await.id().is_none(), "200 s on a lock of 60 s");
}

pub async fn every_final_state_frees_the_key(bench: Bench) {
    let free = async |n: u64| bench.enqueue(unique(&bench, n, OnConflict::Reject)).await.id().cloned();
    // Discarded by the handler.
    free(1).await.expect("the first one");
    let job = bench.claim_one().await;
    bench.finish(&job, Transition::Discard { reason: DiscardReason::Rejected, error: failure("no") }).await;
    // Cancelled while it waits.
    let id = free(2).await.expect("free after a discard");
    bench.broker.cancel(&bench.queue, &id).await.unwrap();
    // Discarded by an operator.
    let id = free(3).await.expect("free after a cancel");
    bench.broker.discard(&bench.queue, &id).await.unwrap();
    // Deleted.
    let id = free(4).await.expect("free after an operator's discard");
    bench.broker.delete(&bench.queue, &id).await.unwrap();
    // Expired.
    let mut job = unique(&bench, 5, OnConflict::Reject);
    job.delay_ms = Some(1_000);
    job.expires_at = Some(lovage_core::Clock::now(&*bench.clock).plus(seconds(2)));
    let id = bench.add(job).await;
    bench.clock.advance(seconds(3));
    bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!(bench.state(&id).await, State::Discarded);
    // Lost at the cap. The lock lives 60 s and the leases 3 x 30 s, so give it more time.
    let mut job = unique(&bench, 6, OnConflict::Reject);
    job.unique.as_mut().unwrap().ttl_ms = 600_000;
    let id = bench.add(job).await;
    for _ in 0..3 {
        bench.claim_one().await;
        bench.lose_workers().await;
    }
    assert_eq!(bench.view(&id).await.reason, Some(DiscardReason::WorkerLost));
    free(7).await.expect("free after the last loss");
}

pub async fn a_job_that_lost_its_key_does_not_free_the_new_owners(bench: Bench) {
    let old = bench.add(unique(&bench, 1, OnConflict::Reject)).await;
    bench.clock.advance(seconds(61));
    bench.add(unique(&bench, 2, OnConflict::Reject)).await;
    bench.broker.cancel(&bench.queue, &old).await.unwrap();
    assert!(bench.enqueue(unique(&bench, 3, OnConflict::Reject)).await.id().is_none());
}

/// Due 5 s after the last call with the key, 12 s after the first at the latest.
fn debounced(bench: &Bench, n: u64) -> NewJob {
    let mut job = unique(bench, n, OnConflict::Replace);
    job.unique.as_mut().unwrap().debounce = Some(Debounce { max_wait_ms: 12_000 });
    job.delay_ms = Some(5_000);
    job
}

/// Seconds since the test's start, of an instant.
fn second(at: Option<Timestamp>) -> Option<u64> {
    at.map(|at| (at.as_millis() - crate::bench::START) / 1_000)
}

pub async fn a_debounced_job_is_due_when_nobody_has_asked_for_a_while(bench: Bench) {
    let id = bench.add(debounced(&bench, 1)).await;
    bench.clock.advance(seconds(4));
    assert_eq!(bench.enqueue(debounced(&bench, 2)).await, EnqueueOutcome::Replaced(id.clone()));
    let view = bench.view(&id).await;
    assert_eq!((view.state, second(view.due_at)), (State::Scheduled, Some(9)));
    bench.clock.advance(seconds(4));
    assert!(bench.claim(1).await.is_empty(), "the first time is over, but somebody asked since");
    bench.clock.advance(seconds(1));
    let job = bench.claim_one().await;
    assert!(job.id == id && job.spec.contains(r#"{"n":2}"#), "once, with what was said last: {}", job.spec);
    // The next one begins anew.
    bench.complete(&job).await;
    let next = bench.add(debounced(&bench, 3)).await;
    assert_eq!(second(bench.view(&next).await.due_at), Some(14));
}

pub async fn a_debounced_job_waits_no_longer_than_its_longest_wait(bench: Bench) {
    let id = bench.add(debounced(&bench, 0)).await;
    for n in 1..6 {
        bench.clock.advance(seconds(2));
        assert_eq!(bench.enqueue(debounced(&bench, n)).await, EnqueueOutcome::Replaced(id.clone()));
        assert_eq!(second(bench.view(&id).await.due_at), Some((2 * n + 5).min(12)));
    }
    bench.clock.advance(seconds(2));
    assert_eq!(bench.claim_one().await.id, id);
}

pub async fn a_debounced_job_may_be_brought_forward(bench: Bench) {
    let id = bench.add(debounced(&bench, 1)).await;
    let soon = NewJob { delay_ms: Some(1_000), ..debounced(&bench, 2) };
    assert_eq!(bench.enqueue(soon).await, EnqueueOutcome::Replaced(id.clone()));
    assert_eq!(second(bench.view(&id).await.due_at), Some(1));
    bench.clock.advance(seconds(1));
    assert_eq!(bench.claim_one().await.id, id);
}

pub async fn what_is_not_scheduled_any_more_is_not_put_off(bench: Bench) {
    let id = bench.add(debounced(&bench, 1)).await;
    bench.clock.advance(seconds(5));
    bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!(bench.enqueue(debounced(&bench, 2)).await, EnqueueOutcome::Replaced(id.clone()));
    assert_eq!(bench.state(&id).await, State::Available, "it takes the content, and its turn");
    let job = bench.claim_one().await;
    assert!(job.spec.contains(r#"{"n":2}"#));
    let beside = bench.enqueue(debounced(&bench, 3)).await;
    assert!(matches!(&beside, EnqueueOutcome::Enqueued(other) if *other != id), "beside one that runs: {beside:?}");
    assert_eq!(second(bench.view(beside.id().unwrap()).await.due_at), Some(10));
    // One that ran and was put off by its handler keeps that time.
    bench.broker.delete(&bench.queue, beside.id().unwrap()).await.unwrap();
    bench.complete(&job).await;
    let snoozed = bench.add(unique(&bench, 4, OnConflict::Replace)).await;
    let job = bench.claim_one().await;
    bench.finish(&job, crate::bench::release_in(seconds(1))).await;
    assert_eq!(bench.enqueue(debounced(&bench, 5)).await, EnqueueOutcome::Replaced(snoozed.clone()));
    assert_eq!(second(bench.view(&snoozed).await.due_at), Some(6));
}

pub async fn jobs_of_one_call_debounce_each_other(bench: Bench) {
    let later = |n, delay| NewJob { delay_ms: Some(delay), ..debounced(&bench, n) };
    // One that does not debounce leaves the time as it is.
    let last = unique(&bench, 3, OnConflict::Replace);
    let outcomes = bench.broker.enqueue(vec![debounced(&bench, 1), later(2, 8_000), last.clone()]).await.unwrap();
    let id = outcomes[0].id().unwrap().clone();
    assert_eq!(outcomes[1..], [EnqueueOutcome::Replaced(id.clone()), EnqueueOutcome::Replaced(id.clone())]);
    assert_eq!(second(bench.view(&id).await.due_at), Some(8));
    let outcomes = bench.broker.enqueue(vec![later(4, 10_000), last]).await.unwrap();
    assert_eq!(outcomes, [EnqueueOutcome::Replaced(id.clone()), EnqueueOutcome::Replaced(id.clone())]);
    assert_eq!(second(bench.view(&id).await.due_at), Some(10));
    bench.clock.advance(seconds(10));
    assert!(bench.claim_one().await.spec.contains(r#"{"n":3}"#));
}

pub async fn a_debounced_job_that_changes_its_tenant_is_put_off_too(bench: Bench) {
    let id = bench.add(debounced(&bench, 1)).await;
    bench.clock.advance(seconds(1));
    let other = NewJob { tenant: Some("acme".parse().unwrap()), ..debounced(&bench, 2) };
    assert_eq!(bench.enqueue(other).await, EnqueueOutcome::Replaced(id.clone()));
    let view = bench.view(&id).await;
    assert_eq!((second(view.due_at), view.tenant.is_some()), (Some(6), true));
    bench.clock.advance(seconds(5));
    assert_eq!(bench.claim_one().await.id, id);
}

/// A job that waits and replaces, with an expiry of its own.
fn expiring(bench: &Bench, n: u64, expires_in: Option<u64>) -> NewJob {
    let mut job = unique(bench, n, OnConflict::Replace);
    job.delay_ms = Some(5_000);
    job.expires_at = expires_in.map(|by| lovage_core::Clock::now(&*bench.clock).plus(seconds(by)));
    job
}

pub async fn a_replaced_job_expires_as_the_new_one_says(bench: Bench) {
    let id = bench.add(expiring(&bench, 1, Some(6))).await;
    assert_eq!(bench.enqueue(expiring(&bench, 2, Some(30))).await, EnqueueOutcome::Replaced(id.clone()));
    assert_eq!(second(bench.view(&id).await.expires_at), Some(30));
    bench.clock.advance(seconds(4));
    // One without an expiry takes it away: what was answered as replaced is not dropped.
    assert_eq!(bench.enqueue(debounced(&bench, 3)).await, EnqueueOutcome::Replaced(id.clone()));
    assert_eq!(bench.view(&id).await.expires_at, None);
    bench.clock.advance(seconds(50));
    bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!(bench.state(&id).await, State::Available);
    // One with an expiry brings it, also to a job that is available, and whatever else changes with it.
    let mut other = expiring(&bench, 4, Some(2));
    other.tenant = Some("acme".parse().unwrap());
    assert_eq!(bench.enqueue(other).await, EnqueueOutcome::Replaced(id.clone()));
    bench.clock.advance(seconds(3));
    bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!(bench.view(&id).await.reason, Some(DiscardReason::Expired));
}

pub async fn jobs_of_one_call_replace_each_others_expiry(bench: Bench) {
    let jobs = vec![expiring(&bench, 1, Some(6)), debounced(&bench, 2)];
    let outcomes = bench.broker.enqueue(jobs).await.unwrap();
    let id = outcomes[0].id().unwrap().clone();
    assert_eq!(outcomes[1], EnqueueOutcome::Replaced(id.clone()));
    assert_eq!(bench.view(&id).await.expires_at, None);
    bench.clock.advance(seconds(7));
    bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!(bench.state(&id).await, State::Available);
}

pub async fn row_22_a_job_that_is_put_off_holds_its_key_until_it_is_due(bench: Bench) {
    // The lock is as short as it may be.
    let short = |n| {
        let mut job = debounced(&bench, n);
        job.unique.as_mut().unwrap().ttl_ms = 12_000;
        job
    };
    let id = bench.add(short(1)).await;
    for n in 2..4 {
        bench.clock.advance(seconds(4));
        assert_eq!(bench.enqueue(short(n)).await, EnqueueOutcome::Replaced(id.clone()));
    }
    // Due at 12 s, by the longest wait; nobody may take the key before it has run, nor for the key's time from then on.
    assert_eq!(second(bench.view(&id).await.due_at), Some(12));
    bench.clock.advance(seconds(15));
    assert_eq!(bench.enqueue(short(4)).await, EnqueueOutcome::Replaced(id.clone()), "at 23 s it still waits");
    bench.clock.advance(seconds(1));
    assert!(matches!(bench.enqueue(short(5)).await, EnqueueOutcome::Enqueued(other) if other != id), "not for ever");
}

pub async fn row_22_jobs_of_one_call_that_put_off_hold_the_key(bench: Bench) {
    let mut long = debounced(&bench, 2);
    long.unique.as_mut().unwrap().debounce = Some(Debounce { max_wait_ms: 60_000 });
    long.delay_ms = Some(50_000);
    let outcomes = bench.broker.enqueue(vec![debounced(&bench, 1), long, debounced(&bench, 3)]).await.unwrap();
    let id = outcomes[0].id().unwrap().clone();
    // The second had it due at 50 s with a minute on top; the third brings it forward and takes nothing away.
    assert_eq!(second(bench.view(&id).await.due_at), Some(5));
    bench.clock.advance(seconds(109));
    assert_eq!(bench.enqueue(unique(&bench, 4, OnConflict::Return)).await, EnqueueOutcome::Existing(id));
    bench.clock.advance(seconds(1));
    assert!(matches!(bench.enqueue(unique(&bench, 5, OnConflict::Return)).await, EnqueueOutcome::Enqueued(_)));
}

pub async fn a_debounce_that_makes_no_sense_is_refused(bench: Bench) {
    type Edit = fn(&mut NewJob);
    let edits: [(&str, Edit); 5] = [
        ("unique.debounce", |job| job.delay_ms = None),
        ("unique.debounce", |job| job.unique.as_mut().unwrap().on_conflict = OnConflict::Return),
        ("unique.debounce.max_wait_ms", |job| job.delay_ms = Some(12_001)),
        ("unique.debounce.max_wait_ms", |job| job.unique.as_mut().unwrap().ttl_ms = 11_999),
        ("expires_at", |job| job.expires_at = Some(Timestamp::from_millis(crate::bench::START + 60_000))),
    ];
    for (field, edit) in edits {
        let mut job = debounced(&bench, 1);
        edit(&mut job);
        match bench.enqueue(job).await {
            EnqueueOutcome::Refused(Refused::Invalid(invalid)) => assert_eq!(invalid.field, field, "{invalid}"),
            other => panic!("{field}: {other:?}"),
        }
    }
}
