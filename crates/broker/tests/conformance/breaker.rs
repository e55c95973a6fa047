//! Circuit breakers: after some failures in a row nothing starts for a while, then one job at a time as a probe.

use std::time::Duration;

use lovage_broker::{ClaimedJob, LeaseStatus, Wake};
use lovage_core::{Breaker, BreakerState, BreakerView, Clock as _, DiscardReason, Limits, NewJob, Transition};

use crate::bench::{Bench, LEASE, failure, numbers_of, release_in, retry_in, seconds};

const SUBJECTS: [&str; 2] = ["queue", "kind:mail.send"];

fn job(bench: &Bench, n: u64) -> NewJob {
    bench.job_of_kind(n, "mail.send")
}

async fn breaker(bench: &Bench, subject: &str) {
    let breaker = Some(Breaker { failures: 3, cooldown_ms: 10_000 });
    bench.limit(subject, Limits { breaker, ..Limits::default() }).await;
}

async fn view(bench: &Bench, subject: &str) -> BreakerView {
    bench.flow(subject).await.unwrap().breaker.unwrap()
}

async fn state(bench: &Bench, subject: &str) -> BreakerState {
    view(bench, subject).await.state
}

async fn fail(bench: &Bench, job: &ClaimedJob) {
    assert_eq!(bench.finish(job, retry_in(seconds(3_600))).await, LeaseStatus::Held);
}

/// Three failures; the breaker opens.
async fn open(bench: &Bench, subject: &str) {
    for job in &bench.take(3).await.jobs {
        fail(bench, job).await;
    }
    assert_eq!(state(bench, subject).await, BreakerState::Open, "{subject}");
}

pub async fn failures_in_a_row_open_it_and_a_probe_closes_it(bench: Bench) {
    for subject in SUBJECTS {
        breaker(&bench, subject).await;
        bench.add_all((0..20).map(|n| job(&bench, n))).await;
        let jobs = bench.take(3).await.jobs;
        fail(&bench, &jobs[0]).await;
        fail(&bench, &jobs[1]).await;
        let closed = BreakerView { state: BreakerState::Closed, failures: 2, until: None };
        assert_eq!(view(&bench, subject).await, closed, "{subject}");
        fail(&bench, &jobs[2]).await;
        let until = Some(bench.clock.now().plus(seconds(10)));
        assert_eq!(view(&bench, subject).await, BreakerView { state: BreakerState::Open, failures: 3, until });
        let claim = bench.take(5).await;
        assert_eq!((claim.jobs.len(), claim.next_in), (0, Some(seconds(10))), "{subject}: nothing is given out");
        bench.clock.advance(seconds(10));
        assert_eq!(state(&bench, subject).await, BreakerState::HalfOpen, "{subject}");
        let probe = bench.take(5).await.jobs;
        assert_eq!(numbers_of(&probe), [3], "{subject}: one at a time");
        assert!(bench.take(5).await.jobs.is_empty(), "{subject}: while the probe runs");
        bench.complete(&probe[0]).await;
        let closed = BreakerView { state: BreakerState::Closed, failures: 0, until: None };
        assert_eq!(view(&bench, subject).await, closed, "{subject}");
        let rest = bench.take(20).await.jobs;
        assert_eq!(rest.len(), 16, "{subject}");
        for job in &rest {
            bench.complete(job).await;
        }
        bench.limit(subject, Limits::default()).await;
        assert_eq!(bench.flow(subject).await, None);
    }
}

pub async fn a_completion_in_between_sets_it_back(bench: Bench) {
    for subject in SUBJECTS {
        breaker(&bench, subject).await;
        bench.add_all((0..6).map(|n| job(&bench, n))).await;
        let jobs = bench.take(6).await.jobs;
        fail(&bench, &jobs[0]).await;
        fail(&bench, &jobs[1]).await;
        bench.complete(&jobs[2]).await;
        assert_eq!(view(&bench, subject).await.failures, 0);
        fail(&bench, &jobs[3]).await;
        fail(&bench, &jobs[4]).await;
        assert_eq!(state(&bench, subject).await, BreakerState::Closed, "{subject}");
        fail(&bench, &jobs[5]).await;
        assert_eq!(state(&bench, subject).await, BreakerState::Open, "{subject}");
        bench.limit(subject, Limits::default()).await;
    }
}

