//! Handlers that do what a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lovage_core::{LogLevel, Progress, RetryPolicy};
use lovage_worker::{Handler, JobContext, JobError, KindOptions};
use serde_json::Value;
use tokio::sync::Notify;

/// Makes a handler type from a function: `handler!(Name, "kind", |args, job| async move { ... })`.
macro_rules! handler {
    ($name:ident, $kind:literal, |$args:pat_param, $job:pat_param| $body:expr) => {
        pub struct $name;
        impl Handler for $name {
            type Args = Value;
            type Output = Value;
            const KIND: &'static str = $kind;
            fn options(&self) -> KindOptions {
                KindOptions { retry: crate::bench::at_once(3), ..KindOptions::default() }
            }
            async fn run(&self, $args: Value, $job: JobContext) -> Result<Value, JobError> {
                $body
            }
        }
    };
}

handler!(Echo, "echo", |args, _| Ok(args));
handler!(Panics, "panics", |_, _| panic!("index 9 of {}", 3));
handler!(Forever, "forever", |_, _| std::future::pending().await);
handler!(Refuses, "refuses", |_, _| Err(JobError::Discard(anyhow::anyhow!("no such table"))));
handler!(CancelsItself, "cancels-itself", |_, _| Err(JobError::Cancelled));
handler!(Big, "big", |_, _| Ok(Value::String("x".repeat(100_000))));
handler!(Obeys, "obeys", |_, job| {
    job.cancelled().cancelled().await;
    Err(JobError::Cancelled)
});
handler!(SucceedsAnyway, "succeeds-anyway", |_, job| {
    job.cancelled().cancelled().await;
    Ok(Value::from("done"))
});
handler!(FailsTwice, "fails-twice", |_, job| {
    if job.attempt() <= 2 {
        Err(anyhow::anyhow!("refused").context(format!("attempt {}", job.attempt())))?;
    }
    Ok(Value::from(job.attempt()))
});
handler!(LaterOnce, "later-once", |_, job| {
    if job.attempt() == 1 {
        return Err(JobError::RetryIn(Duration::from_millis(30), anyhow::anyhow!("busy")));
    }
    Ok(Value::Null)
});
handler!(SnoozesTwice, "snoozes-twice", |_, job| {
    if job.attempt() <= 2 {
        return Err(JobError::Snooze(Duration::from_millis(10)));
    }
    Ok(Value::Null)
});

/// Runs until the test opens it.
#[derive(Clone, Default)]
pub struct Gate(pub Arc<Notify>);

impl Handler for Gate {
    type Args = Value;
    type Output = Value;
    const KIND: &'static str = "gate";
    async fn run(&self, args: Value, _: JobContext) -> Result<Value, JobError> {
        self.0.notified().await;
        Ok(args)
    }
}

/// Reports once, then is silent until the test opens it.
#[derive(Clone, Default)]
pub struct Said {
    pub gate: Arc<Notify>,
}

impl Handler for Said {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "said";
    async fn run(&self, _: Value, job: JobContext) -> Result<(), JobError> {
        job.progress(Progress { done: 7, ..Progress::default() });
        job.log(LogLevel::Info, "seven are done");
        self.gate.notified().await;
        Ok(())
    }
}

/// Blocks its thread until it is told to stop; does not await.
#[derive(Clone, Default)]
pub struct Blocks {
    pub stop: Arc<AtomicBool>,
    pub timeout: Option<Duration>,
}

/// Lets a blocked thread go when the test ends, also when it fails: its runtime could not end otherwise.
pub struct Release(Arc<AtomicBool>);

impl Release {
    pub fn at_the_end(stop: &Arc<AtomicBool>) -> Self {
        Self(Arc::clone(stop))
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Handler for Blocks {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "blocks";
    fn options(&self) -> KindOptions {
        let default = KindOptions::default();
        KindOptions { timeout: self.timeout.unwrap_or(default.timeout), ..default }
    }
    async fn run(&self, _: Value, _: JobContext) -> Result<(), JobError> {
        while !self.stop.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Ok(())
    }
}

/// Blocks a thread for blocking work until it is told to stop.
pub struct BlocksAside(pub Arc<AtomicBool>);

impl Handler for BlocksAside {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "blocks-aside";
    fn options(&self) -> KindOptions {
        KindOptions { timeout: Duration::from_millis(50), retry: RetryPolicy::never(), ..KindOptions::default() }
    }
    async fn run(&self, _: Value, job: JobContext) -> Result<(), JobError> {
        let stop = Arc::clone(&self.0);
        job.blocking(move || {
            while !stop.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        })
        .await;
        Ok(())
    }
}

/// Counts how many run at once.
#[derive(Clone, Default)]
pub struct Capped {
    pub now: Arc<AtomicUsize>,
    pub most: Arc<AtomicUsize>,
}

impl Handler for Capped {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "capped";
    fn options(&self) -> KindOptions {
        KindOptions { max_running: Some(2), ..KindOptions::default() }
    }
    async fn run(&self, _: Value, _: JobContext) -> Result<(), JobError> {
        let now = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        self.most.fetch_max(now, Ordering::AcqRel);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }
}
