//! Does what time does to queues (due, expired, lost, old jobs), so that it happens even when nobody claims.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::QueueName;

use crate::engine::Engine;

/// Pause between two rounds while something happens, and while nothing does.
const ACTIVE: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(5);
/// Slices of one queue in one round; more would keep the broker from its other work.
const MOST_SLICES: usize = 10;

/// Sweeps the worker's queues for ever. Failures are silent: the fetcher meets the same ones and says so.
pub(crate) async fn sweep(engine: Arc<Engine>) {
    loop {
        let mut active = engine.busy() > 0;
        for (queue, _) in &engine.config.queues {
            active |= sweep_queue(&engine, queue).await;
        }
        let pause = if active { ACTIVE } else { IDLE };
        // Workers that started together do not sweep together.
        tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * engine.entropy.fraction())).await;
    }
}

/// Answers whether there was something to do.
async fn sweep_queue(engine: &Engine, queue: &QueueName) -> bool {
    let mut active = false;
    for _ in 0..MOST_SLICES {
        match engine.broker.sweep(queue).await {
            Ok(swept) => {
                active |= swept.promoted + swept.expired + swept.lost + swept.pruned > 0;
                if swept.lost > 0 {
                    tracing::warn!(%queue, jobs = swept.lost, "took jobs back from workers that are gone");
                }
                if !swept.more {
                    break;
                }
            }
            Err(error) => {
                tracing::debug!(%queue, error.message = %error, "cannot sweep");
                break;
            }
        }
    }
    active
}
