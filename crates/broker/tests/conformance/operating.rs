//! Stepping in from outside.

use lovage_broker::{BrokerError, Cancelled, Edit, LeaseStatus};
use lovage_core::{
    Clock as _, Counts, Debounce, DiscardReason, JobId, JobSpec, NewJob, OnConflict, Priority, State, Transition,
    Unique,
};

use crate::bench::{Bench, failure, release_in, retry_in, seconds};

pub async fn a_waiting_job_is_cancelled_at_once(bench: Bench) {
    let available = bench.add(bench.job(1)).await;
    let mut later = bench.job(2);
    later.delay_ms = Some(60_000);
    let scheduled = bench.add(later).await;
    for id in [&available, &scheduled] {
        assert_eq!(bench.broker.cancel(&bench.queue, id).await.unwrap(), Cancelled::Now);
        assert_eq!(bench.state(id).await, State::Cancelled);
        let again = bench.broker.cancel(&bench.queue, id).await.unwrap_err();
        assert!(matches!(again, BrokerError::Illegal(_)), "{again}");
    }
    bench.clock.advance(seconds(61));
    assert!(bench.claim(10).await.is_empty());
}

pub async fn a_running_job_is_asked_to_stop(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    assert_eq!(bench.broker.cancel(&bench.queue, &id).await.unwrap(), Cancelled::Requested);
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.cancel_requested), (State::Running, true));
    // The handler was faster than the request: its success counts.
    assert_eq!(bench.complete(&job).await, LeaseStatus::Held);
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.cancel_requested), (State::Completed, false));
}

pub async fn an_ended_job_is_run_afresh(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let first = bench.claim_one().await;
    let error = failure("no");
    bench.finish(&first, Transition::Discard { reason: DiscardReason::AttemptsExhausted, error }).await;
    let behind = bench.add(bench.job(2)).await;
    bench.broker.retry(&bench.queue, &id).await.unwrap();
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.failed, view.lost, view.reason), (State::Available, 0, 0, None));
    assert_eq!(view.errors.len(), 1, "the errors are kept");
    let jobs = bench.claim(2).await;
    assert_eq!([&jobs[0].id, &jobs[1].id], [&behind, &id], "at the end of the line");
    assert_eq!((jobs[1].attempt, jobs[1].failed), (2, 0));
    assert!(jobs[1].token > first.token);

    bench.complete(&jobs[1]).await;
    bench.broker.retry(&bench.queue, &id).await.unwrap();
    let view = bench.view(&id).await;
    assert_eq!(view.state, State::Available, "a completed job runs again when asked");
    assert!(view.result.is_none());
}

pub async fn a_scheduled_job_is_run_now(bench: Bench) {
    let mut later = bench.job(1);
    later.delay_ms = Some(60_000);
    let id = bench.add(later).await;
    bench.broker.retry(&bench.queue, &id).await.unwrap();
    let job = bench.claim_one().await;
    bench.finish(&job, retry_in(seconds(600))).await;
    bench.broker.retry(&bench.queue, &id).await.unwrap();
    let job = bench.claim_one().await;
    assert_eq!((job.attempt, job.failed), (2, 1), "now, but with its failures");
}

pub async fn a_running_job_is_not_retried_nor_deleted(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let error = bench.broker.retry(&bench.queue, &id).await.unwrap_err();
    assert!(matches!(error, BrokerError::Illegal(_)), "an available job is in line already: {error}");
    bench.claim_one().await;
    for error in [
        bench.broker.retry(&bench.queue, &id).await.unwrap_err(),
        bench.broker.delete(&bench.queue, &id).await.unwrap_err(),
        bench.broker.discard(&bench.queue, &id).await.unwrap_err(),
        bench.broker.edit(&bench.queue, &id, Edit::default()).await.unwrap_err(),
    ] {
        assert!(matches!(error, BrokerError::Illegal(_)), "{error}");
    }
    assert_eq!(bench.state(&id).await, State::Running);
}

pub async fn a_deleted_job_leaves_nothing(bench: Bench) {
    let ids = bench.add_many(2).await;
    bench.broker.delete(&bench.queue, &ids[0]).await.unwrap();
    assert!(bench.broker.job(Some(&bench.queue), &ids[0]).await.unwrap().is_none());
    assert_eq!(bench.claim_one().await.id, ids[1]);
    assert!(bench.claim(1).await.is_empty());
    let mut again = bench.job(7);
    again.id = Some(ids[0].clone());
    assert_eq!(bench.add(again).await, ids[0], "its id may be used again");
}

