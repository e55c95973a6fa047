//! Waiting without polling: a blocking pop on a connection of its own, in a task that outlives a cancelled call. What it
//! popped meanwhile is the answer of the worker's next wait, so no wake-up is lost with a dropped future.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lovage_core::{QueueName, WorkerId};
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::registry::read_control;
use super::reply::texts;
use super::{RedisBroker, Result};
use crate::api::Wake;
use crate::error::BrokerError;

/// An answer that is later than the end of the block by more than this will not come: the connection is half-open.
const GRACE: Duration = Duration::from_secs(2);

/// What every waiting worker of this process waits for.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<HashMap<WorkerId, Arc<tokio::sync::Mutex<Slot>>>>);

impl Waits {
    fn of(&self, worker: &WorkerId) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(worker.clone()).or_default())
    }

    /// Drops what nobody of this process waits with any more.
    pub(super) fn forget(&self, worker: &WorkerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
    }
}

/// One worker's wait.
#[derive(Debug, Default)]
struct Slot {
    queues: Vec<QueueName>,
    blocked: Option<JoinHandle<(Option<Idle>, Result<Wake>)>>,
    idle: Option<Idle>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(task) = &self.blocked {
            task.abort();
        }
    }
}

/// A connection on which nothing is going on.
struct Idle(MultiplexedConnection);

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Idle")
    }
}

impl RedisBroker {
    pub(super) async fn wait_for(&self, queues: &[QueueName], worker: &WorkerId, timeout: Duration) -> Result<Wake> {
        let deadline = Instant::now() + timeout;
        let slot = self.waits.of(worker);
        let mut slot = slot.lock().await;
        if slot.queues != queues {
            // What an unfinished wait for other queues pops is lost to them; the claims that follow find the jobs.
            if let Some(task) = slot.blocked.take_if(|task| !task.is_finished()) {
                task.abort();
            }
            slot.queues = queues.to_vec();
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if slot.blocked.is_none() {
                let idle = match slot.idle.take() {
                    Some(idle) => idle,
                    None => Idle(self.link.dedicated().await.map_err(|error| self.link.error(&error))?),
                };
                slot.blocked = Some(self.block(idle, queues, worker, left));
            }
            let Some(task) = slot.blocked.as_mut() else { continue };
            // At the deadline the task ends by itself a moment later; the next wait finds its answer.
            let Ok(joined) = tokio::time::timeout_at(deadline, task).await else { return Ok(Wake::Timeout) };
            slot.blocked = None;
            let (idle, answer) =
                joined.unwrap_or_else(|error| (None, Err(BrokerError::Unavailable(format!("a wait ended: {error}")))));
            slot.idle = idle;
            match answer {
                Ok(Wake::Timeout) if Instant::now() < deadline => {}
                answer => return answer,
            }
        }
    }

    /// Starts a blocking pop: of wake-ups, or of messages if there are no queues.
    fn block(
        &self,
        idle: Idle,
        queues: &[QueueName],
        worker: &WorkerId,
        timeout: Duration,
    ) -> JoinHandle<(Option<Idle>, Result<Wake>)> {
        // Zero would block for ever.
        let timeout = timeout.max(Duration::from_millis(1));
        let queues: Vec<_> = queues.iter().map(|queue| (queue.clone(), self.keys.of(queue))).collect();
        let mut cmd = redis::cmd("BLPOP");
        if queues.is_empty() {
            cmd.arg(self.keys.control(worker));
        }
        for (_, keys) in &queues {
            cmd.arg(keys.wake());
        }
        cmd.arg(format!("{:.3}", timeout.as_secs_f64()));
        let address = self.link.address.clone();
        tokio::spawn(async move {
            let Idle(mut connection) = idle;
            let answer = tokio::time::timeout(timeout + GRACE, cmd.query_async::<Value>(&mut connection)).await;
            let popped = match answer {
                Ok(Ok(popped)) => popped,
                Ok(Err(error)) => return (None, Err(super::fault::broker_error(&address, &error))),
                Err(_) => {
                    let silent = format!("redis at {address}: no answer to a blocking call");
                    return (None, Err(BrokerError::Unavailable(silent)));
                }
            };
            let named = |key: &str| queues.iter().find(|(_, keys)| keys.wake() == key).map(|(queue, _)| queue.clone());
            let wake = texts(popped).map(|popped| match popped.as_slice() {
                [key, text] => named(key).map(Wake::Queue).or_else(|| read_control(text).map(Wake::Control)),
                _ => None,
            });
            (Some(Idle(connection)), wake.map(|wake| wake.unwrap_or(Wake::Timeout)))
        })
    }
}
