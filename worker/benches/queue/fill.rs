//! Enqueues: in bulk, and one awaited call after the other.

use std::sync::Arc;

use lovage_broker::{Broker, EnqueueOutcome};
use lovage_core::{NewJob, QueueName};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Result;
use crate::options::{Options, job};

/// Jobs in one call.
const BULK: u64 = 1_000;
/// Calls under way at the same time, from one process over one connection.
const CALLERS: u64 = 2;

/// `fill`: all jobs in calls of a thousand. `tenants=T` spreads them over so many tenants.
pub async fn bulk(options: &Options) -> Result<Value> {
    let jobs = options.number("jobs", 200_000)?;
    let tenants = options.number("tenants", 0)?;
    let queues: Arc<[QueueName]> = options.queues()?.into();
    let broker = options.connect()?().await?;
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let batches = (0..jobs.div_ceil(BULK)).skip(caller as usize).step_by(CALLERS as usize);
            let (broker, queues) = (Arc::clone(&broker), Arc::clone(&queues));
            tokio::spawn(async move {
                for batch in batches {
                    let numbers = batch * BULK..jobs.min((batch + 1) * BULK);
                    enqueue(&*broker, numbers.map(|n| one(&queues, n, tenants)).collect::<Result<_>>()?).await?;
                }
                Result::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(json!({ "jobs": jobs, "seconds": start.elapsed().as_secs_f64() }))
}

/// `single`: one caller, one job a call, each awaited.
pub async fn single(options: &Options) -> Result<Value> {
    let jobs = options.number("jobs", 20_000)?;
    let queues = options.queues()?;
    let broker = options.connect()?().await?;
    let start = Instant::now();
    // As in a service: a handler is a task of the runtime, not its main thread.
    let caller = tokio::spawn(async move {
        for n in 0..jobs {
            enqueue(&*broker, vec![one(&queues, n, 0)?]).await?;
        }
        Result::Ok(())
    });
    caller.await??;
    Ok(json!({ "jobs": jobs, "seconds": start.elapsed().as_secs_f64() }))
}

fn one(queues: &[QueueName], n: u64, tenants: u64) -> Result<NewJob> {
    let mut job = job(&queues[(n % queues.len() as u64) as usize], n)?;
    if let Some(tenant) = n.checked_rem(tenants) {
        job.tenant = Some(format!("tenant-{tenant}").parse()?);
    }
    Ok(job)
}

/// Enqueues and fails unless every job is new and in.
pub async fn enqueue(broker: &dyn Broker, jobs: Vec<NewJob>) -> Result<()> {
    let outcomes = broker.enqueue(jobs).await?;
    match outcomes.iter().find(|outcome| !matches!(outcome, EnqueueOutcome::Enqueued(_))) {
        Some(other) => Err(format!("a job was not enqueued: {other:?}").into()),
        None => Ok(()),
    }
}
