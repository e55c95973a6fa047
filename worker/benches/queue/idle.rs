//! What is measured from outside: an idle worker, workers to kill, a sweep after the retention, a slow network.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{OsEntropy, SystemClock};
use lovage_testkit::Proxy;
use lovage_worker::{Handler, JobContext, JobError, Registry, Shutdown, Worker, WorkerConfig};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::Result;
use crate::drain::Args;
use crate::options::{KIND, Options};
use crate::process::gate;

/// Takes a second.
struct Nap(Arc<Semaphore>);

impl Handler for Nap {
    type Args = Args;
    type Output = ();
    const KIND: &'static str = KIND;

    async fn run(&self, _args: Args, _job: JobContext) -> std::result::Result<(), JobError> {
        self.0.add_permits(1);
        // bounded wait: to last a second is all that the job does
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }
}

/// `idle`: a worker with default settings that has nothing to do, until a line comes in.
pub async fn idle(options: &Options) -> Result<Value> {
    let config = WorkerConfig { exit_when_empty: false, ..options.worker()? };
    let registry = Registry::new().with(Nap(Arc::new(Semaphore::new(0))));
    let worker = Worker::new(config, options.connect()?, registry, Arc::new(OsEntropy), Arc::new(SystemClock));
    let shutdown = Shutdown::new();
    let running = tokio::spawn(worker.run(shutdown.clone()));
    tokio::task::spawn_blocking(gate).await??;
    shutdown.drain.cancel();
    running.await??;
    Ok(json!({}))
}

/// `nap`: a worker whose jobs take a second each. Says `begun` when `jobs` have begun, and ends when so many are done.
pub async fn nap(options: &Options) -> Result<Value> {
    let jobs = options.number("jobs", 100)?;
    let begun = Arc::new(Semaphore::new(0));
    let config = WorkerConfig { exit_when_empty: false, max_jobs: Some(jobs), ..options.worker()? };
    let registry = Registry::new().with(Nap(Arc::clone(&begun)));
    let worker = Worker::new(config, options.connect()?, registry, Arc::new(OsEntropy), Arc::new(SystemClock));
    gate()?;
    let running = tokio::spawn(worker.run(Shutdown::new()));
    begun.acquire_many(jobs as u32).await?.forget();
    println!("begun");
    std::io::stdout().flush()?;
    Ok(json!({ "acked": running.await??.completed }))
}

/// `sweep`: sweeps all queues until nothing is left to do.
pub async fn sweep(options: &Options) -> Result<Value> {
    let broker = options.connect()?().await?;
    let mut pruned = 0;
    for queue in options.queues()? {
        loop {
            let swept = broker.sweep(&queue).await?;
            pruned += swept.pruned;
            if !swept.more {
                break;
            }
        }
    }
    Ok(json!({ "pruned": pruned }))
}

/// `proxy`: adds `delay_us` to every round trip to `target`, until a line comes in. Says its address first.
pub async fn proxy(options: &Options) -> Result<Value> {
    let target: SocketAddr = options.text("target").ok_or("target is missing; use host:port")?.parse()?;
    let proxy = Proxy::start(target).await;
    proxy.delay(Duration::from_micros(options.number("delay_us", 2_000)?));
    println!("{}", proxy.address());
    tokio::task::spawn_blocking(gate).await??;
    Ok(json!({}))
}
