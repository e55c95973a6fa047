//! Slots: how many jobs of a queue, a tenant or a key run at once.

use std::time::Duration;

use lovage_broker::{Cancelled, LeaseStatus, Wake};
use lovage_core::{DiscardReason, Limits, NewJob, State, Transition};

use crate::bench::{Bench, LEASE, failure, number_of, numbers_of, release_in, retry_in, seconds, tenant_of};

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(20);
/// What can be limited by slots, and how a job comes to belong to it.
const SUBJECTS: [&str; 3] = ["queue", "tenant:acme", "key:smtp"];

/// A job that belongs to all of [`SUBJECTS`].
fn job(bench: &Bench, n: u64) -> NewJob {
    NewJob { key: Some("smtp".parse().unwrap()), ..bench.job_of(n, "acme") }
}

pub async fn no_more_run_than_there_are_slots(bench: Bench) {
    for subject in SUBJECTS {
        bench.slots(subject, 3).await;
        bench.add_all((0..8).map(|n| job(&bench, n))).await;
        let claim = bench.take(8).await;
        assert_eq!(claim.jobs.len(), 3, "{subject}");
        assert_eq!(claim.next_in, Some(LEASE), "{subject}: nothing comes before the leases end");
        assert_eq!(bench.used(subject).await, 3);
        assert!(bench.claim(8).await.is_empty());
        assert_eq!(bench.complete(&claim.jobs[1]).await, LeaseStatus::Held);
        assert_eq!(bench.used(subject).await, 2);
        assert_eq!(bench.take(8).await.jobs.len(), 1, "{subject}");
        let counts = bench.broker.queue(&bench.queue).await.unwrap().counts;
        assert_eq!((counts.available, counts.running), (4, 3), "held-back jobs are available");
        bench.limit(subject, Limits::default()).await;
        // What runs comes to its end; then all the rest can.
        bench.lose_workers().await;
        for job in bench.take(100).await.jobs {
            bench.complete(&job).await;
        }
        assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.unfinished(), 0, "{subject}");
    }
}

pub async fn slots_are_exact_over_several_workers(bench: Bench) {
    bench.slots("queue", 40).await;
    bench.slots("tenant:acme", 7).await;
    bench.slots("key:smtp", 5).await;
    bench.add_all((0..100).map(|n| bench.job_of(n, "acme"))).await;
    bench.add_all((0..100).map(|n| bench.job_with_key(n, "smtp"))).await;
    bench.add_all((0..100).map(|n| bench.job(n))).await;
    let other = (bench.connect)().await.unwrap();
    let worker = "w2".parse().unwrap();
    for _ in 0..20 {
        let (mine, theirs) = tokio::join!(bench.claim(6), other.claim(&bench.queue, &worker, 6, LEASE));
        // One in two ends, so that slots come and go.
        for job in mine.iter().chain(&theirs.unwrap().jobs).step_by(2) {
            bench.complete(job).await;
        }
        let running = bench.broker.queue(&bench.queue).await.unwrap().counts.running;
        let (queue, tenant, key) =
            (bench.used("queue").await, bench.used("tenant:acme").await, bench.used("key:smtp").await);
        assert!(queue <= 40 && tenant <= 7 && key <= 5, "{queue} {tenant} {key}");
        assert_eq!(queue, running, "slots in use are jobs that run");
    }
    bench.take(300).await;
    assert_eq!(bench.used("queue").await, 40, "all slots are in use at the end");
    bench.limit("queue", Limits::default()).await;
    bench.take(300).await;
    assert_eq!((bench.used("tenant:acme").await, bench.used("key:smtp").await), (7, 5));
}

/// Completed, failed, snoozed, handed back, discarded, cancelled: the slot is free.
pub async fn every_way_out_frees_the_slot(bench: Bench) {
    let ways = || {
        [
            Transition::Complete { result: None },
            retry_in(seconds(3_600)),
            release_in(seconds(3_600)),
            release_in(Duration::ZERO),
            Transition::Discard { reason: DiscardReason::Rejected, error: failure("no") },
            Transition::Discard { reason: DiscardReason::AttemptsExhausted, error: failure("no") },
            Transition::Cancel,
        ]
    };
    for subject in SUBJECTS {
        bench.slots(subject, 1).await;
        bench.add_all((0..10).map(|n| job(&bench, n))).await;
        for way in ways() {
            let running = bench.take(5).await.jobs;
            assert_eq!(running.len(), 1, "{subject} before {way:?}");
            assert!(bench.claim(5).await.is_empty(), "{subject}");
            let text = format!("{way:?}");
            assert_eq!(bench.finish(&running[0], way).await, LeaseStatus::Held);
            assert_eq!(bench.used(subject).await, 0, "{subject} after {text}");
        }
        let left = bench.take(5).await.jobs;
        assert_eq!(left.len(), 1, "{subject}");
        bench.complete(&left[0]).await;
        bench.limit(subject, Limits::default()).await;
        bench.broker.bulk(&bench.queue, State::Available, lovage_broker::BulkAction::Delete, None).await.unwrap();
    }
}

