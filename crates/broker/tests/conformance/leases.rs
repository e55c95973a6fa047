//! Leases, fencing and lost workers.

use lovage_broker::{HeldLease, LeaseStatus, NewLogLine, Report};
use lovage_core::{DiscardReason, ErrorClass, LogLevel, Progress, State};

use crate::bench::{Bench, LEASE, held, seconds};

/// Row 04: a long job is not run twice by a visibility timeout: the lease is short and renewed.
pub async fn row_04_a_job_may_run_for_days_while_its_lease_is_renewed(bench: Bench) {
    bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    for _ in 0..100 {
        bench.clock.advance(seconds(25));
        let statuses = bench.broker.renew(&bench.queue, &[held(&job)], LEASE).await.unwrap();
        assert_eq!(statuses, [LeaseStatus::Held]);
        assert!(bench.claim(1).await.is_empty(), "nobody else gets it");
    }
    assert_eq!(bench.complete(&job).await, LeaseStatus::Held);
}

/// Row 05: a process that was stopped past its lease finds every write refused when it wakes up.
pub async fn row_05_after_the_lease_every_write_of_the_old_run_is_refused(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let old = bench.claim_one().await;
    bench.lose_workers().await;
    let new = bench.claim_one().await;
    let report = Report {
        lease: held(&old),
        progress: Some(Progress { done: 99, ..Progress::default() }),
        lines: vec![NewLogLine { level: LogLevel::Info, text: "from the grave".into() }],
    };
    assert_eq!(bench.broker.report(&bench.queue, report).await.unwrap(), LeaseStatus::Lost);
    assert_eq!(bench.broker.renew(&bench.queue, &[held(&old)], LEASE).await.unwrap(), [LeaseStatus::Lost]);
    assert_eq!(bench.complete(&old).await, LeaseStatus::Lost);
    assert_eq!(bench.view(&id).await.progress, None);
    assert!(bench.broker.logs(&bench.queue, &id, None).await.unwrap().lines.is_empty());
    assert_eq!(bench.complete(&new).await, LeaseStatus::Held);
}

/// Row 08: a poison pill does not kill workers for ever.
pub async fn row_08_a_job_that_kills_its_workers_is_discarded_at_the_cap(bench: Bench) {
    let ids = bench.add_many(2).await;
    for lost in 1..=3 {
        let jobs = bench.claim(1).await;
        assert_eq!(jobs[0].id, ids[0], "loss {lost}");
        bench.lose_workers().await;
        assert_eq!(bench.view(&ids[0]).await.lost, lost);
    }
    let view = bench.view(&ids[0]).await;
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::WorkerLost)));
    assert_eq!((view.failed, view.attempt), (0, 3));
    let healthy = bench.claim_one().await;
    assert_eq!(healthy.id, ids[1], "the others are unharmed");
}

pub async fn a_lost_job_returns_to_its_old_place_without_spending_an_attempt(bench: Bench) {
    let ids = bench.add_many(2).await;
    bench.claim_one().await;
    bench.lose_workers().await;
    let order: Vec<_> = bench.claim(2).await.into_iter().map(|job| (job.id, job.failed, job.lost)).collect();
    assert_eq!(order, [(ids[0].clone(), 0, 1), (ids[1].clone(), 0, 0)]);
}

pub async fn a_lost_worker_is_recorded_with_the_job(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    bench.claim_one().await;
    bench.lose_workers().await;
    let errors = bench.view(&id).await.errors;
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].attempt, errors[0].class), (1, ErrorClass::WorkerLost));
    assert_eq!(errors[0].worker.as_ref(), Some(&bench.worker));
}

pub async fn renew_answers_for_each_lease(bench: Bench) {
    bench.add_many(3).await;
    let jobs = bench.claim(3).await;
    bench.broker.cancel(&bench.queue, &jobs[1].id).await.unwrap();
    bench.complete(&jobs[2]).await;
    let leases = [
        held(&jobs[0]),
        held(&jobs[1]),
        held(&jobs[2]),
        HeldLease { id: jobs[0].id.clone(), token: jobs[0].token + 9 },
    ];
    let statuses = bench.broker.renew(&bench.queue, &leases, LEASE).await.unwrap();
    assert_eq!(statuses, [LeaseStatus::Held, LeaseStatus::CancelRequested, LeaseStatus::Lost, LeaseStatus::Lost]);
}

pub async fn a_lost_job_that_was_to_be_cancelled_is_cancelled(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    bench.claim_one().await;
    bench.broker.cancel(&bench.queue, &id).await.unwrap();
    bench.lose_workers().await;
    assert_eq!(bench.state(&id).await, State::Cancelled);
    assert!(bench.claim(1).await.is_empty());
}
