//! Ordered keys: one job after the other, and the next one only after the end of the one before.

use std::time::Duration;

use lovage_broker::Cancelled;
use lovage_core::{Limits, State, Transition};

use crate::bench::{Bench, LEASE, number_of, numbers_of, release_in, retry_in, seconds};

async fn order(bench: &Bench, subject: &str) {
    bench.limit(subject, Limits { ordered: true, ..Limits::default() }).await;
}

pub async fn jobs_of_an_ordered_key_run_one_after_the_other(bench: Bench) {
    order(&bench, "key:*").await;
    bench.add_all((0..3).map(|n| bench.job_with_key(n, "a"))).await;
    bench.add_all((3..6).map(|n| bench.job_with_key(n, "b"))).await;
    for round in 0..3 {
        let jobs = bench.take(6).await.jobs;
        assert_eq!(numbers_of(&jobs), [round, round + 3], "one of each key");
        for job in &jobs {
            bench.complete(job).await;
        }
    }
}

/// A failure keeps its place: what comes after it must not overtake it.
pub async fn an_ordered_key_waits_for_a_retry(bench: Bench) {
    order(&bench, "key:a").await;
    bench.add_all((0..2).map(|n| bench.job_with_key(n, "a"))).await;
    bench.add(bench.job(2)).await;
    let first = bench.take(1).await.jobs.remove(0);
    bench.finish(&first, retry_in(seconds(60))).await;
    assert_eq!(bench.used("key:a").await, 1, "it keeps the slot while it waits");
    let claim = bench.take(3).await;
    assert_eq!(numbers_of(&claim.jobs), [2], "only what is not of the key");
    bench.complete(&claim.jobs[0]).await;
    let next_in = bench.take(1).await.next_in.unwrap();
    assert!(!next_in.is_zero() && next_in <= seconds(60), "{next_in:?}");
    bench.clock.advance(seconds(60));
    let again = bench.take(3).await.jobs;
    assert_eq!(numbers_of(&again), [0], "who holds the slot is let through");
    assert_eq!(again[0].attempt, 2);
    assert!(bench.take(3).await.jobs.is_empty());
    bench.complete(&again[0]).await;
    assert_eq!(numbers_of(&bench.take(3).await.jobs), [1]);
}

pub async fn an_ordered_key_waits_for_a_snooze_and_a_hand_back(bench: Bench) {
    order(&bench, "key:a").await;
    bench.add_all((0..2).map(|n| bench.job_with_key(n, "a"))).await;
    let first = bench.take(2).await.jobs.remove(0);
    bench.finish(&first, release_in(seconds(60))).await;
    assert!(bench.take(2).await.jobs.is_empty());
    bench.clock.advance(seconds(60));
    let first = bench.take(2).await.jobs.remove(0);
    assert_eq!(number_of(&first), 0);
    bench.finish(&first, release_in(Duration::ZERO)).await;
    let first = bench.take(2).await.jobs;
    assert_eq!(numbers_of(&first), [0]);
    bench.lose_workers().await;
    let first = bench.take(2).await.jobs;
    assert_eq!(numbers_of(&first), [0], "also after its worker was lost");
    assert_eq!(first[0].lost, 1);
}

/// Whatever ends the job that holds the slot lets the next one through.
pub async fn the_end_of_a_waiting_holder_lets_the_next_one_through(bench: Bench) {
    order(&bench, "key:a").await;
    bench.add_all((0..5).map(|n| bench.job_with_key(n, "a"))).await;
    for n in 0..4 {
        let job = bench.take(5).await.jobs.remove(0);
        assert_eq!(number_of(&job), n);
        bench.finish(&job, retry_in(seconds(3_600))).await;
        assert!(bench.take(5).await.jobs.is_empty());
        match n {
            0 => bench.broker.delete(&bench.queue, &job.id).await.unwrap(),
            1 => assert_eq!(bench.broker.cancel(&bench.queue, &job.id).await.unwrap(), Cancelled::Now),
            2 => bench.broker.discard(&bench.queue, &job.id).await.unwrap(),
            // Run now instead of later: it comes first, though its place is the last one.
            _ => {
                bench.broker.retry(&bench.queue, &job.id).await.unwrap();
                let again = bench.take(5).await.jobs;
                assert_eq!(numbers_of(&again), [3]);
                bench.finish(&again[0], Transition::Cancel).await;
            }
        }
    }
    assert_eq!(numbers_of(&bench.take(5).await.jobs), [4]);
    assert_eq!(bench.used("key:a").await, 1);
}

/// The one that holds the slot comes back behind thousands of its key that wait for it.
pub async fn a_holder_is_found_behind_a_crowd(bench: Bench) {
    order(&bench, "key:a").await;
    bench.add_all((0..3_000).map(|n| bench.job_with_key(n, "a"))).await;
    let first = bench.take(2).await.jobs;
    bench.finish(&first[0], retry_in(seconds(1))).await;
    assert!(bench.take(2).await.jobs.is_empty());
    bench.clock.advance(seconds(1));
    let again = bench.take(2).await.jobs;
    assert_eq!(numbers_of(&again), [0]);
    let next_in = bench.take(2).await.next_in.unwrap();
    assert!(!next_in.is_zero() && next_in <= LEASE, "{next_in:?}");
    let counts = bench.broker.queue(&bench.queue).await.unwrap().counts;
    assert_eq!((counts.of(State::Available), counts.of(State::Running)), (2_999, 1));
}

/// A slot that a job kept because its key was ordered does not stand in its own way when the key no longer is.
pub async fn a_key_that_is_no_longer_ordered_goes_on(bench: Bench) {
    bench.limit("key:a", Limits { ordered: true, ..Limits::default() }).await;
    bench.add_all((0..3).map(|n| bench.job_with_key(n, "a"))).await;
    let first = bench.take(3).await.jobs.remove(0);
    bench.finish(&first, retry_in(seconds(5))).await;
    bench.slots("key:a", 1).await;
    bench.clock.advance(seconds(60));
    let mut seen = Vec::new();
    for _ in 0..6 {
        for job in bench.take(3).await.jobs {
            seen.push(number_of(&job));
            bench.complete(&job).await;
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
}
