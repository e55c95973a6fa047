//! Ageing: no priority starves. "Priority starvation" of the failures that were seen beside the thirty.

use lovage_broker::ClaimedJob;
use lovage_core::NewJob;
use lovage_core::limits::AGEING;

use crate::bench::{Bench, number_of, numbers_of, seconds, tenant_of, with_priority};

const PERIOD: usize = AGEING as usize;

/// Adds an urgent job for each that is taken, and takes `size` at a time until one with `number` comes. Answers how many
/// came before it.
async fn urgent_before(bench: &Bench, number: u64, size: usize) -> usize {
    let mut before = 0;
    for n in 0.. {
        assert!(n < 100, "job {number} starves");
        bench.add_all((0..size as u64).map(|m| with_priority(bench.job(1_000 + m), 0))).await;
        let jobs = bench.take(size).await.jobs;
        match jobs.iter().position(|job| number_of(job) == number) {
            Some(at) => return before + at,
            None => before += jobs.len(),
        }
    }
    before
}

/// As long as more urgent jobs keep coming.
pub async fn the_oldest_job_starts_within_sixteen(bench: Bench) {
    for size in [1, 3, 16, 40] {
        bench.add_all((0..100).map(|n| with_priority(bench.job(1_000 + n), 0))).await;
        bench.add(with_priority(bench.job(7), 9)).await;
        // What came before is older: it is out of the way at once.
        bench.take(100).await;
        bench.add_all((0..100).map(|n| with_priority(bench.job(1_000 + n), 0))).await;
        let before = urgent_before(&bench, 7, size).await;
        assert!(before < PERIOD, "{before} jobs came first, in claims of {size}");
        bench.take(1_000).await;
    }
}

pub async fn each_sixteenth_job_is_the_oldest(bench: Bench) {
    // The least urgent are the oldest.
    for (first, level) in [(0, 9), (100, 7), (200, 2), (300, 0)] {
        bench.add_all((0..100).map(|n| with_priority(bench.job(first + n), level))).await;
    }
    let jobs = bench.take(10 * PERIOD).await.jobs;
    let (aged, others): (Vec<_>, Vec<_>) = numbers_of(&jobs).into_iter().partition(|n| *n < 100);
    assert_eq!(aged, (0..10).collect::<Vec<_>>(), "ten of a hundred and sixty, by their age");
    assert_eq!(others, (300..400).chain(200..250).collect::<Vec<_>>(), "all others in the order of the line");
}

