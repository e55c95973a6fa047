//! What the broker alone carries: claim and finish in a loop, no worker and no handler. The difference to `drain` is
//! what the worker costs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, ClaimedJob, Finish, HeldLease, LeaseStatus};
use lovage_core::{JobId, QueueName, Transition, WorkerId};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Result;
use crate::options::Options;
use crate::process::{cpu_seconds, gate};

const LEASE: Duration = Duration::from_secs(30);

/// `loops`: `loops` of them at the same time over one connection, `batch` jobs a call.
pub async fn drain(options: &Options) -> Result<Value> {
    let (loops, batch) = (options.number("loops", 2)?, options.number("batch", 1_000)? as usize);
    let queue = options.queues()?.remove(0);
    let broker = options.connect()?().await?;
    gate()?;
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let one = |number| tokio::spawn(drain_one(Arc::clone(&broker), queue.clone(), number, batch));
    let loops: Vec<_> = (0..loops).map(one).collect();
    let (mut seen, mut twice) = (HashSet::new(), 0);
    for one in loops {
        twice += one.await??.into_iter().map(|id| u64::from(!seen.insert(id))).sum::<u64>();
    }
    Ok(json!({
        "seconds": start.elapsed().as_secs_f64(),
        "cpu_seconds": cpu_seconds()? - cpu,
        "ran": seen.len(),
        "twice": twice,
        "acked": seen.len(),
    }))
}

async fn drain_one(broker: Arc<dyn Broker>, queue: QueueName, number: u64, batch: usize) -> Result<Vec<JobId>> {
    let worker: WorkerId = format!("bench-{number}").parse()?;
    let mut had = Vec::new();
    loop {
        let jobs = broker.claim(&queue, &worker, batch, LEASE).await?.jobs;
        if jobs.is_empty() {
            return Ok(had);
        }
        let statuses = broker.finish(&queue, &worker, jobs.iter().map(done).collect()).await?;
        if !statuses.iter().all(|status| *status == LeaseStatus::Held) {
            return Err("a finish was refused".into());
        }
        had.extend(jobs.into_iter().map(|job| job.id));
    }
}

fn done(job: &ClaimedJob) -> Finish {
    Finish {
        lease: HeldLease { id: job.id.clone(), token: job.token },
        transition: Transition::Complete { result: None },
    }
}
