//! A worker of your own with probes and metrics on port 9090; Ctrl-C drains it. `lovage job enqueue greet --queue default --args '"Ada"'` gives it work.

#![expect(clippy::print_stdout, reason = "a program may print")]

use std::sync::Arc;

use lovage_broker::{Broker, Connect, OsEntropy, SqliteBroker, SqliteConfig, SystemClock};
use lovage_probes::{Door, Exposition, Server};
use lovage_worker::{Handler, JobContext, JobError, Registry, Shutdown, Worker, WorkerConfig, prometheus};

struct Greet;

impl Handler for Greet {
    type Args = String; // or any struct that serde can read
    type Output = String;
    const KIND: &'static str = "greet";

    async fn run(&self, name: String, job: JobContext) -> Result<String, JobError> {
        Ok(format!("hello {name}, for the {}. time", job.attempt()))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteConfig::new("lovage-data/lovage.db");
    let connect: Connect = Arc::new(move || {
        let open = SqliteBroker::open(store.clone());
        Box::pin(async move { Ok(Arc::new(open.await?) as Arc<dyn Broker>) })
    });
    let metrics = prometheus::Registry::new();
    let mut config = WorkerConfig::new("own-worker-1".parse()?, vec![("default".parse()?, 1)]);
    config.metrics = Some(metrics.clone());
    let registry = Registry::new().with(Greet);
    let worker = Worker::new(config, connect, registry, Arc::new(OsEntropy), Arc::new(SystemClock));
    let exposition = Exposition::new(env!("CARGO_PKG_VERSION"), "unknown", vec![metrics])?;
    let door = Door::new(vec![Arc::new(worker.health())], exposition);
    let _open = Server::start(([127, 0, 0, 1], 9090).into(), door.routes())?;
    let shutdown = Shutdown::new();
    let running = tokio::spawn(worker.run(shutdown.clone()));
    tokio::signal::ctrl_c().await?;
    shutdown.drain.cancel();
    println!("{:?}", running.await??);
    Ok(())
}
