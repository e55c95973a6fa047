//! Fair share: the tenants of a queue take turns.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_broker::ClaimedJob;
use lovage_core::Limits;

use crate::bench::{Bench, number_of, numbers_of, tenant_of, with_priority};

async fn weight(bench: &Bench, subject: &str, weight: u32) {
    bench.limit(subject, Limits { weight: Some(weight), ..Limits::default() }).await;
}

/// Jobs by tenant.
fn shares(jobs: &[ClaimedJob]) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for job in jobs {
        *shares.entry(tenant_of(job)).or_default() += 1;
    }
    shares
}

fn share(tenants: &[(&str, usize)]) -> BTreeMap<String, usize> {
    tenants.iter().map(|(tenant, jobs)| ((*tenant).to_owned(), *jobs)).collect()
}

pub async fn a_busy_tenant_does_not_delay_anothers_first_job(bench: Bench) {
    bench.add_all((0..10_000).map(|n| bench.job_of(n, "busy"))).await;
    assert_eq!(bench.take(50).await.jobs.len(), 50);
    let ids = bench.add_all((0..3).map(|n| bench.job_of(n, "small"))).await;
    let jobs = bench.take(50).await.jobs;
    assert_eq!(shares(&jobs), share(&[("busy", 47), ("small", 3)]), "within one claim");
    assert!(ids.iter().all(|id| jobs.iter().any(|job| job.id == *id)));
    let anonymous = bench.add(bench.job(1)).await;
    assert!(bench.take(2).await.jobs.iter().any(|job| job.id == anonymous), "who names no tenant is one, too");
}

pub async fn single_claims_take_turns(bench: Bench) {
    for (n, tenant) in ["a", "b", "c"].into_iter().enumerate() {
        bench.add_all((0..4).map(|m| bench.job_of(10 * n as u64 + m, tenant))).await;
    }
    bench.add_all((30..34).map(|n| bench.job(n))).await;
    for round in 0..4 {
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.extend(bench.take(1).await.jobs);
        }
        assert_eq!(shares(&seen), share(&[("", 1), ("a", 1), ("b", 1), ("c", 1)]), "round {round}");
        assert!(seen.iter().all(|job| number_of(job) % 10 == round), "each tenant's oldest");
    }
    assert!(bench.take(1).await.jobs.is_empty());
}

pub async fn weights_share_three_to_one(bench: Bench) {
    weight(&bench, "tenant:big", 3).await;
    bench.add_all((0..400).map(|n| bench.job_of(n, "big"))).await;
    bench.add_all((0..400).map(|n| bench.job_of(n, "small"))).await;
    // Claims of all sizes; what counts is the sum.
    let mut jobs = Vec::new();
    for size in [1, 2, 3, 4, 5, 7, 11, 40].into_iter().cycle() {
        jobs.extend(bench.take(size).await.jobs);
        if jobs.len() >= 400 {
            break;
        }
    }
    let small = shares(&jobs)["small"];
    let fair = jobs.len() / 4;
    assert!(small.abs_diff(fair) <= 4, "{small} of {} where {fair} are fair", jobs.len());
    assert_eq!(shares(&bench.take(8).await.jobs), share(&[("big", 6), ("small", 2)]));
    // All others have the star's weight.
    weight(&bench, "tenant:*", 2).await;
    bench.take(1_000).await;
    bench.add_all((0..100).map(|n| bench.job_of(n, "big"))).await;
    bench.add_all((0..100).map(|n| bench.job_of(n, "other"))).await;
    let jobs = bench.take(100).await.jobs;
    assert!(shares(&jobs)["other"].abs_diff(40) <= 3, "two of five: {:?}", shares(&jobs));
}

/// Who was away has nothing saved up, and who was served alone has no debts to work off for long.
pub async fn a_tenant_that_comes_back_takes_its_turn_like_the_others(bench: Bench) {
    bench.add_all((0..1_000).map(|n| bench.job_of(n, "a"))).await;
    bench.add(bench.job_of(0, "b")).await;
    bench.take(600).await;
    bench.add_all((0..300).map(|n| bench.job_of(n, "b"))).await;
    for _ in 0..10 {
        let jobs = bench.take(20).await.jobs;
        let of_b = shares(&jobs)["b"];
        assert!(of_b.abs_diff(10) <= 1, "half of each claim, not all of it: {of_b}");
    }
    let single: Vec<_> = [bench.take(1).await, bench.take(1).await].into_iter().flat_map(|claim| claim.jobs).collect();
    assert_eq!(shares(&single), share(&[("a", 1), ("b", 1)]));
}

/// A tenant whose next job always comes just when the last one was taken has no more than its turn.
pub async fn coming_and_going_gains_nothing(bench: Bench) {
    bench.add_all((0..100).map(|n| bench.job_of(n, "patient"))).await;
    let mut jobs = Vec::new();
    for n in 0..60 {
        if bench.broker.queue(&bench.queue).await.unwrap().counts.available < 101 - jobs.len() as u64
            || !jobs.iter().any(|job| tenant_of(job) == "eager")
        {
            bench.add(bench.job_of(n, "eager")).await;
        }
        jobs.extend(bench.take(1).await.jobs);
    }
    let patient = shares(&jobs)["patient"];
    assert!(patient >= 28, "the patient one had {patient} of 60 turns");
}

