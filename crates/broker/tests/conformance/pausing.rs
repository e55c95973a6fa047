//! Pauses of queues, kinds and tenants.

use std::time::Duration;

use lovage_broker::{BrokerError, NewPause, Wake};
use lovage_core::{Clock as _, NewJob, State};

use crate::bench::{Bench, numbers_of, seconds};

/// A job that belongs to both paused subjects of these tests.
fn job(bench: &Bench, n: u64) -> NewJob {
    NewJob { kind: "mail.send".parse().unwrap(), ..bench.job_of(n, "acme") }
}

const SUBJECTS: [&str; 3] = ["queue", "kind:mail.send", "tenant:acme"];

pub async fn a_paused_subject_gives_nothing_until_it_is_resumed(bench: Bench) {
    for subject in SUBJECTS {
        bench.add_all((0..3).map(|n| job(&bench, n))).await;
        let pause = bench.pause(subject, None).await;
        assert_eq!((pause.by.as_str(), pause.why.as_str(), pause.until), ("ada", "database upgrade", None));
        assert_eq!(pause.since, bench.clock.now());
        let claim = bench.take(3).await;
        assert!(claim.jobs.is_empty() && claim.next_in != Some(Duration::ZERO), "{subject}: {:?}", claim.next_in);
        assert_eq!(bench.flow(subject).await.unwrap().paused.as_ref(), Some(&pause), "{subject}");
        let view = bench.broker.queue(&bench.queue).await.unwrap();
        assert_eq!(view.paused.is_some(), subject == "queue", "a queue's own pause");
        assert_eq!(view.counts.available, 3, "{subject}");
        assert!(bench.resume(subject).await, "{subject}");
        assert!(!bench.resume(subject).await, "{subject} was not paused any more");
        assert_eq!(bench.flow(subject).await, None);
        let jobs = bench.take(3).await.jobs;
        assert_eq!(numbers_of(&jobs), [0, 1, 2], "{subject}");
        assert!(jobs.iter().all(|job| job.attempt == 1));
        for job in jobs {
            bench.complete(&job).await;
        }
    }
}

pub async fn a_pause_of_a_subject_ends_by_itself(bench: Bench) {
    for subject in SUBJECTS {
        let until = bench.clock.now().plus(seconds(20));
        bench.pause(subject, Some(until)).await;
        bench.add_all((0..3).map(|n| job(&bench, n))).await;
        let claim = bench.take(3).await;
        assert_eq!((claim.jobs.len(), claim.next_in), (0, Some(seconds(20))), "{subject}");
        bench.clock.advance(Duration::from_millis(19_999));
        assert!(bench.take(3).await.jobs.is_empty(), "{subject}");
        bench.clock.advance(Duration::from_millis(1));
        let jobs = bench.take(3).await.jobs;
        assert_eq!(jobs.len(), 3, "{subject}");
        assert_eq!(bench.flow(subject).await, None, "{subject}");
        assert!(!bench.resume(subject).await, "{subject} is not paused any more");
        for job in jobs {
            bench.complete(&job).await;
        }
    }
}

pub async fn a_later_pause_replaces_an_earlier_one(bench: Bench) {
    for subject in SUBJECTS {
        bench.pause(subject, None).await;
        bench.clock.advance(seconds(1));
        let pause = NewPause { by: "ben".into(), why: "lunch".into(), until: Some(bench.clock.now().plus(seconds(5))) };
        bench.broker.pause(&bench.queue, &subject.parse().unwrap(), &pause).await.unwrap();
        let seen = bench.flow(subject).await.unwrap().paused.unwrap();
        assert_eq!((seen.by.as_str(), seen.since, seen.until), ("ben", bench.clock.now(), pause.until), "{subject}");
        bench.add(job(&bench, 1)).await;
        assert!(bench.take(1).await.jobs.is_empty(), "{subject}");
        bench.clock.advance(seconds(5));
        bench.complete(&bench.take(1).await.jobs[0]).await;
    }
}

