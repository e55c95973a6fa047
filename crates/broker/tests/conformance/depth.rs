//! Depth: how many jobs may wait.

use std::time::Duration;

use lovage_broker::{EnqueueOutcome, Refused};
use lovage_core::limits::{RETRY_AFTER, RETRY_AFTER_UNKNOWN};
use lovage_core::{Full, Limits, NewJob, OnConflict, Subject, Unique};

use crate::bench::{Bench, release_in, retry_in, seconds};

async fn depth(bench: &Bench, subject: &str, depth: u64) {
    bench.limit(subject, Limits { depth: Some(depth), ..Limits::default() }).await;
}

fn full(outcome: &EnqueueOutcome) -> &Full {
    match outcome {
        EnqueueOutcome::Refused(Refused::Full(full)) => full,
        other => panic!("not full: {other:?}"),
    }
}

pub async fn a_full_queue_refuses_with_the_time_to_wait(bench: Bench) {
    for (subject, job) in [
        ("queue", Bench::job as fn(&Bench, u64) -> NewJob),
        ("tenant:acme", |bench: &Bench, n| bench.job_of(n, "acme")),
    ] {
        depth(&bench, subject, 3).await;
        let jobs = (0..5).map(|n| job(&bench, n)).collect();
        let outcomes = bench.broker.enqueue(jobs).await.unwrap();
        assert!(outcomes[..3].iter().all(|outcome| outcome.id().is_some()), "{subject}: the first ones fit");
        for outcome in &outcomes[3..] {
            let expected =
                Full { subject: subject.parse::<Subject>().unwrap(), limit: 3, retry_after: RETRY_AFTER_UNKNOWN };
            assert_eq!(full(outcome), &expected, "nothing was claimed yet");
        }
        assert_eq!(bench.flow(subject).await.unwrap().waiting, Some(3));
        // What runs does not wait.
        let running = bench.take(1).await.jobs;
        assert!(bench.enqueue(job(&bench, 6)).await.id().is_some(), "{subject}");
        full(&bench.enqueue(job(&bench, 7)).await);
        assert_eq!(bench.flow(subject).await.unwrap().waiting, Some(3));
        // What comes back is never refused; but it waits, so others are.
        bench.finish(&running[0], retry_in(seconds(3_600))).await;
        assert_eq!(bench.flow(subject).await.unwrap().waiting, Some(4));
        let running = bench.take(1).await.jobs;
        full(&bench.enqueue(job(&bench, 8)).await);
        bench.finish(&running[0], release_in(seconds(3_600))).await;
        let running = bench.take(2).await.jobs;
        assert_eq!(running.len(), 2);
        assert!(bench.enqueue(job(&bench, 9)).await.id().is_some(), "{subject}: two wait for their time, one is new");
        full(&bench.enqueue(job(&bench, 10)).await);
        for job in running.iter().chain(&bench.take(1).await.jobs) {
            bench.complete(job).await;
        }
        depth(&bench, subject, 0).await;
        full(&bench.enqueue(job(&bench, 11)).await);
        bench.limit(subject, Limits::default()).await;
        assert!(bench.enqueue(job(&bench, 12)).await.id().is_some(), "{subject}");
        bench.complete(&bench.take(1).await.jobs[0]).await;
        for state in [lovage_core::State::Scheduled, lovage_core::State::Retryable] {
            bench.broker.bulk(&bench.queue, state, lovage_broker::BulkAction::Delete, None).await.unwrap();
        }
        // A day later nobody remembers how fast jobs were claimed.
        bench.clock.advance(Duration::from_hours(24));
    }
}

pub async fn one_full_tenant_does_not_fill_the_queue(bench: Bench) {
    depth(&bench, "tenant:*", 2).await;
    depth(&bench, "tenant:big", 4).await;
    let of = |tenant: &'static str| (0..5).map(move |n| (n, tenant));
    let jobs = of("a").chain(of("big")).chain(of("b")).map(|(n, tenant)| bench.job_of(n, tenant));
    let jobs = jobs.chain((0..5).map(|n| bench.job(n))).collect();
    let outcomes = bench.broker.enqueue(jobs).await.unwrap();
    let fits: Vec<_> =
        outcomes.chunks(5).map(|of| of.iter().filter(|outcome| outcome.id().is_some()).count()).collect();
    assert_eq!(fits, [2, 4, 2, 5], "a, big, b, and those without a tenant");
    assert_eq!(full(&outcomes[2]).subject, "tenant:a".parse().unwrap(), "the tenant that is full is named");
    assert_eq!((full(&outcomes[9]).subject.to_string(), full(&outcomes[9]).limit), ("tenant:big".to_owned(), 4));
}

