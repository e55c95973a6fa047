//! What the brokers themselves carry: bulk enqueue, then claim and finish, every job counted. No handler runs here.
//!
//! `cargo xtask bench queue` prints the medians of five interleaved runs. Quote ratios of one run, not the numbers: they
//! belong to the machine.

#![expect(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    Broker, ClaimedJob, EnqueueOutcome, Finish, HeldLease, LeaseStatus, RedisBroker, RedisConfig, SqliteBroker,
    SqliteConfig,
};
use lovage_core::{JobId, NewJob, QueueName, Transition, WorkerId};
use lovage_testkit::RedisServer;
use tokio::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const RUNS: usize = 5;
const JOBS: usize = 50_000;
/// Jobs in one enqueue call.
const BULK: usize = 1_000;
/// Jobs in one claim and one finish call.
const BATCH: usize = 100;
/// Loops of claim and finish at the same time.
const LOOPS: usize = 2;
const LEASE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<()> {
    let server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let folder = tempfile::tempdir()?;
    let redis = RedisBroker::connect(RedisConfig { url: server.url(), ..RedisConfig::default() }).await?;
    let sqlite = SqliteBroker::open(SqliteConfig::new(folder.path().join("lovage.db"))).await?;
    let brokers: [(&str, Arc<dyn Broker>); 2] =
        [("redis, append-only file every second", Arc::new(redis)), ("sqlite, synchronous=FULL", Arc::new(sqlite))];

    let mut rates = vec![(Vec::new(), Vec::new()); brokers.len()];
    for run in 0..RUNS {
        for ((_, broker), (enqueue, drain)) in brokers.iter().zip(&mut rates) {
            let queue: QueueName = format!("run{run}").parse()?;
            enqueue.push(fill(broker.as_ref(), &queue).await?);
            drain.push(empty(broker, &queue).await?);
        }
    }

    println!(
        "\n{JOBS} jobs of 200 bytes, medians of {RUNS} runs, jobs/s (bulk {BULK}, batch {BATCH}, {LOOPS} loops)\n"
    );
    println!("{:<40} {:>10} {:>10}", "broker", "enqueue", "drain");
    for ((name, _), (enqueue, drain)) in brokers.iter().zip(rates) {
        println!("{name:<40} {:>10.0} {:>10.0}", median(enqueue), median(drain));
    }
    Ok(())
}

/// Enqueues all jobs; answers jobs per second.
async fn fill(broker: &dyn Broker, queue: &QueueName) -> Result<f64> {
    let job = NewJob::new(queue.clone(), "debug.noop".parse()?, &serde_json::json!({ "pad": "x".repeat(190) }))?;
    let start = Instant::now();
    for _ in 0..JOBS / BULK {
        let outcomes = broker.enqueue(vec![job.clone(); BULK]).await?;
        if !outcomes.iter().all(|outcome| matches!(outcome, EnqueueOutcome::Enqueued(_))) {
            return Err("a job was not enqueued".into());
        }
    }
    Ok(rate(start))
}

/// Claims and finishes until nothing is left; fails unless each job was had once and every finish counted.
async fn empty(broker: &Arc<dyn Broker>, queue: &QueueName) -> Result<f64> {
    let start = Instant::now();
    let loops: Vec<_> =
        (0..LOOPS).map(|number| tokio::spawn(drain(Arc::clone(broker), queue.clone(), number))).collect();
    let mut seen = HashSet::with_capacity(JOBS);
    for one in loops {
        for id in one.await?? {
            if !seen.insert(id) {
                return Err("a job was claimed twice".into());
            }
        }
    }
    let rate = rate(start);
    if seen.len() == JOBS { Ok(rate) } else { Err(format!("{} of {JOBS} jobs ran", seen.len()).into()) }
}

async fn drain(broker: Arc<dyn Broker>, queue: QueueName, number: usize) -> Result<Vec<JobId>> {
    let worker: WorkerId = format!("bench-{number}").parse()?;
    let mut had = Vec::new();
    loop {
        let jobs = broker.claim(&queue, &worker, BATCH, LEASE).await?.jobs;
        if jobs.is_empty() {
            return Ok(had);
        }
        had.extend(jobs.iter().map(|job| job.id.clone()));
        let statuses = broker.finish(&queue, &worker, jobs.iter().map(done).collect()).await?;
        if !statuses.iter().all(|status| *status == LeaseStatus::Held) {
            return Err("a finish was refused".into());
        }
    }
}

fn done(job: &ClaimedJob) -> Finish {
    Finish {
        lease: HeldLease { id: job.id.clone(), token: job.token },
        transition: Transition::Complete { result: None },
    }
}

fn rate(start: Instant) -> f64 {
    JOBS as f64 / start.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