/// Row 23: slots are leases. Workers that die with them do not keep them; those in use at the end are jobs that run.
pub async fn row_23_lost_workers_give_their_slots_back(bench: Bench) {
    for subject in SUBJECTS {
        bench.slots(subject, 4).await;
    }
    bench.add_all((0..30).map(|n| job(&bench, n))).await;
    for _ in 0..2 {
        let taken = bench.take(30).await.jobs;
        assert_eq!(taken.len(), 4);
        // Half of them are heard of again, the other half is not.
        bench.clock.advance(LEASE / 2);
        let alive: Vec<_> = taken.iter().step_by(2).map(crate::bench::held).collect();
        bench.broker.renew(&bench.queue, &alive, LEASE).await.unwrap();
        bench.clock.advance(LEASE / 2 + Duration::from_millis(1));
        bench.broker.sweep(&bench.queue).await.unwrap();
        for subject in SUBJECTS {
            assert_eq!(bench.used(subject).await, 2, "{subject}: two of four are alive");
        }
        assert_eq!(bench.take(30).await.jobs.len(), 2);
        bench.lose_workers().await;
        let running = bench.broker.queue(&bench.queue).await.unwrap().counts.running;
        for subject in SUBJECTS {
            assert_eq!(bench.used(subject).await, running, "{subject}");
        }
        bench.clock.advance(LEASE);
        bench.broker.sweep(&bench.queue).await.unwrap();
    }
}

pub async fn a_cancelled_job_keeps_its_slot_until_it_has_stopped(bench: Bench) {
    bench.slots("key:smtp", 1).await;
    bench.add_all((0..2).map(|n| job(&bench, n))).await;
    let running = bench.take(2).await.jobs.remove(0);
    assert_eq!(bench.broker.cancel(&bench.queue, &running.id).await.unwrap(), Cancelled::Requested);
    assert!(bench.claim(1).await.is_empty());
    bench.finish(&running, Transition::Cancel).await;
    assert_eq!(bench.take(1).await.jobs.len(), 1);
}

pub async fn limits_are_edited_while_jobs_run(bench: Bench) {
    for subject in SUBJECTS {
        bench.add_all((0..10).map(|n| job(&bench, n))).await;
        let mut running = bench.take(2).await.jobs;
        bench.slots(subject, 3).await;
        assert_eq!(bench.used(subject).await, 2, "{subject}: those that ran before count");
        running.extend(bench.take(10).await.jobs);
        assert_eq!(running.len(), 3, "{subject}");
        bench.slots(subject, 5).await;
        running.extend(bench.take(10).await.jobs);
        assert_eq!(running.len(), 5, "{subject}: two more at once");
        bench.slots(subject, 2).await;
        for job in running.drain(..3) {
            assert!(bench.claim(10).await.is_empty(), "{subject}: too many still run");
            bench.complete(&job).await;
        }
        assert!(bench.claim(10).await.is_empty());
        bench.complete(&running[0]).await;
        assert_eq!(bench.take(10).await.jobs.len(), 1, "{subject}");
        bench.slots(subject, 0).await;
        bench.lose_workers().await;
        assert!(bench.claim(10).await.is_empty(), "{subject}: nothing starts without slots");
        bench.limit(subject, Limits::default()).await;
        let rest = bench.take(10).await.jobs;
        assert_eq!(rest.len(), 6, "{subject}: what was held back comes back by itself");
        for job in rest {
            bench.complete(&job).await;
        }
    }
}

