//! Token buckets: how many attempts start in a time, and how many retries come back in a time.

use std::time::Duration;

use lovage_broker::{Finish, LeaseStatus};
use lovage_core::{Limits, NewJob, Rate, State};

use crate::bench::{Bench, LEASE, held, numbers_of, retry_in, seconds};

fn rate(count: u32, per_ms: u64, burst: Option<u32>) -> Limits {
    Limits { rate: Some(Rate { count, per_ms, burst }), ..Limits::default() }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Claims what there is and completes it: its numbers, and when to come back.
async fn run(bench: &Bench) -> (Vec<u64>, Option<Duration>) {
    let claim = bench.take(100).await;
    for job in &claim.jobs {
        assert_eq!(bench.complete(job).await, LeaseStatus::Held);
    }
    (numbers_of(&claim.jobs), claim.next_in)
}

pub async fn no_more_start_than_there_are_tokens(bench: Bench) {
    for subject in ["queue", "tenant:acme", "key:smtp"] {
        bench.limit(subject, rate(2, 1_000, None)).await;
        let job = |n| NewJob { key: Some("smtp".parse().unwrap()), ..bench.job_of(n, "acme") };
        bench.add_all((0..7).map(job)).await;
        assert_eq!(run(&bench).await, (vec![0, 1], Some(millis(500))), "{subject}: a full bucket, then the next token");
        bench.clock.advance(millis(499));
        assert_eq!(run(&bench).await, (vec![], Some(millis(1))), "{subject}: an end gives no token back");
        bench.clock.advance(millis(1));
        assert_eq!(run(&bench).await.0, [2], "{subject}");
        bench.clock.advance(millis(750));
        assert_eq!(run(&bench).await, (vec![3], Some(millis(250))), "{subject}: half a token is left");
        bench.clock.advance(seconds(10));
        assert_eq!(run(&bench).await, (vec![4, 5], Some(millis(500))), "{subject}: no more than the bucket holds");
        bench.limit(subject, Limits::default()).await;
        assert_eq!(run(&bench).await, (vec![6], Some(LEASE)), "{subject}: no limit, no waiting");
        bench.clock.advance(seconds(10));
        bench.broker.sweep(&bench.queue).await.unwrap();
    }
}

pub async fn a_burst_is_what_the_bucket_holds(bench: Bench) {
    bench.limit("key:smtp", rate(1, 1_000, Some(3))).await;
    bench.add_all((0..9).map(|n| bench.job_with_key(n, "smtp"))).await;
    assert_eq!(run(&bench).await, (vec![0, 1, 2], Some(seconds(1))));
    bench.clock.advance(seconds(2));
    assert_eq!(run(&bench).await.0, [3, 4]);
    bench.clock.advance(seconds(3_600));
    bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!(run(&bench).await.0, [5, 6, 7]);
}

/// Waiting for a token costs no attempt, and the order stays.
pub async fn who_waits_for_a_token_keeps_attempt_and_place(bench: Bench) {
    bench.limit("key:smtp", rate(1, 1_000, None)).await;
    bench.add_all((0..3).map(|n| bench.job_with_key(n, "smtp"))).await;
    bench.add_all((3..5).map(|n| bench.job(n))).await;
    assert_eq!(numbers_of(&bench.take(5).await.jobs), [0, 3, 4]);
    for n in 1..3 {
        assert!(bench.take(5).await.jobs.is_empty());
        bench.clock.advance(seconds(1));
        let jobs = bench.take(5).await.jobs;
        assert_eq!(numbers_of(&jobs), [n]);
        assert_eq!((jobs[0].attempt, jobs[0].failed, jobs[0].lost), (1, 0, 0));
    }
}

pub async fn a_star_rate_is_a_bucket_each(bench: Bench) {
    bench.limit("tenant:*", rate(1, 1_000, None)).await;
    bench.limit("tenant:b", rate(2, 1_000, None)).await;
    for (n, tenant) in ["a", "b", "c"].into_iter().enumerate() {
        bench.add_all((0..4).map(|m| bench.job_of(10 * n as u64 + m, tenant))).await;
    }
    let mut first = numbers_of(&bench.take(12).await.jobs);
    first.sort_unstable();
    assert_eq!(first, [0, 10, 11, 20]);
    bench.clock.advance(seconds(1));
    let mut second = numbers_of(&bench.take(12).await.jobs);
    second.sort_unstable();
    assert_eq!(second, [1, 12, 13, 21]);
}

pub async fn a_rate_is_edited_while_jobs_wait(bench: Bench) {
    bench.limit("queue", rate(1, 3_600_000, None)).await;
    bench.add_many(5).await;
    let claim = bench.take(5).await;
    assert_eq!((claim.jobs.len(), claim.next_in), (1, Some(LEASE)));
    bench.limit("queue", rate(2, 1_000, None)).await;
    bench.clock.advance(seconds(1));
    assert_eq!(bench.take(5).await.jobs.len(), 2, "nobody waits for the hour of the old rate");
}

/// Whoever waits is told when to look again.
pub async fn a_token_that_comes_lets_the_next_one_start(bench: Bench) {
    bench.limit("key:smtp", rate(1, 60_000, None)).await;
    bench.add_all((0..2).map(|n| bench.job_with_key(n, "smtp"))).await;
    let running = bench.take(2).await.jobs;
    bench.complete(&running[0]).await;
    assert_ne!(bench.take(2).await.next_in, None, "there is something to come back for");
    bench.falls_asleep().await;
    bench.clock.advance(seconds(60));
    assert_eq!(bench.take(2).await.jobs.len(), 1);
}

/// Enqueues `count` jobs that fail together and are all due a second later.
async fn fail_together(bench: &Bench, count: u64) {
    bench.add_all((0..count).map(|n| bench.job(n))).await;
    let mut failed = 0;
    while failed < count {
        let jobs = bench.claim(1_000).await;
        failed += jobs.len() as u64;
        let items = jobs.iter().map(|job| Finish { lease: held(job), transition: retry_in(seconds(1)) }).collect();
        bench.broker.finish(&bench.queue, &bench.worker, items).await.unwrap();
    }
    bench.clock.advance(seconds(1));
}

/// Row 27: a crowd that failed together does not come back together.
pub async fn row_27_retries_come_back_damped(bench: Bench) {
    let retry_rate = Some(Rate { count: 10, per_ms: 1_000, burst: None });
    bench.limit("queue", Limits { retry_rate, ..Limits::default() }).await;
    let later = (100..150).map(|n| NewJob { delay_ms: Some(1_000), ..bench.job(n) });
    fail_together(&bench, 50).await;
    bench.add_all(later).await;
    let counts = async || bench.broker.queue(&bench.queue).await.unwrap().counts;
    let swept = bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!((swept.promoted, swept.more), (10, false));
    let claim = bench.take(100).await;
    assert_eq!((claim.jobs.len(), claim.next_in), (10, Some(millis(100))), "the next one is told");
    bench.clock.advance(millis(250));
    assert_eq!(bench.broker.sweep(&bench.queue).await.unwrap().promoted, 2);
    bench.clock.advance(millis(750));
    let swept = bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!(swept.promoted, 58, "eight more, and all that were scheduled: those are not damped");
    let counts = counts().await;
    assert_eq!((counts.retryable, counts.scheduled), (30, 0));
    // A person who asks for it does not wait.
    let id = bench.listed(State::Retryable, 1).await.remove(0);
    bench.broker.retry(&bench.queue, &id).await.unwrap();
    assert_eq!(bench.state(&id).await, State::Available);
}

pub async fn row_27_without_a_limit_retries_are_damped_too(bench: Bench) {
    fail_together(&bench, 2_500).await;
    let promoted = async || {
        let mut promoted = 0;
        loop {
            let swept = bench.broker.sweep(&bench.queue).await.unwrap();
            promoted += swept.promoted;
            if !swept.more {
                return promoted;
            }
        }
    };
    assert_eq!(promoted().await, 1_000);
    bench.clock.advance(seconds(1));
    assert_eq!(promoted().await, 1_000);
    let counts = bench.broker.queue(&bench.queue).await.unwrap().counts;
    assert_eq!((counts.available, counts.retryable), (2_000, 500));
}
