//! Looking at jobs and queues.

use std::collections::BTreeSet;

use lovage_broker::{BrokerError, LeaseStatus, NewLogLine, Report};
use lovage_core::limits::{MAX_LOG_LINE_BYTES, MAX_LOG_LINES, MAX_LOOK};
use lovage_core::{Clock as _, DiscardReason, JobId, JobView, LogLevel, NewJob, Progress, State, Transition};

use crate::bench::{Bench, failure, held, retry_in, seconds};

pub async fn a_job_is_found_without_its_queue(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let mut other = bench.job(2);
    other.queue = "audit".parse().unwrap();
    let other = bench.add(other).await;
    for (id, queue) in [(&id, "exports"), (&other, "audit")] {
        let view = bench.broker.job(None, id).await.unwrap().unwrap();
        assert_eq!(view.queue.as_str(), queue);
    }
    assert!(bench.broker.job(Some(&bench.queue), &other).await.unwrap().is_none(), "not in this queue");
}

pub async fn jobs_are_looked_at_together_as_alone(bench: Bench) {
    let mut ids = bench.add_many(7).await;
    let jobs = bench.claim(6).await;
    let progress = Progress { done: 10, unit: "rows".into(), ..Progress::default() };
    for job in &jobs {
        let report = Report { lease: held(job), progress: Some(progress.clone()), lines: Vec::new() };
        bench.broker.report(&bench.queue, report).await.unwrap();
    }
    bench.clock.advance(seconds(1));
    let result = serde_json::value::RawValue::from_string("[7]".into()).unwrap();
    bench.finish(&jobs[0], Transition::Complete { result: Some(result) }).await;
    bench.finish(&jobs[1], retry_in(seconds(5))).await;
    bench.finish(&jobs[2], Transition::Cancel).await;
    let reason = DiscardReason::Rejected;
    bench.finish(&jobs[3], Transition::Discard { reason, error: failure("no") }).await;
    bench.complete(&jobs[4]).await;
    ids.push(bench.add(NewJob { delay_ms: Some(60_000), ..bench.job_of(8, "acme") }).await);

    let together = bench.broker.jobs(&bench.queue, &ids).await.unwrap();
    let states: BTreeSet<_> = together.iter().map(|job| job.state).collect();
    assert_eq!(states, State::ALL.into_iter().collect());
    let mut alone = Vec::new();
    for id in &ids {
        alone.push(bench.view(id).await);
    }
    let shown = |jobs: &[JobView]| serde_json::to_value(jobs).unwrap();
    assert_eq!(shown(&together), shown(&alone));
    assert_eq!(together[0].result.as_ref().unwrap().get(), "[7]");
    assert_eq!((together[3].errors.len(), together[3].reason), (1, Some(reason)));
    assert_eq!(together[5].progress, Some(progress));
}

pub async fn jobs_are_answered_in_the_order_asked_each_once(bench: Bench) {
    let ids = bench.add_many(5).await;
    let elsewhere = bench.add(NewJob { queue: "audit".parse().unwrap(), ..bench.job(9) }).await;
    let unknown: JobId = "nobody-knows-it".parse().unwrap();
    let asked = [&ids[3], &unknown, &ids[0], &ids[3], &elsewhere, &ids[4], &ids[0]].map(Clone::clone);
    let jobs = bench.broker.jobs(&bench.queue, &asked).await.unwrap();
    let found: Vec<_> = jobs.iter().map(|job| &job.id).collect();
    assert_eq!(found, [&ids[3], &ids[0], &ids[4]]);
    assert!(bench.broker.jobs(&bench.queue, &[unknown]).await.unwrap().is_empty());
    assert!(bench.broker.jobs(&"nobody".parse().unwrap(), &ids).await.unwrap().is_empty(), "not in this queue");
    assert!(bench.broker.jobs(&bench.queue, &[]).await.unwrap().is_empty());
}

pub async fn a_look_at_too_many_jobs_is_refused(bench: Bench) {
    let mut ids = bench.add_many(MAX_LOOK as u64).await;
    let jobs = bench.broker.jobs(&bench.queue, &ids).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.id.clone()).collect::<Vec<_>>(), ids);
    ids.push(ids[0].clone());
    let error = bench.broker.jobs(&bench.queue, &ids).await.unwrap_err();
    assert!(matches!(error, BrokerError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("1001") && error.to_string().contains("at most 1000"), "{error}");
}

pub async fn pages_cover_a_state_once(bench: Bench) {
    let ids = bench.add_many(25).await;
    assert_eq!(bench.listed(State::Available, 7).await, ids, "in the order of the line");
    let jobs = bench.claim(25).await;
    let running: BTreeSet<_> = bench.listed(State::Running, 10).await.into_iter().collect();
    assert_eq!(running, ids.iter().cloned().collect());
    for job in &jobs[..5] {
        bench.complete(job).await;
        bench.clock.advance(seconds(1));
    }
    let newest_first: Vec<_> = ids[..5].iter().rev().cloned().collect();
    assert_eq!(bench.listed(State::Completed, 2).await, newest_first);
    bench.finish(&jobs[5], retry_in(seconds(30))).await;
    bench.finish(&jobs[6], retry_in(seconds(10))).await;
    assert_eq!(bench.listed(State::Retryable, 1).await, [ids[6].clone(), ids[5].clone()], "the next due first");
    assert!(bench.listed(State::Scheduled, 10).await.is_empty(), "retryable jobs are no scheduled ones");
}

