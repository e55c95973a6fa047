//! Runs one claimed attempt: a straight walk of small steps, each of which may end it. Knows nothing of apalis.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lovage_broker::ClaimedJob;
use lovage_core::{DiscardReason, JobSpec, Transition};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Span;

use crate::attempt::{Attempt, Cause};
use crate::context::{Facts, JobContext};
use crate::engine::Engine;
use crate::event::WorkerEvent;
use crate::handler::KindOptions;
use crate::registry::Ended;
use crate::verdict::{Case, End, Terms, judge};

/// A claimed job on its way to a slot.
#[derive(Debug)]
pub(crate) struct Work {
    pub attempt: Arc<Attempt>,
    pub job: ClaimedJob,
    /// The slot; free again when the handler has ended, however that is.
    pub slot: OwnedSemaphorePermit,
}

/// The span of an attempt; what only the stored form knows is filled in when that is read.
pub(crate) fn span(engine: &Engine, attempt: &Attempt) -> Span {
    tracing::info_span!(
        "process",
        job_id = %attempt.id(),
        job_kind = tracing::field::Empty,
        queue = %attempt.queue,
        attempt = attempt.run.number,
        worker_id = %engine.config.id,
        tenant = tracing::field::Empty,
        request_id = tracing::field::Empty,
        traceparent = tracing::field::Empty,
    )
}

/// Runs the attempt to its end. A panic of the handler goes on to the caller.
pub(crate) async fn run(engine: &Engine, work: Work) -> End {
    let Work { attempt, job, slot } = work;
    let spec = match JobSpec::decode(&job.spec) {
        Ok(spec) => spec,
        Err(error) => return End::Unreadable(error),
    };
    // The stored form may be large and is not needed any more.
    drop(job);
    describe(&spec);
    let Some(registered) = engine.registry.find(&spec.kind) else { return End::NoHandler(spec.kind) };
    attempt.set_kind(registered.index);
    engine.metrics.begins(attempt.line, registered.index);
    let Some(_slots) = registered.slots.take(engine, &attempt, slot).await else { return not_begun(engine, &attempt) };
    let limits = begin(&attempt, &spec, &registered.options);
    let _timed = Timed { engine, attempt: &attempt };
    let facts = Facts { kind: spec.kind, tenant: spec.tenant, tags: spec.tags, metadata: spec.metadata };
    let context = JobContext::new(Arc::clone(&attempt), facts, Arc::new(engine.reporter.clone()));
    engine.turned_away[attempt.line].store(0, Ordering::Relaxed);
    announce(engine, &attempt).await;
    supervise(engine, &attempt, &limits, registered.handler.run(&spec.args, context)).await
}

/// Notes how long the handler ran when it ends, panics or is dropped; whoever settles the attempt may have come before.
struct Timed<'a> {
    engine: &'a Engine,
    attempt: &'a Attempt,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.engine.metrics.ran(self.attempt.kind(), self.attempt.ran());
    }
}

/// Without a slot of its kind: at a stop back to its old place, otherwise back for a while.
fn not_begun(engine: &Engine, attempt: &Attempt) -> End {
    if engine.drain.is_cancelled() || attempt.cause().is_some() { End::Dropped } else { End::KindFull }
}

fn describe(spec: &JobSpec) {
    let span = Span::current();
    span.record("job_kind", spec.kind.as_str());
    if let Some(tenant) = &spec.tenant {
        span.record("tenant", tenant.as_str());
    }
    for field in ["request_id", "traceparent"] {
        if let Some(value) = spec.metadata.get(field) {
            span.record(field, value.as_str());
        }
    }
}

/// When what happens to a running attempt.
struct Limits {
    soft: Option<Instant>,
    hard: Instant,
}

/// The job's own limits win over its kind's.
fn begin(attempt: &Attempt, spec: &JobSpec, options: &KindOptions) -> Limits {
    let timeout = spec.timeout_ms.map_or(options.timeout, Duration::from_millis);
    let policy = spec.retry.clone().unwrap_or_else(|| options.retry.clone());
    let began = Instant::now();
    // An instant beyond what the clock can hold is as good as a hundred years.
    let after = |time: Duration| began.checked_add(time).unwrap_or(began + lovage_core::limits::MAX_HORIZON);
    let limits = Limits { soft: options.soft_timeout.map(after), hard: after(timeout) };
    attempt.begin(Terms { policy, timeout }, began, limits.hard);
    limits
}

