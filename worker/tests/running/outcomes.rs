//! What becomes of a job by how its handler ends.

use std::time::Duration;

use lovage_core::{Change, DiscardReason, ErrorClass, RetryPolicy, State};
use lovage_worker::{Handler, JobContext, JobError, KindOptions, Registry};
use serde_json::{Value, json};

use crate::bench::{Bench, at_once};
use crate::handlers::{
    Big, CancelsItself, Echo, FailsTwice, Forever, LaterOnce, Panics, Refuses, SnoozesTwice, SucceedsAnyway,
};

pub async fn a_result_is_kept(bench: Bench) {
    let job = bench.job("echo", &json!({"rows": 12_345_678_901_234_567_890_u64}));
    let view = bench.run_once(Registry::new().with(Echo), job).await;
    assert_eq!(view.state, State::Completed);
    assert_eq!(view.result.unwrap().get(), r#"{"rows":12345678901234567890}"#);
    assert_eq!((view.attempt, view.failed), (1, 0));
}

pub async fn a_job_without_a_result_has_none(bench: Bench) {
    let view = bench.run_once(Registry::new().with(Echo), bench.job("echo", &Value::Null)).await;
    assert_eq!(view.state, State::Completed);
    assert!(view.result.is_none());
}

struct Knows;
impl Handler for Knows {
    type Args = Value;
    type Output = Value;
    const KIND: &'static str = "knows";
    async fn run(&self, _: Value, job: JobContext) -> Result<Value, JobError> {
        Ok(json!({
            "id": job.id(), "queue": job.queue(), "kind": job.kind(), "attempt": job.attempt(),
            "tenant": job.tenant(), "tags": job.tags(), "metadata": job.metadata(),
            "has_token": job.token() > 0, "is_cancelled": job.is_cancelled(), "enqueued_at": job.enqueued_at(),
        }))
    }
}

pub async fn the_handler_knows_its_job(bench: Bench) {
    let mut job = bench.job("knows", &json!({}));
    job.id = Some("order:42".parse().unwrap());
    job.tenant = Some("acme".parse().unwrap());
    job.tags = vec!["monthly".into()];
    job.metadata.insert("request_id".into(), "r-1".into());
    let view = bench.run_once(Registry::new().with(Knows), job).await;
    let known: Value = serde_json::from_str(view.result.unwrap().get()).unwrap();
    let expected = json!({
        "id": "order:42", "queue": "work", "kind": "knows", "attempt": 1, "tenant": "acme", "tags": ["monthly"],
        "metadata": {"request_id": "r-1"}, "has_token": true, "is_cancelled": false, "enqueued_at": view.enqueued_at,
    });
    assert_eq!(known, expected);
}

pub async fn an_error_is_tried_again_until_it_succeeds(bench: Bench) {
    let id = bench.add("fails-twice", json!({})).await;
    let mut run = bench.start(Registry::new().with(FailsTwice));
    assert_eq!(run.finished(&id).await, Change::Retry);
    assert_eq!(run.finished(&id).await, Change::Retry);
    assert_eq!(run.finished(&id).await, Change::Complete);
    let summary = run.drain().await;
    assert_eq!((summary.claimed, summary.failed, summary.completed), (3, 2, 1));
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.attempt, view.failed), (State::Completed, 3, 2));
    let errors: Vec<_> = view.errors.iter().map(|error| (error.attempt, error.message.as_str())).collect();
    assert_eq!(errors, [(1, "attempt 1: refused"), (2, "attempt 2: refused")], "with their causes");
    assert!(view.errors.iter().all(|error| error.class == ErrorClass::Failed));
}

pub async fn a_job_says_when_to_try_again(bench: Bench) {
    // Its policy would wait for a minute.
    let mut job = bench.job("later-once", &json!({}));
    job.retry = Some(RetryPolicy { base_ms: 60_000_000, ..RetryPolicy::default() });
    let id = bench.add_job(job).await;
    let mut run = bench.start(Registry::new().with(LaterOnce));
    assert_eq!(run.finished(&id).await, Change::Retry);
    assert_eq!(run.finished(&id).await, Change::Complete);
    run.drain().await;
    assert_eq!(bench.view(&id).await.failed, 1);
}

pub async fn a_refusal_discards_at_once(bench: Bench) {
    let view = bench.run_once(Registry::new().with(Refuses), bench.job("refuses", &json!({}))).await;
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::Rejected)));
    assert_eq!(view.errors[0].message, "no such table");
    assert_eq!(view.errors[0].class, ErrorClass::Rejected);
}

pub async fn a_panic_is_shown_with_its_message(bench: Bench) {
    let mut job = bench.job("panics", &json!({}));
    job.retry = Some(RetryPolicy { base_ms: 60_000_000, ..RetryPolicy::default() });
    let view = bench.run_once(Registry::new().with(Panics), job).await;
    assert_eq!(view.state, State::Retryable);
    assert_eq!(view.errors[0].class, ErrorClass::Panicked);
    assert_eq!(view.errors[0].message, "the handler panicked: index 9 of 3");
}

