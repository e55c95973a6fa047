//! Takes claimed jobs in: from here on their leases are kept, and each is on its way to a slot.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lovage_broker::{ClaimedJob, HeldLease};
use lovage_core::Transition;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

use crate::attempt::{Attempt, Run};
use crate::engine::Engine;
use crate::event::WorkerEvent;
use crate::executor::Work;

/// Sends the jobs that were claimed from a queue to slots, one each.
pub(crate) fn intake(
    engine: &Engine,
    line: usize,
    jobs: Vec<ClaimedJob>,
    slots: &mut OwnedSemaphorePermit,
    works: &UnboundedSender<Work>,
) {
    if jobs.is_empty() {
        return;
    }
    let queue = &engine.config.queues[line].0;
    engine.counts.claimed.fetch_add(jobs.len() as u64, Ordering::Relaxed);
    engine.metrics.claimed(line, jobs.len());
    engine.tell(|| WorkerEvent::Claimed { queue: queue.clone(), jobs: jobs.len() });
    let attempt = |job: &ClaimedJob| {
        let lease = HeldLease { id: job.id.clone(), token: job.token };
        let run = Run { number: job.attempt, failed: job.failed, enqueued_at: job.enqueued_at };
        Arc::new(Attempt::new(line, queue.clone(), lease, run))
    };
    let attempts: Vec<_> = jobs.iter().map(attempt).collect();
    engine.leases.insert(attempts.iter());
    // The worker was told to stop while the claim was under way: nothing of it begins.
    let too_late = engine.drain.is_cancelled();
    for (job, attempt) in jobs.into_iter().zip(attempts) {
        match slots.split(1) {
            Some(slot) if !too_late => {
                // The receiver ends after this sender; if it broke, the lease runs out and the job is safe.
                let _ = works.send(Work { attempt, job, slot });
            }
            _ => engine.end(&attempt, Transition::Release { delay: Duration::ZERO, error: None }),
        }
    }
}