/// Also when it is as urgent as any other: it just comes first then.
pub async fn with_one_priority_the_line_is_as_ever(bench: Bench) {
    for level in [5, 3] {
        bench.add_all((0..100).map(|n| with_priority(bench.job(n), level))).await;
        let mut numbers = Vec::new();
        for size in [1, 20, 16, 63] {
            numbers.extend(numbers_of(&bench.take(size).await.jobs));
        }
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
}

/// Jobs with all defaults, which brokers may keep apart, age like others, and others beside them.
pub async fn plain_jobs_and_others_age_alike(bench: Bench) {
    bench.add_many(3).await;
    bench.add_all((1_000..1_100).map(|n| with_priority(bench.job(n), 0))).await;
    assert!(urgent_before(&bench, 0, 1).await < PERIOD);
    assert!(urgent_before(&bench, 1, 5).await < PERIOD);
    assert!(urgent_before(&bench, 2, 16).await < PERIOD);
    bench.take(1_000).await;
    bench.add(with_priority(bench.job(7), 9)).await;
    bench.add_many(4 * u64::from(AGEING)).await;
    let numbers = numbers_of(&bench.take(PERIOD).await.jobs);
    assert!(numbers.contains(&7), "behind plain jobs: {numbers:?}");
}

/// Each tenant counts for itself: with as many tenants as a period has jobs, turns and ageing do not fall into step.
pub async fn within_each_tenant_the_oldest_starts_within_sixteen(bench: Bench) {
    let tenants: Vec<_> = (0..PERIOD).map(|n| format!("t{n}")).collect();
    for tenant in &tenants {
        bench.add(with_priority(bench.job_of(7, tenant), 9)).await;
        bench.add_all((0..40).map(|n| with_priority(bench.job_of(100 + n, tenant), 0))).await;
    }
    let mut jobs: Vec<ClaimedJob> = Vec::new();
    for size in [1, 5, 16, 33].into_iter().cycle() {
        if jobs.len() >= 17 * PERIOD {
            break;
        }
        jobs.extend(bench.take(size).await.jobs);
    }
    for tenant in &tenants {
        let its: Vec<_> = jobs.iter().filter(|job| tenant_of(job) == *tenant).map(number_of).collect();
        let at = its.iter().position(|n| *n == 7);
        assert!(at.is_some_and(|at| at < PERIOD), "{tenant}: {its:?}");
        let urgent: Vec<_> = its.into_iter().filter(|n| *n != 7).collect();
        assert!(urgent.is_sorted(), "the others keep their order: {urgent:?}");
    }
}

/// Limits decide first: a job that may not start is not the one whose turn it is, and hinders no other.
pub async fn a_job_that_is_held_back_does_not_age(bench: Bench) {
    bench.add(with_priority(bench.job_of_kind(1, "debug.stopped"), 9)).await;
    bench.add(with_priority(bench.job(2), 9)).await;
    bench.pause("kind:debug.stopped", None).await;
    bench.add_all((0..100).map(|n| with_priority(bench.job(1_000 + n), 0))).await;
    let before = urgent_before(&bench, 2, 1).await;
    assert!(before < 2 * PERIOD, "putting the other one aside takes one turn at most: {before}");
    assert!(!numbers_of(&bench.take(50).await.jobs).contains(&1));
    // When it comes back, it is as old as it is.
    bench.resume("kind:debug.stopped").await;
    assert!(urgent_before(&bench, 1, 1).await < PERIOD);
}

/// Those that come back together age among themselves, too.
pub async fn jobs_that_were_held_back_age_among_themselves(bench: Bench) {
    for tenant in [None, Some("acme")] {
        let of =
            |n| NewJob { tenant: tenant.map(|name| name.parse().unwrap()), ..bench.job_of_kind(n, "debug.stopped") };
        bench.pause("kind:debug.stopped", None).await;
        bench.add(with_priority(of(1), 9)).await;
        bench.add_all((0..100).map(|n| with_priority(of(1_000 + n), 0))).await;
        while !bench.take(50).await.jobs.is_empty() {}
        bench.resume("kind:debug.stopped").await;
        let mut before = 0;
        while number_of(&bench.take(1).await.jobs[0]) != 1 {
            before += 1;
        }
        assert!(before < PERIOD, "{before} jobs came before the oldest, {tenant:?}");
        while !bench.take(50).await.jobs.is_empty() {}
    }
}

/// A job that comes back to its place is as old as before; one that comes back from a retry is young.
pub async fn age_is_the_place_in_the_line(bench: Bench) {
    bench.add(with_priority(bench.job(1), 9)).await;
    let lost = bench.claim_one().await;
    bench.add(with_priority(bench.job(2), 8)).await;
    let failed = bench.claim_one().await;
    bench.add(with_priority(bench.job(3), 7)).await;
    bench.finish(&lost, crate::bench::release_in(seconds(0))).await;
    bench.finish(&failed, crate::bench::retry_in(seconds(1))).await;
    bench.clock.advance(seconds(1));
    bench.broker.sweep(&bench.queue).await.unwrap();
    bench.add_all((0..100).map(|n| with_priority(bench.job(1_000 + n), 0))).await;
    let numbers = numbers_of(&bench.take(3 * PERIOD).await.jobs);
    let aged: Vec<_> = numbers.into_iter().filter(|n| *n < 1_000).collect();
    assert_eq!(aged, [1, 3, 2]);
}