pub async fn a_timeout_is_its_own_error(bench: Bench) {
    let mut job = bench.job("forever", &json!({}));
    job.timeout_ms = Some(30);
    job.retry = Some(RetryPolicy { base_ms: 60_000_000, ..RetryPolicy::default() });
    let view = bench.run_once(Registry::new().with(Forever), job).await;
    assert_eq!((view.state, view.failed), (State::Retryable, 1));
    assert_eq!(view.errors[0].class, ErrorClass::TimedOut);
    assert_eq!(view.errors[0].message, "the attempt ran longer than its timeout of 30ms");
}

pub async fn the_last_timeout_is_its_own_reason(bench: Bench) {
    let mut job = bench.job("forever", &json!({}));
    job.timeout_ms = Some(30);
    job.retry = Some(RetryPolicy::never());
    let view = bench.run_once(Registry::new().with(Forever), job).await;
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::TimedOut)));
}

pub async fn a_result_within_the_grace_after_the_timeout_counts(bench: Bench) {
    let mut job = bench.job("succeeds-anyway", &json!({}));
    job.timeout_ms = Some(30);
    let view = bench.run_once(Registry::new().with(SucceedsAnyway), job).await;
    assert_eq!(view.state, State::Completed);
}

struct Soft;
impl Handler for Soft {
    type Args = Value;
    type Output = &'static str;
    const KIND: &'static str = "soft";
    fn options(&self) -> KindOptions {
        KindOptions { soft_timeout: Some(Duration::from_millis(20)), ..KindOptions::default() }
    }
    async fn run(&self, _: Value, job: JobContext) -> Result<&'static str, JobError> {
        job.soft_timeout().cancelled().await;
        Ok(if job.is_cancelled() { "stopped" } else { "saved what was done" })
    }
}

pub async fn a_soft_timeout_asks_to_come_to_an_end(bench: Bench) {
    let view = bench.run_once(Registry::new().with(Soft), bench.job("soft", &json!({}))).await;
    assert_eq!(view.result.unwrap().get(), "\"saved what was done\"");
}

pub async fn a_snooze_spends_no_attempt(bench: Bench) {
    let mut job = bench.job("snoozes-twice", &json!({}));
    job.retry = Some(at_once(1));
    let id = bench.add_job(job).await;
    let mut run = bench.start(Registry::new().with(SnoozesTwice));
    assert_eq!(run.finished(&id).await, Change::Snooze);
    assert_eq!(run.finished(&id).await, Change::Snooze);
    assert_eq!(run.finished(&id).await, Change::Complete);
    run.drain().await;
    let view = bench.view(&id).await;
    assert_eq!((view.attempt, view.failed), (3, 0));
}

pub async fn row_26_an_unknown_kind_is_given_back_with_a_note(bench: Bench) {
    let view = bench.run_once(Registry::new().with(Echo), bench.job("export.query", &json!({}))).await;
    assert_eq!((view.state, view.failed), (State::Scheduled, 0));
    assert!(view.due_at.unwrap().since(view.since) >= Duration::from_secs(30));
    assert_eq!(view.errors[0].class, ErrorClass::Released);
    assert_eq!(view.errors[0].message, "no handler for kind export.query on worker w1");
}

#[derive(serde::Deserialize)]
struct Table {
    #[expect(dead_code, reason = "only its decoding is tested")]
    columns: Vec<u32>,
}
struct Typed;
impl Handler for Typed {
    type Args = Table;
    type Output = ();
    const KIND: &'static str = "typed";
    async fn run(&self, _: Table, _: JobContext) -> Result<(), JobError> {
        Ok(())
    }
}

pub async fn arguments_that_do_not_fit_discard_with_their_path(bench: Bench) {
    let job = bench.job("typed", &json!({"columns": [1, "two"]}));
    let view = bench.run_once(Registry::new().with(Typed), job).await;
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::Rejected)));
    let message = &view.errors[0].message;
    assert!(message.starts_with("args.columns[1]: invalid type: string \"two\""), "{message}");
}

pub async fn a_result_over_the_limit_discards(bench: Bench) {
    let view = bench.run_once(Registry::new().with(Big), bench.job("big", &json!({}))).await;
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::Rejected)));
    assert!(view.errors[0].message.contains("store it as an artifact"), "{}", view.errors[0].message);
}

pub async fn a_handler_may_cancel_its_own_job(bench: Bench) {
    let job = bench.job("cancels-itself", &json!({}));
    let view = bench.run_once(Registry::new().with(CancelsItself), job).await;
    assert_eq!(view.state, State::Cancelled);
}

struct Computes;
impl Handler for Computes {
    type Args = Value;
    type Output = bool;
    const KIND: &'static str = "computes";
    async fn run(&self, args: Value, job: JobContext) -> Result<bool, JobError> {
        let here = std::thread::current().id();
        let elsewhere = job.blocking(move || std::thread::current().id() != here).await;
        if args == json!("panic") {
            job.blocking(|| panic!("in the other thread")).await;
        }
        Ok(elsewhere)
    }
}

pub async fn blocking_work_runs_beside_the_async_threads(bench: Bench) {
    let view = bench.run_once(Registry::new().with(Computes), bench.job("computes", &json!({}))).await;
    assert_eq!(view.result.unwrap().get(), "true");
    let view = bench.run_once(Registry::new().with(Computes), bench.job("computes", &json!("panic"))).await;
    assert_eq!(view.errors[0].message, "the handler panicked: in the other thread");
}