async fn announce(engine: &Engine, attempt: &Attempt) {
    if engine.config.observer.is_some() {
        engine.tell(|| WorkerEvent::Started { id: attempt.id().clone(), attempt: attempt.run.number });
        // The observer was woken onto this thread; a handler that blocks it must not keep the news from it.
        tokio::task::yield_now().await;
    }
}

/// Lets the handler run, fires its tokens when their time comes and drops it when it does not return in time.
async fn supervise(engine: &Engine, attempt: &Attempt, limits: &Limits, handler: impl Future<Output = Ended>) -> End {
    tokio::pin!(handler);
    let mut soft = limits.soft;
    let mut drop_at = None;
    loop {
        // Without a grace running, the next instant to look at is the soft or the hard limit.
        let next = drop_at.unwrap_or_else(|| soft.map_or(limits.hard, |soft| soft.min(limits.hard)));
        tokio::select! {
            biased;
            ended = &mut handler => return End::Returned(ended),
            () = attempt.cancelled.cancelled(), if drop_at.is_none() => {
                drop_at = Some(Instant::now() + grace(engine, attempt));
            }
            () = engine.now.cancelled(), if drop_at.is_some() => return End::Dropped,
            () = tokio::time::sleep_until(next) => {
                if drop_at.is_some() {
                    return End::Dropped;
                } else if next == limits.hard {
                    engine.stop(attempt, Cause::TimedOut);
                } else {
                    soft = None;
                    attempt.soft_timeout.cancel();
                }
            }
        }
    }
}

fn grace(engine: &Engine, attempt: &Attempt) -> Duration {
    match attempt.cause() {
        Some(Cause::Shutdown) => engine.config.stop_grace,
        _ => engine.config.cancel_grace,
    }
}

/// Judges the end, logs it once and sends it to the broker.
pub(crate) fn settle(engine: &Engine, attempt: &Arc<Attempt>, end: End) {
    if matches!(end, End::KindFull) {
        engine.turned_away[attempt.line].fetch_add(1, Ordering::Relaxed);
    }
    let (cause, failed_before) = (attempt.cause(), attempt.run.failed);
    let known = Case { cause, terms: attempt.terms(), failed_before, worker: &engine.config.id };
    let Some(transition) = judge(end, &known, engine.entropy.fraction()) else { return engine.lose(attempt) };
    if !attempt.is_settled() {
        log(attempt, &transition);
    }
    engine.end(attempt, transition);
}

fn log(attempt: &Attempt, transition: &Transition) {
    let duration_ms = attempt.ran().as_millis() as u64;
    match transition {
        Transition::Complete { .. } => tracing::info!(duration_ms, outcome = "completed", "job completed"),
        Transition::Cancel => tracing::info!(duration_ms, outcome = "cancelled", "job cancelled"),
        Transition::Release { delay, error: None } => {
            tracing::info!(duration_ms, outcome = "released", ?delay, "job given back");
        }
        Transition::Release { delay, error: Some(note) } => {
            tracing::warn!(outcome = "released", ?delay, error.message = note.message, "job given back");
        }
        Transition::Retry { delay, error } => tracing::warn!(
            duration_ms, outcome = "retryable", ?delay, error.r#type = ?error.class, error.message = error.message,
            "attempt failed"
        ),
        // The text of a rejection often quotes an argument; it stands with the job, not in the log.
        Transition::Discard { reason: reason @ DiscardReason::Rejected, error } => tracing::error!(
            duration_ms, outcome = "discarded", %reason, error.r#type = ?error.class, "job discarded; its errors say why"
        ),
        Transition::Discard { reason, error } => tracing::error!(
            duration_ms, outcome = "discarded", %reason, error.r#type = ?error.class, error.message = error.message,
            "job discarded"
        ),
    }
}