/// A repeated call must not be told that there is no room for what is there already.
pub async fn a_full_queue_still_answers_for_known_jobs(bench: Bench) {
    let known = NewJob { id: Some("known".parse().unwrap()), ..bench.job(1) };
    let unique =
        |n, on_conflict| NewJob { unique: Some(Unique { on_conflict, ..Unique::key("daily") }), ..bench.job(n) };
    let id = bench.add(known.clone()).await;
    let holder = bench.add(unique(2, OnConflict::Return)).await;
    depth(&bench, "queue", 2).await;
    assert_eq!(bench.enqueue(known).await, EnqueueOutcome::Existing(id));
    assert_eq!(bench.enqueue(unique(3, OnConflict::Return)).await, EnqueueOutcome::Existing(holder.clone()));
    assert_eq!(bench.enqueue(unique(3, OnConflict::Replace)).await, EnqueueOutcome::Replaced(holder.clone()));
    let taken = bench.enqueue(unique(3, OnConflict::Reject)).await;
    assert_eq!(taken, EnqueueOutcome::Refused(Refused::UniqueTaken { holder }));
    // A refused job leaves nothing behind: neither its id nor its unique key.
    let new = NewJob { id: Some("new".parse().unwrap()), unique: Some(Unique::key("weekly")), ..bench.job(4) };
    full(&bench.enqueue(new.clone()).await);
    assert!(bench.broker.job(None, &"new".parse().unwrap()).await.unwrap().is_none());
    bench.take(1).await;
    assert_eq!(bench.enqueue(new).await, EnqueueOutcome::Enqueued("new".parse().unwrap()));
}

/// Claims `count` jobs a second for ten seconds.
async fn claim_steadily(bench: &Bench, count: usize) {
    for _ in 0..10 {
        for job in bench.take(count).await.jobs {
            bench.complete(&job).await;
        }
        bench.clock.advance(seconds(1));
    }
}

pub async fn the_time_to_wait_follows_the_rate_of_claims(bench: Bench) {
    bench.add_many(1_100).await;
    claim_steadily(&bench, 10).await;
    depth(&bench, "queue", 400).await;
    // 600 too many at 10 a second.
    let wait = full(&bench.enqueue(bench.job(1)).await).retry_after;
    assert!((seconds(40)..=seconds(90)).contains(&wait), "{wait:?}");
    depth(&bench, "queue", 999).await;
    let wait = full(&bench.enqueue(bench.job(1)).await).retry_after;
    assert_eq!(wait, *RETRY_AFTER.start(), "never less than a second");
    bench.limit("queue", Limits::default()).await;
    bench.add_all((0..5_000).map(|n| bench.job(n))).await;
    depth(&bench, "queue", 1).await;
    let wait = full(&bench.enqueue(bench.job(1)).await).retry_after;
    assert_eq!(wait, *RETRY_AFTER.end(), "and never for ever");
    bench.clock.advance(seconds(60));
    let wait = full(&bench.enqueue(bench.job(1)).await).retry_after;
    assert_eq!(wait, RETRY_AFTER_UNKNOWN, "the last claim is long ago");
}

pub async fn a_tenant_waits_for_its_share_of_the_rate(bench: Bench) {
    for tenant in ["a", "b"] {
        bench.add_all((0..500).map(|n| bench.job_of(n, tenant))).await;
    }
    claim_steadily(&bench, 10).await;
    depth(&bench, "tenant:a", 300).await;
    // 150 too many, of which 5 a second are claimed: the other half is the other tenant's.
    let wait = full(&bench.enqueue(bench.job_of(1, "a")).await).retry_after;
    assert!((seconds(20)..=seconds(45)).contains(&wait), "{wait:?}");
}