pub async fn pages_pass_over_what_was_deleted(bench: Bench) {
    let mut ids = bench.add_many(1_000).await;
    for id in ids.drain(400..700) {
        bench.broker.delete(&bench.queue, &id).await.unwrap();
    }
    assert_eq!(bench.listed(State::Available, 10).await, ids);
}

pub async fn counts_and_the_oldest_age(bench: Bench) {
    bench.add_many(2).await;
    let mut later = bench.job(3);
    later.delay_ms = Some(60_000);
    bench.add(later).await;
    bench.clock.advance(seconds(5));
    bench.add_many(1).await;
    let queue = bench.broker.queue(&bench.queue).await.unwrap();
    assert_eq!((queue.counts.available, queue.counts.scheduled), (3, 1));
    assert_eq!(queue.oldest_available_ms, Some(5_000));
    let jobs = bench.claim(2).await;
    bench.complete(&jobs[0]).await;
    let queue = bench.broker.queue(&bench.queue).await.unwrap();
    assert_eq!((queue.counts.available, queue.counts.running, queue.counts.completed), (1, 1, 1));
    assert_eq!(queue.oldest_available_ms, Some(0));
    bench.finish(&jobs[1], retry_in(seconds(1))).await;
    let queue = bench.broker.queue(&bench.queue).await.unwrap();
    assert_eq!((queue.counts.retryable, queue.counts.scheduled), (1, 1));
}

pub async fn progress_and_logs_are_kept_and_bounded(bench: Bench) {
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    let progress = Progress {
        done: 10,
        total: Some(40),
        unit: "rows".into(),
        phase: "read".into(),
        approximate: true,
        bytes: Some(77),
    };
    let line = |n: usize| NewLogLine { level: LogLevel::Warn, text: format!("line {n}") };
    let report = Report { lease: held(&job), progress: Some(progress.clone()), lines: vec![line(0), line(1)] };
    assert_eq!(bench.broker.report(&bench.queue, report).await.unwrap(), LeaseStatus::Held);
    assert_eq!(bench.view(&id).await.progress, Some(progress.clone()));
    let page = bench.broker.logs(&bench.queue, &id, None).await.unwrap();
    let texts: Vec<_> = page.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["line 0", "line 1"]);
    assert_eq!((page.lines[0].level, page.lines[0].attempt), (LogLevel::Warn, 1));
    assert_eq!(page.lines[0].at, bench.clock.now());

    // Only what is new, then more than is kept, and a line that is too long.
    let mut lines: Vec<_> = (2..MAX_LOG_LINES + 10).map(line).collect();
    lines.push(NewLogLine { level: LogLevel::Info, text: "x".repeat(MAX_LOG_LINE_BYTES * 2) });
    let report = Report { lease: held(&job), progress: None, lines };
    bench.broker.report(&bench.queue, report).await.unwrap();
    let newer = bench.broker.logs(&bench.queue, &id, page.next.as_deref()).await.unwrap();
    assert!(newer.lines.iter().all(|line| line.text != "line 1"), "only what is new");
    assert!(newer.lines.last().unwrap().text.len() <= MAX_LOG_LINE_BYTES);
    let all = bench.broker.logs(&bench.queue, &id, None).await.unwrap();
    assert!(all.lines.len() <= MAX_LOG_LINES, "{}", all.lines.len());
    assert_eq!(bench.view(&id).await.progress, Some(progress), "a report without progress keeps it");

    bench.broker.cancel(&bench.queue, &id).await.unwrap();
    let report = Report { lease: held(&job), progress: None, lines: vec![line(1)] };
    assert_eq!(bench.broker.report(&bench.queue, report).await.unwrap(), LeaseStatus::CancelRequested);
}

pub async fn an_unknown_queue_is_empty(bench: Bench) {
    let queue = bench.broker.queue(&"nobody".parse().unwrap()).await.unwrap();
    assert_eq!(queue.counts, lovage_core::Counts::default());
    assert_eq!((queue.oldest_available_ms, queue.paused), (None, None));
    assert!(bench.broker.queues().await.unwrap().is_empty());
}

pub async fn queues_are_listed_by_name(bench: Bench) {
    for name in ["zebra", "audit", "exports"] {
        let mut job = bench.job(1);
        job.queue = name.parse().unwrap();
        bench.add(job).await;
    }
    let names: Vec<_> = bench.broker.queues().await.unwrap().into_iter().map(|queue| queue.name.to_string()).collect();
    assert_eq!(names, ["audit", "exports", "zebra"]);
}