pub async fn within_a_tenant_the_line_is_as_ever(bench: Bench) {
    for (n, level) in [(0, 5), (1, 9), (2, 0), (3, 5)] {
        bench.add(with_priority(bench.job_of(n, "a"), level)).await;
        bench.add(with_priority(bench.job_of(10 + n, "b"), 5)).await;
    }
    let jobs = bench.take(8).await.jobs;
    let of = |tenant: &str| -> Vec<_> { jobs.iter().filter(|job| tenant_of(job) == tenant).map(number_of).collect() };
    assert_eq!(of("a"), [2, 0, 3, 1], "priority, then age");
    assert_eq!(of("b"), [10, 11, 12, 13]);
    // The first half of the claim has as many of each.
    assert_eq!(shares(&jobs[..4]), share(&[("a", 2), ("b", 2)]));
}

pub async fn a_tenant_that_must_wait_leaves_its_turn_to_the_others(bench: Bench) {
    bench.slots("tenant:a", 1).await;
    bench.add_all((0..50).map(|n| bench.job_of(n, "a"))).await;
    bench.add_all((100..200).map(|n| bench.job_of(n, "b"))).await;
    let jobs = bench.take(40).await.jobs;
    assert_eq!(shares(&jobs), share(&[("a", 1), ("b", 39)]));
    // When it may go on, it does not make up for the time in which it could not.
    bench.limit("tenant:a", Limits::default()).await;
    let single: Vec<_> = {
        let mut jobs = Vec::new();
        for _ in 0..20 {
            jobs.extend(bench.take(1).await.jobs);
        }
        jobs
    };
    assert!(shares(&single)["b"] >= 9, "{:?}", shares(&single));
}

/// More tenants than jobs that are asked for, most of whom must wait: each of the others has one before any has two.
pub async fn tenants_that_must_wait_do_not_spoil_the_round(bench: Bench) {
    for n in 0..20 {
        bench.slots(&format!("tenant:w{n}"), 0).await;
        bench.add(bench.job_of(n, &format!("w{n}"))).await;
    }
    bench.add_all((0..9).map(|n| bench.job_of(n, "a"))).await;
    bench.add_all((0..9).map(|n| bench.job_of(n, "x"))).await;
    bench.add_all((0..9).map(|n| bench.job_of(n, "z"))).await;
    assert_eq!(shares(&bench.take(3).await.jobs), share(&[("a", 1), ("x", 1), ("z", 1)]));
    // In one claim, for all that is left can be had.
    assert_eq!(shares(&bench.claim(24).await), share(&[("a", 8), ("x", 8), ("z", 8)]));
    assert_ne!(bench.take(3).await.next_in, Some(Duration::ZERO), "the others wait");
}

pub async fn thousands_of_tenants_have_one_turn_each(bench: Bench) {
    bench.add_all((0..5_000).map(|n| bench.job_of(n, &format!("t{n}")))).await;
    bench.add_all((0..5_000).map(|n| bench.job_of(n, "t17"))).await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        let claim = bench.take(1_000).await;
        assert_eq!(claim.jobs.len(), 1_000);
        jobs.extend(claim.jobs);
    }
    let shares = shares(&jobs);
    assert_eq!(shares.len(), 5_000, "everybody had a turn");
    assert_eq!(numbers_of(&bench.take(3).await.jobs), [0, 1, 2], "then only one is left");
}

/// Many entries of the line are void (their jobs were deleted in its middle): tenants and others get on all the same.
pub async fn deleted_jobs_hold_no_turn_up(bench: Bench) {
    let ids = bench.add_all((0..2_600).map(|n| bench.job(n))).await;
    for chunk in ids[..2_500].chunks(250) {
        let deletes = chunk.iter().map(|id| bench.broker.delete(&bench.queue, id));
        futures::future::try_join_all(deletes).await.unwrap();
    }
    bench.add(bench.job_of(9_999, "a")).await;
    let mut seen = Vec::new();
    for _ in 0..12 {
        seen.extend(numbers_of(&bench.take(20).await.jobs));
    }
    seen.sort_unstable();
    assert_eq!(seen, (2_500..2_600).chain([9_999]).collect::<Vec<_>>());
}

/// A tenant whose next job comes with the end of the last one does not come first each time.
pub async fn a_chain_of_jobs_starves_nobody(bench: Bench) {
    bench.add_all((0..50).map(|n| bench.job_of(n, "patient"))).await;
    bench.take(1).await;
    let mut patient = 0;
    bench.add(bench.job_of(100, "chain")).await;
    for n in 101..121 {
        let job = bench.take(1).await.jobs.remove(0);
        if tenant_of(&job) == "chain" {
            bench.complete(&job).await;
            bench.add(bench.job_of(n, "chain")).await;
        } else {
            patient += 1;
        }
    }
    assert!(patient >= 8, "{patient} of 20 turns");
}
