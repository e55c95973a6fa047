//! Looking at jobs and queues.

use std::collections::BTreeSet;

use lovage_broker::{LeaseStatus, NewLogLine, Report};
use lovage_core::limits::{MAX_LOG_LINE_BYTES, MAX_LOG_LINES};
use lovage_core::{Clock as _, LogLevel, Progress, State};

use crate::bench::{Bench, held, retry_in, seconds};

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