pub async fn a_pause_of_a_kind_or_tenant_hinders_no_other(bench: Bench) {
    bench.add_all((0..5_000).map(|n| job(&bench, n))).await;
    bench.add_all((5_000..5_005).map(|n| bench.job_of(n, "other"))).await;
    bench.add_all((5_005..5_010).map(|n| bench.job(n))).await;
    for subject in ["kind:mail.send", "tenant:acme"] {
        bench.pause(subject, None).await;
        let jobs = bench.take(100).await.jobs;
        let mut numbers = numbers_of(&jobs);
        numbers.sort_unstable();
        assert_eq!(numbers, (5_000..5_010).collect::<Vec<_>>(), "{subject}");
        assert_eq!(bench.listed(State::Available, 500).await.len(), 5_000, "{subject}");
        bench.resume(subject).await;
        assert_eq!(numbers_of(&bench.take(2).await.jobs), [0, 1], "{subject}: in their old places");
        bench.lose_workers().await;
    }
}

pub async fn jobs_that_come_during_a_pause_stand_behind(bench: Bench) {
    bench.add_all((0..3).map(|n| job(&bench, n))).await;
    bench.pause("kind:mail.send", None).await;
    assert!(bench.take(9).await.jobs.is_empty());
    bench.add_all((3..6).map(|n| job(&bench, n))).await;
    bench.add_all((6..9).map(|n| bench.job_of(n, "acme"))).await;
    assert_eq!(numbers_of(&bench.take(2).await.jobs), [6, 7]);
    bench.resume("kind:mail.send").await;
    assert_eq!(numbers_of(&bench.take(9).await.jobs), [0, 1, 2, 3, 4, 5, 8], "the line is as if nothing had been");
}

pub async fn a_resume_wakes_a_waiter(bench: Bench) {
    let queues = [bench.queue.clone()];
    for subject in SUBJECTS {
        bench.pause(subject, None).await;
        bench.add(job(&bench, 1)).await;
        assert!(bench.take(1).await.jobs.is_empty());
        bench.falls_asleep().await;
        let (woken, _) = tokio::join!(bench.broker.wait(&queues, &bench.worker, seconds(20)), bench.resume(subject));
        assert_eq!(woken.unwrap(), Wake::Queue(bench.queue.clone()), "{subject}");
        bench.complete(&bench.take(1).await.jobs[0]).await;
    }
}

/// Two subjects that hold the same job: it needs both.
pub async fn a_job_waits_for_all_of_its_pauses(bench: Bench) {
    bench.add(job(&bench, 1)).await;
    for subject in SUBJECTS {
        bench.pause(subject, None).await;
    }
    for subject in SUBJECTS {
        assert!(bench.take(1).await.jobs.is_empty());
        bench.resume(subject).await;
    }
    assert_eq!(bench.take(1).await.jobs.len(), 1);
}

pub async fn what_stands_for_others_cannot_be_paused(bench: Bench) {
    for subject in ["tenant:*", "key:*", "key:smtp"] {
        let pause = NewPause { by: "ada".into(), why: "a reason".into(), until: None };
        let error = bench.broker.pause(&bench.queue, &subject.parse().unwrap(), &pause).await.unwrap_err();
        let BrokerError::Invalid(invalid) = error else { panic!("{error}") };
        assert_eq!(invalid.field, "subject");
        assert!(invalid.to_string().contains(subject), "{invalid}");
    }
}

/// Content of another kind that takes over a held-back job is not held back with the old one.
pub async fn a_replaced_job_leaves_the_pause_of_its_old_kind(bench: Bench) {
    bench.pause("kind:mail.send", None).await;
    let unique = || {
        Some(lovage_core::Unique { on_conflict: lovage_core::OnConflict::Replace, ..lovage_core::Unique::key("daily") })
    };
    bench.add(NewJob { unique: unique(), ..job(&bench, 1) }).await;
    assert!(bench.take(1).await.jobs.is_empty());
    bench.broker.enqueue(vec![NewJob { unique: unique(), ..bench.job(2) }]).await.unwrap();
    assert_eq!(numbers_of(&bench.take(1).await.jobs), [2]);
}
