//! What a worker counts, read as a scraper reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lovage_core::{Change, JobId};
use lovage_worker::prometheus::{Registry as Metrics, TextEncoder};
use lovage_worker::{Registry, WorkerConfig, WorkerError, WorkerEvent};
use serde_json::json;

use crate::bench::{Bench, start};
use crate::handlers::{Echo, FailsTwice, Forever, Gate, Obeys, Refuses, SnoozesTwice};
use crate::leases::{renewals_fail, short};

/// The value of the series whose name and labels are `series`, written as in the text format.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let page = TextEncoder::new().encode_to_string(&metrics.gather()).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.map(|value| value.parse().unwrap())
}

/// As [`value`], of an attempt's outcome.
fn attempts(metrics: &Metrics, kind: &str, outcome: &str) -> Option<f64> {
    value(metrics, &format!(r#"lovage_job_attempts_total{{kind="{kind}",outcome="{outcome}",queue="work"}}"#))
}

fn completed(metrics: &Metrics, kind: &str, outcome: &str) -> Option<f64> {
    value(metrics, &format!(r#"lovage_jobs_completed_total{{kind="{kind}",outcome="{outcome}",queue="work"}}"#))
}

fn shown(bench: &Bench) -> (Metrics, WorkerConfig) {
    let metrics = Metrics::new();
    let config = WorkerConfig { metrics: Some(metrics.clone()), ..bench.config("w1") };
    (metrics, config)
}

pub async fn the_counts_are_what_happened(bench: Bench) {
    let (metrics, config) = shown(&bench);
    let handlers =
        Registry::new().with(Echo).with(FailsTwice).with(Refuses).with(SnoozesTwice).with(Obeys).with(Forever);
    let mut ids: Vec<JobId> = Vec::new();
    for kind in ["echo", "echo", "echo", "fails-twice", "refuses", "snoozes-twice"] {
        ids.push(bench.add(kind, json!({})).await);
    }
    let mut run = bench.start_with(WorkerConfig { shutdown_timeout: Duration::ZERO, ..config }, handlers);
    // Three at once, fails-twice and snoozes-twice three times each, refuses once.
    let mut ends = 0;
    while ends < 3 + 3 + 3 + 1 {
        run.event("an end", |event| matches!(event, WorkerEvent::Finished { .. }).then_some(())).await;
        ends += 1;
    }
    let asked = bench.add("obeys", json!({})).await;
    run.started(&asked).await;
    bench.broker.cancel(&bench.queue, &asked).await.unwrap();
    assert_eq!(run.finished(&asked).await, Change::Cancel);
    let kept = bench.add("forever", json!({})).await;
    run.started(&kept).await;
    assert_eq!(attempts(&metrics, "forever", "completed"), Some(0.0), "a series is there before its first count");
    assert_eq!(value(&metrics, "lovage_worker_slots"), Some(4.0));
    assert_eq!(value(&metrics, "lovage_worker_slots_busy"), Some(1.0));
    let summary = run.drain().await;

    for (kind, outcome, count) in [
        ("echo", "completed", 3.0),
        ("echo", "retryable", 0.0),
        ("fails-twice", "retryable", 2.0),
        ("fails-twice", "completed", 1.0),
        ("refuses", "discarded", 1.0),
        ("snoozes-twice", "snoozed", 2.0),
        ("snoozes-twice", "completed", 1.0),
        ("obeys", "cancelled", 1.0),
        ("forever", "released", 1.0),
        ("forever", "lost", 0.0),
    ] {
        assert_eq!(attempts(&metrics, kind, outcome), Some(count), "{kind} {outcome}");
    }
    for (kind, outcome, count) in [
        ("echo", "completed", 3.0),
        ("fails-twice", "completed", 1.0),
        ("fails-twice", "discarded", 0.0),
        ("refuses", "discarded", 1.0),
        ("obeys", "cancelled", 1.0),
        ("forever", "completed", 0.0),
    ] {
        assert_eq!(completed(&metrics, kind, outcome), Some(count), "{kind} {outcome}");
    }
    let claimed = value(&metrics, r#"lovage_jobs_claimed_total{queue="work"}"#);
    assert_eq!(claimed, Some(summary.claimed as f64), "the same as the worker's own summary");
    assert_eq!(value(&metrics, r#"lovage_job_duration_seconds_count{kind="fails-twice"}"#), Some(3.0));
    assert_eq!(value(&metrics, r#"lovage_job_duration_seconds_bucket{kind="echo",le="86400"}"#), Some(3.0));
    assert_eq!(value(&metrics, "lovage_worker_slots_busy"), Some(0.0));
}

pub async fn a_lost_attempt_is_counted_with_its_reason(bench: Bench) {
    let gate = Gate::default();
    let id = bench.add("gate", json!({})).await;
    let metrics = Metrics::new();
    let config = WorkerConfig { metrics: Some(metrics.clone()), ..short(&bench, "w1") };
    let down = Arc::new(true.into());
    let mut old = start(config, renewals_fail(&bench, &down), Registry::new().with(gate.clone()));
    old.started(&id).await;
    let mut new = bench.start_with(short(&bench, "w2"), Registry::new().with(gate.clone()));
    assert_eq!(new.started(&id).await, 2);
    gate.0.notify_one();
    old.until(WorkerEvent::Lost { id: id.clone() }).await;
    assert_eq!(attempts(&metrics, "gate", "lost"), Some(1.0));
    assert_eq!(attempts(&metrics, "gate", "completed"), Some(0.0), "its success is not one");
    assert_eq!(value(&metrics, r#"lovage_leases_lost_total{queue="work",reason="refused"}"#), Some(1.0));
    assert_eq!(value(&metrics, r#"lovage_leases_lost_total{queue="work",reason="gone"}"#), Some(0.0));
    gate.0.notify_one();
    assert_eq!(new.finished(&id).await, Change::Complete);
    old.drain().await;
    new.drain().await;
}

pub async fn kinds_that_nobody_registered_share_one_label(bench: Bench) {
    let (metrics, config) = shown(&bench);
    for n in 0..20 {
        bench.add(&format!("stranger-{n}"), json!({})).await;
    }
    let mut run = bench.start_with(config, Registry::new().with(Echo));
    for _ in 0..20 {
        run.event("an end", |event| matches!(event, WorkerEvent::Finished { .. }).then_some(())).await;
    }
    run.drain().await;
    let page = TextEncoder::new().encode_to_string(&metrics.gather()).unwrap();
    assert!(!page.contains("stranger"), "{page}");
    assert_eq!(attempts(&metrics, "unknown", "released"), Some(20.0));
    assert_eq!(attempts(&metrics, "echo", "completed"), None, "what never comes has no rows");
    for label in ["w1", "tenant", "job_id"] {
        assert!(!page.contains(&format!("\"{label}\"")) && !page.contains(&format!("{label}=")), "{label}: {page}");
    }
}

pub async fn a_registry_takes_one_worker(bench: Bench) {
    let (metrics, config) = shown(&bench);
    let mut run = bench.start_with(config, Registry::new().with(Echo));
    run.ready().await;
    let second = WorkerConfig { metrics: Some(metrics), ..bench.config("w2") };
    let error = bench.start_with(second, Registry::new()).end().await.unwrap_err();
    assert!(matches!(&error, WorkerError::Invalid(invalid) if invalid.field == "metrics"), "{error}");
    assert!(error.to_string().contains("give each worker a registry of its own"), "{error}");
    run.drain().await;
}

pub async fn an_attempt_that_lost_its_lease_while_running_has_a_duration(bench: Bench) {
    let gate = Gate::default();
    let id = bench.add("gate", json!({})).await;
    let metrics = Metrics::new();
    let config = WorkerConfig { metrics: Some(metrics.clone()), ..short(&bench, "w1") };
    let down = Arc::new(AtomicBool::new(true));
    let mut old = start(config, renewals_fail(&bench, &down), Registry::new().with(gate.clone()));
    old.started(&id).await;
    let mut new = bench.start_with(short(&bench, "w2"), Registry::new().with(gate.clone()));
    assert_eq!(new.started(&id).await, 2);
    // The next renewal is refused, and the keeper settles what still runs.
    down.store(false, Ordering::Release);
    old.until(WorkerEvent::Lost { id: id.clone() }).await;
    gate.0.notify_waiters();
    old.drain().await;
    assert_eq!(value(&metrics, r#"lovage_leases_lost_total{queue="work",reason="gone"}"#), Some(1.0));
    assert_eq!(value(&metrics, r#"lovage_job_duration_seconds_count{kind="gate"}"#), Some(1.0));
    new.finished(&id).await;
    new.drain().await;
}