/// What says nothing about whether the work can be done counts neither way.
pub async fn only_failures_count(bench: Bench) {
    breaker(&bench, "queue").await;
    breaker(&bench, "kind:mail.send").await;
    bench.add_all((0..12).map(|n| job(&bench, n))).await;
    let jobs = bench.take(12).await.jobs;
    bench.finish(&jobs[0], release_in(seconds(3_600))).await;
    bench.finish(&jobs[1], Transition::Cancel).await;
    let rejected = Transition::Discard { reason: DiscardReason::Rejected, error: failure("no") };
    bench.finish(&jobs[2], rejected).await;
    bench.broker.cancel(&bench.queue, &jobs[3].id).await.unwrap();
    fail(&bench, &jobs[3]).await;
    for subject in SUBJECTS {
        assert_eq!(view(&bench, subject).await.failures, 0, "{subject}");
    }
    for (job, reason) in jobs[4..6].iter().zip([DiscardReason::AttemptsExhausted, DiscardReason::TimedOut]) {
        bench.finish(job, Transition::Discard { reason, error: failure("no") }).await;
    }
    for subject in SUBJECTS {
        assert_eq!(view(&bench, subject).await.failures, 2, "{subject}");
    }
    bench.lose_workers().await;
    for subject in SUBJECTS {
        assert_eq!(view(&bench, subject).await.failures, 2, "{subject}: a lost worker says nothing");
    }
}

pub async fn a_probe_that_fails_opens_it_again(bench: Bench) {
    for subject in SUBJECTS {
        breaker(&bench, subject).await;
        bench.add_all((0..9).map(|n| job(&bench, n))).await;
        open(&bench, subject).await;
        for _ in 0..2 {
            bench.clock.advance(seconds(10));
            let probe = bench.take(5).await.jobs;
            assert_eq!(probe.len(), 1, "{subject}");
            bench.clock.advance(seconds(1));
            fail(&bench, &probe[0]).await;
            let seen = view(&bench, subject).await;
            let until = Some(bench.clock.now().plus(seconds(10)));
            assert_eq!((seen.state, seen.until), (BreakerState::Open, until), "{subject}");
            assert_eq!(bench.take(5).await.next_in, Some(seconds(10)), "{subject}");
        }
        assert!(bench.resume(subject).await, "{subject}: an open breaker is closed by hand");
        assert!(!bench.resume(subject).await);
        assert_eq!(state(&bench, subject).await, BreakerState::Closed, "{subject}");
        for job in &bench.take(5).await.jobs {
            bench.complete(job).await;
        }
        bench.limit(subject, Limits::default()).await;
    }
}

/// A probe that neither succeeds nor fails says nothing; the next one is let through.
pub async fn a_probe_that_says_nothing_is_followed_by_another(bench: Bench) {
    for subject in SUBJECTS {
        breaker(&bench, subject).await;
        bench.add_all((0..12).map(|n| job(&bench, n))).await;
        open(&bench, subject).await;
        bench.clock.advance(seconds(10));
        let ways = [release_in(seconds(3_600)), Transition::Cancel, release_in(Duration::ZERO)];
        for way in ways {
            let probe = bench.take(5).await.jobs;
            assert_eq!(probe.len(), 1, "{subject}");
            bench.finish(&probe[0], way).await;
            assert_eq!(state(&bench, subject).await, BreakerState::HalfOpen, "{subject}");
        }
        let probe = bench.take(5).await.jobs;
        assert_eq!(probe.len(), 1, "{subject}");
        bench.clock.advance(LEASE + Duration::from_millis(1));
        let next = bench.take(5).await.jobs;
        assert_eq!(next.len(), 1, "{subject}: the lost one's place is taken");
        assert_eq!(bench.complete(&next[0]).await, LeaseStatus::Held);
        assert_eq!(state(&bench, subject).await, BreakerState::Closed, "{subject}");
        bench.limit(subject, Limits::default()).await;
        for job in &bench.take(12).await.jobs {
            bench.complete(job).await;
        }
    }
}

pub async fn a_kinds_breaker_hinders_no_other_kind(bench: Bench) {
    breaker(&bench, "kind:mail.send").await;
    bench.add_all((0..6).map(|n| job(&bench, n))).await;
    open(&bench, "kind:mail.send").await;
    bench.add_all((6..9).map(|n| bench.job(n))).await;
    assert_eq!(numbers_of(&bench.take(9).await.jobs), [6, 7, 8]);
}

pub async fn a_probes_end_wakes_a_waiter(bench: Bench) {
    let queues = [bench.queue.clone()];
    for subject in SUBJECTS {
        breaker(&bench, subject).await;
        bench.add_all((0..6).map(|n| job(&bench, n))).await;
        open(&bench, subject).await;
        bench.take(1).await;
        bench.falls_asleep().await;
        bench.clock.advance(seconds(10));
        let woken = bench.broker.wait(&queues, &bench.worker, seconds(20)).await.unwrap();
        assert_eq!(woken, Wake::Queue(bench.queue.clone()), "{subject} is half open");
        let probe = bench.take(5).await.jobs;
        bench.falls_asleep().await;
        let (woken, _) =
            tokio::join!(bench.broker.wait(&queues, &bench.worker, seconds(20)), bench.complete(&probe[0]));
        assert_eq!(woken.unwrap(), Wake::Queue(bench.queue.clone()), "{subject} is closed");
        for job in &bench.take(5).await.jobs {
            bench.complete(job).await;
        }
        bench.limit(subject, Limits::default()).await;
    }
}