pub async fn an_edit_changes_what_runs_next(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    bench.finish(&job, Transition::Discard { reason: DiscardReason::Rejected, error: failure("bad args") }).await;
    let args = serde_json::value::to_raw_value(&serde_json::json!({"n": 2})).unwrap();
    let edit = Edit { args: Some(args), tags: Some(vec!["mended".into()]), ..Edit::default() };
    bench.broker.edit(&bench.queue, &id, edit).await.unwrap();
    assert_eq!(bench.state(&id).await, State::Discarded, "an edit alone moves nothing");
    bench.broker.retry(&bench.queue, &id).await.unwrap();
    let spec = JobSpec::decode(&bench.claim_one().await.spec).unwrap();
    assert_eq!((spec.args.get(), spec.tags), (r#"{"n":2}"#, vec!["mended".to_owned()]));
}

pub async fn an_edited_priority_moves_the_job(bench: Bench) {
    let ids = bench.add_many(3).await;
    let edit = Edit { priority: Some(Priority::try_from(0).unwrap()), ..Edit::default() };
    bench.broker.edit(&bench.queue, &ids[2], edit).await.unwrap();
    assert_eq!(bench.view(&ids[2]).await.priority.level(), 0);
    let order: Vec<_> = bench.claim(3).await.into_iter().map(|job| job.id).collect();
    assert_eq!(order, [&ids[2], &ids[0], &ids[1]].map(Clone::clone));
}

pub async fn what_is_not_there_is_not_found(bench: Bench) {
    let id: JobId = "nobody".parse().unwrap();
    for error in [
        bench.broker.cancel(&bench.queue, &id).await.unwrap_err(),
        bench.broker.retry(&bench.queue, &id).await.unwrap_err(),
        bench.broker.discard(&bench.queue, &id).await.unwrap_err(),
        bench.broker.delete(&bench.queue, &id).await.unwrap_err(),
        bench.broker.edit(&bench.queue, &id, Edit::default()).await.unwrap_err(),
    ] {
        assert!(matches!(error, BrokerError::NotFound { .. }), "{error}");
    }
    assert!(bench.broker.job(None, &id).await.unwrap().is_none());
}

pub async fn an_operator_discards_a_waiting_job(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    bench.clock.advance(seconds(1));
    bench.broker.discard(&bench.queue, &id).await.unwrap();
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::Rejected)));
    assert_eq!(view.since, bench.clock.now());
}

pub async fn what_is_as_it_was_seen_is_deleted(bench: Bench) {
    let mut scheduled = bench.job_of(2, "acme");
    (scheduled.delay_ms, scheduled.priority) = (Some(5_000), Priority::try_from(2).unwrap());
    let discarded = bench.add(bench.job(3)).await;
    bench.broker.discard(&bench.queue, &discarded).await.unwrap();
    for id in [bench.add(bench.job(1)).await, bench.add(scheduled).await, discarded] {
        let seen = bench.view(&id).await;
        assert!(bench.broker.delete_seen(&seen).await.unwrap(), "{seen:?}");
        assert!(bench.broker.job(Some(&bench.queue), &id).await.unwrap().is_none());
        assert!(!bench.broker.delete_seen(&seen).await.unwrap(), "it is gone");
    }
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts, Counts::default());
    assert!(bench.claim(1).await.is_empty());
}

/// What has been changed by anybody since it was seen stays, in whatever state it is now.
pub async fn what_is_not_as_it_was_seen_stays(bench: Bench) {
    let edit = async |id: &JobId, edit: Edit| bench.broker.edit(&bench.queue, id, edit).await.unwrap();
    for what in ["claim", "claim and hand back", "discard", "priority", "arguments", "another job"] {
        let id = bench.add(bench.job(1)).await;
        let seen = bench.view(&id).await;
        match what {
            "claim" => drop(bench.claim_one().await),
            "claim and hand back" => {
                let job = bench.claim_one().await;
                bench.finish(&job, release_in(seconds(0))).await;
            }
            "discard" => bench.broker.discard(&bench.queue, &id).await.unwrap(),
            "priority" => edit(&id, Edit { priority: Priority::try_from(0).ok(), ..Edit::default() }).await,
            "arguments" => {
                let args = serde_json::value::to_raw_value(&7).ok();
                edit(&id, Edit { args, ..Edit::default() }).await;
            }
            _ => {
                bench.broker.delete(&bench.queue, &id).await.unwrap();
                bench.clock.advance(seconds(1));
                bench.add(NewJob { id: Some(id.clone()), ..bench.job(1) }).await;
            }
        }
        assert!(!bench.broker.delete_seen(&seen).await.unwrap(), "{what}");
        let now = bench.view(&id).await;
        if now.state == State::Running {
            let error = bench.broker.delete_seen(&now).await.unwrap_err();
            assert!(matches!(error, BrokerError::Illegal(_)), "a running one is never deleted: {error}");
            bench.lose_workers().await;
        }
        bench.broker.delete(&bench.queue, &id).await.unwrap();
    }
    // One that is put off has the same content and is due at another time.
    let debounced = || {
        let unique = Unique {
            debounce: Some(Debounce { max_wait_ms: 60_000 }),
            on_conflict: OnConflict::Replace,
            ..Unique::key("k")
        };
        NewJob { delay_ms: Some(5_000), unique: Some(unique), ..bench.job(1) }
    };
    let id = bench.add(debounced()).await;
    let seen = bench.view(&id).await;
    bench.clock.advance(seconds(1));
    bench.enqueue(debounced()).await;
    assert!(!bench.broker.delete_seen(&seen).await.unwrap());
    assert!(bench.broker.delete_seen(&bench.view(&id).await).await.unwrap());
}