pub async fn a_star_limits_each_for_itself(bench: Bench) {
    for (star, own, job) in [
        ("key:*", "key:b", Bench::job_with_key as fn(&Bench, u64, &str) -> NewJob),
        ("tenant:*", "tenant:b", Bench::job_of as fn(&Bench, u64, &str) -> NewJob),
    ] {
        let star_limits = Limits { concurrency: Some(1), rate: None, ..Limits::default() };
        bench.limit(star, star_limits).await;
        bench.slots(own, 3).await;
        let of = |name: &'static str| (0..5).map(move |_| name);
        let names: Vec<_> = of("a").chain(of("b")).chain(of("c")).collect();
        let ids = bench.add_all(names.iter().enumerate().map(|(n, name)| job(&bench, n as u64, name))).await;
        bench.add_many(2).await;
        let mut started: Vec<_> = bench.take(20).await.jobs.iter().map(number_of).collect();
        started.sort_unstable();
        assert_eq!(started, [0, 0, 1, 5, 6, 7, 10], "one of a, three of b, one of c, and those without: {star}");
        assert_eq!(ids.len(), 15);
        assert_eq!(bench.used(own).await, 3);
        assert_eq!(bench.flow(star).await.unwrap().used, None, "the star itself uses nothing");
        bench.limit(own, Limits::default()).await;
        bench.lose_workers().await;
        let again = bench.take(20).await.jobs;
        assert_eq!(again.len(), 5, "without limits of its own b has the star's: {star}");
        for job in &again {
            assert_eq!(bench.complete(job).await, LeaseStatus::Held);
        }
        // A limit for all is felt by jobs that wait within half a minute.
        bench.limit(star, Limits::default()).await;
        bench.clock.advance(seconds(30));
        let rest = bench.take(20).await.jobs;
        assert_eq!(rest.len(), 12, "{star}");
        for job in &rest {
            assert_eq!(bench.complete(job).await, LeaseStatus::Held);
        }
    }
}

/// Thousands that must wait stand before ten that need not.
pub async fn held_back_jobs_hinder_no_other(bench: Bench) {
    bench.slots("key:smtp", 1).await;
    bench.add_all((0..5_000).map(|n| bench.job_with_key(n, "smtp"))).await;
    bench.add_all((5_000..5_010).map(|n| bench.job(n))).await;
    let jobs = bench.take(11).await.jobs;
    assert_eq!(numbers_of(&jobs), [0].into_iter().chain(5_000..5_010).collect::<Vec<_>>());
    bench.add_all((5_010..5_020).map(|n| bench.job_with_key(n, "http"))).await;
    assert_eq!(numbers_of(&bench.take(20).await.jobs), (5_010..5_020).collect::<Vec<_>>());
    // Each free slot is given to the oldest one that waits for it.
    bench.complete(&jobs[0]).await;
    let next = bench.take(5).await.jobs;
    assert_eq!(numbers_of(&next), [1]);
    bench.complete(&next[0]).await;
    assert_eq!(numbers_of(&bench.take(5).await.jobs), [2]);
    let counts = bench.broker.queue(&bench.queue).await.unwrap().counts;
    assert_eq!((counts.available, counts.running), (4_997, 21));
}

pub async fn held_back_jobs_keep_their_places(bench: Bench) {
    bench.slots("key:smtp", 1).await;
    let ids = bench.add_all((0..4).map(|n| bench.job_with_key(n, "smtp"))).await;
    let first = bench.take(4).await.jobs.remove(0);
    bench.add_all((4..6).map(|n| bench.job(n))).await;
    let listed = bench.listed(State::Available, 2).await;
    assert_eq!(listed.len(), 5, "they are listed like all others");
    let held_back: Vec<_> = listed.into_iter().filter(|id| ids.contains(id)).collect();
    assert_eq!(held_back, ids[1..]);
    bench.limit("key:smtp", Limits::default()).await;
    assert_eq!(numbers_of(&bench.take(10).await.jobs), [1, 2, 3, 4, 5]);
    assert_eq!(first.attempt, 1);
}

