//! The one place that knows apalis: our claimed works are its backend, our executor its service, its `Monitor` and
//! `WorkerBuilder` run it. If its engine ever proves to be in the way, only this file changes.
//!
//! apalis polls all futures of a worker in one task, so each attempt is spawned: attempts run on all threads, and one
//! that blocks its thread does not stop the others. From the outside in: spawn, span, settle, catch panics, run.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use apalis::layers::catch_panic::CatchPanicLayer;
use apalis::layers::tracing::TraceLayer;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::error::BoxDynError;
use apalis_core::monitor::Monitor;
use apalis_core::task::Task;
use apalis_core::task::task_id::RandomId;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::ext::parallelize::ParallelizeLayer;
use futures::future::BoxFuture;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::task::AbortOnDropHandle;
use tower::layer::util::Identity;
use tower::{Layer, Service};

use crate::engine::Engine;
use crate::executor::{self, Work};
use crate::verdict::End;

/// Runs works until their channel is closed and all have ended. Dropping the future drops the handlers.
pub(crate) async fn drive(engine: Arc<Engine>, works: UnboundedReceiver<Work>) -> Result<(), String> {
    let claimed = Claimed { works: Arc::new(Mutex::new(works)) };
    let spawn = |attempt| AbortOnDropHandle::new(tokio::spawn(attempt));
    let monitor = Monitor::new().register(move |_| {
        let spans = Arc::clone(&engine);
        let trace = TraceLayer::new()
            .make_span_with(move |task: &Task<Work>| executor::span(&spans, &task.args.attempt))
            // The outcome is logged once, where it is decided.
            .on_request(|_: &Task<Work>, _: &tracing::Span| {})
            .on_response(())
            .on_failure(());
        WorkerBuilder::new(engine.config.id.as_str())
            .backend(claimed.clone())
            .layer(ParallelizeLayer::new(spawn))
            .layer(trace)
            .layer(Settle { engine: Arc::clone(&engine) })
            .layer(CatchPanicLayer::with_panic_handler(Panicked::from_payload))
            .build(Run { engine: Arc::clone(&engine) })
    });
    monitor.run().await.map_err(|error| error.to_string())
}

/// Our claimed works as a backend: never an error, never a poll of the broker.
#[derive(Clone)]
struct Claimed {
    works: Arc<Mutex<UnboundedReceiver<Work>>>,
}

impl Backend for Claimed {
    type Task = Task<Work>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Option<Result<Self::Task, Infallible>>> {
        let mut works = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        works.poll_recv(cx).map(|work| work.map(|work| Ok(Task::new(work))))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        // A backend that ends does not stop its worker by itself: without this the worker would wait for ever.
        if let Err(error) = worker.stop() {
            tracing::debug!(error.message = %error, "the apalis worker had stopped before");
        }
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Claimed {
    type Args = Work;
    type Id = RandomId;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

/// A handler's panic on its way out of apalis' layer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Panicked(String);

impl Panicked {
    fn from_payload(payload: &Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "with a payload that is no text".to_owned()))
    }
}

/// The executor as a service.
struct Run {
    engine: Arc<Engine>,
}

impl Service<Task<Work>> for Run {
    type Response = End;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<End, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Work>) -> Self::Future {
        let engine = Arc::clone(&self.engine);
        Box::pin(async move { Ok(executor::run(&engine, task.args).await) })
    }
}

/// Turns every end, a panic included, into what the broker is told.
#[derive(Clone)]
struct Settle {
    engine: Arc<Engine>,
}

impl<S> Layer<S> for Settle {
    type Service = Settled<S>;

    fn layer(&self, inner: S) -> Settled<S> {
        Settled { engine: Arc::clone(&self.engine), inner }
    }
}

struct Settled<S> {
    engine: Arc<Engine>,
    inner: S,
}

impl<S> Service<Task<Work>> for Settled<S>
where
    S: Service<Task<Work>, Response = End, Error = BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxDynError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, task: Task<Work>) -> Self::Future {
        let engine = Arc::clone(&self.engine);
        let attempt = Arc::clone(&task.args.attempt);
        let run = self.inner.call(task);
        Box::pin(async move {
            let end = run.await.unwrap_or_else(|error| End::Panicked(error.to_string()));
            executor::settle(&engine, &attempt, end);
            Ok(())
        })
    }
}