pub async fn held_back_jobs_can_be_worked_with(bench: Bench) {
    use lovage_broker::{BulkAction, Edit};
    bench.slots("key:smtp", 1).await;
    let ids = bench.add_all((0..8).map(|n| bench.job_with_key(n, "smtp"))).await;
    let running = bench.take(8).await.jobs;
    assert_eq!(numbers_of(&running), [0]);
    assert_eq!(bench.broker.cancel(&bench.queue, &ids[1]).await.unwrap(), Cancelled::Now);
    bench.broker.delete(&bench.queue, &ids[2]).await.unwrap();
    bench.broker.discard(&bench.queue, &ids[3]).await.unwrap();
    let edit = Edit { priority: Some(0.try_into().unwrap()), ..Edit::default() };
    bench.broker.edit(&bench.queue, &ids[7], edit).await.unwrap();
    assert_eq!(bench.listed(State::Available, 1).await, [&ids[7], &ids[4], &ids[5], &ids[6]].map(Clone::clone));
    let oldest = bench.broker.queue(&bench.queue).await.unwrap().oldest_available_ms;
    assert!(oldest.is_some(), "they are as old as any other");
    bench.complete(&running[0]).await;
    let next = bench.take(8).await.jobs;
    assert_eq!(numbers_of(&next), [7], "its place is the first one now");
    bench.complete(&next[0]).await;
    let next = bench.take(8).await.jobs;
    assert_eq!(numbers_of(&next), [4], "those that are gone are passed over");
    let purged = bench.broker.bulk(&bench.queue, State::Available, BulkAction::Delete, None).await.unwrap();
    assert_eq!(purged.done, 2);
    bench.complete(&next[0]).await;
    let claim = bench.take(8).await;
    assert_eq!((claim.jobs.len(), claim.next_in), (0, None), "nothing is left");
    assert_eq!(bench.used("key:smtp").await, 0);
}

pub async fn an_expired_job_that_was_held_back_is_discarded(bench: Bench) {
    bench.slots("key:smtp", 1).await;
    bench.add(bench.job_with_key(0, "smtp")).await;
    let mut job = bench.job_with_key(1, "smtp");
    job.expires_at = Some(lovage_core::Clock::now(&*bench.clock).plus(seconds(10)));
    let id = bench.add(job).await;
    let running = bench.take(2).await.jobs;
    bench.clock.advance(seconds(10));
    bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!(bench.view(&id).await.reason, Some(DiscardReason::Expired));
    bench.complete(&running[0]).await;
    assert!(bench.take(2).await.jobs.is_empty());
}

pub async fn a_free_slot_wakes_a_waiter(bench: Bench) {
    let queues = [bench.queue.clone()];
    for subject in SUBJECTS {
        bench.slots(subject, 1).await;
        bench.add_all((0..2).map(|n| job(&bench, n))).await;
        let running = bench.take(2).await.jobs;
        // Nothing can be claimed, so the wait goes on until the slot is free.
        bench.falls_asleep().await;
        let (woken, _) = tokio::join!(bench.broker.wait(&queues, &bench.worker, LONG), bench.complete(&running[0]));
        assert_eq!(woken.unwrap(), Wake::Queue(bench.queue.clone()), "{subject}");
        let next = bench.take(2).await.jobs;
        assert_eq!(next.len(), 1, "{subject}");
        bench.add(job(&bench, 9)).await;
        assert!(bench.take(1).await.jobs.is_empty());
        bench.falls_asleep().await;
        let edit = bench.limit(subject, Limits::default());
        let (woken, ()) = tokio::join!(bench.broker.wait(&queues, &bench.worker, LONG), edit);
        assert_eq!(woken.unwrap(), Wake::Queue(bench.queue.clone()), "an edit of {subject} is heard");
        let last = bench.take(2).await.jobs;
        assert_eq!(last.len(), 1, "{subject}");
        bench.complete(&next[0]).await;
        bench.complete(&last[0]).await;
    }
}

/// A job may belong to several subjects; it needs a slot of each and takes none unless it gets all.
pub async fn a_job_needs_a_slot_of_each_of_its_subjects(bench: Bench) {
    bench.slots("tenant:a", 2).await;
    bench.slots("key:smtp", 3).await;
    let with_key = |n, tenant: &str| NewJob { key: Some("smtp".parse().unwrap()), ..bench.job_of(n, tenant) };
    bench.add_all((0..4).map(|n| with_key(n, "a"))).await;
    bench.add_all((4..8).map(|n| with_key(n, "b"))).await;
    let jobs = bench.take(8).await.jobs;
    assert_eq!(jobs.len(), 3, "the key's slots");
    let of_a = jobs.iter().filter(|job| tenant_of(job) == "a").count() as u64;
    assert!(of_a <= 2);
    assert_eq!((bench.used("tenant:a").await, bench.used("key:smtp").await), (of_a, 3));
    bench.limit("key:smtp", Limits::default()).await;
    bench.take(8).await;
    assert_eq!(bench.used("tenant:a").await, 2);
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.running, 6, "two of a and all of b");
}
