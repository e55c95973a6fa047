//! Waiting without polling: a blocking pop on a connection of its own, in a task that outlives a cancelled call. A cluster
//! takes no pop of several queues, so there each queue has such an ear.
//!
//! No wake-up is lost. What an ear hears while nobody waits goes back, for whichever worker is idle; what it hears for the
//! worker alone, a message, is the answer of the worker's next wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::select_all;
use lovage_core::{QueueName, WorkerId};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::fault::broker_error;
use super::keys::slot;
use super::registry::read_control;
use super::reply::texts;
use super::{RedisBroker, Result};
use crate::api::Wake;
use crate::error::BrokerError;

/// An answer that is later than the end of the block by more than this will not come: the connection is half-open.
const GRACE: Duration = Duration::from_secs(2);
/// Between looks at a queue whose slot is being moved.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What every waiting worker of this process waits for.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<HashMap<WorkerId, Arc<tokio::sync::Mutex<Ears>>>>);

impl Waits {
    fn of(&self, worker: &WorkerId) -> Arc<tokio::sync::Mutex<Ears>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(worker.clone()).or_default())
    }

    /// Drops what nobody of this process waits with any more.
    pub(super) fn forget(&self, worker: &WorkerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
    }
}

/// One worker's ears.
#[derive(Debug, Default)]
struct Ears {
    ears: Vec<Ear>,
    /// Whether a call is waiting right now.
    attended: Arc<AtomicBool>,
}

/// One blocking pop after another.
#[derive(Debug)]
struct Ear {
    queues: Vec<QueueName>,
    blocked: Option<JoinHandle<(Option<Idle>, Result<Wake>)>>,
    idle: Option<Idle>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        if let Some(task) = &self.blocked {
            task.abort();
        }
    }
}

/// A connection on which nothing is going on, and the address at which it ends.
struct Idle(String, MultiplexedConnection);

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Idle").field(&self.0).finish_non_exhaustive()
    }
}

/// Says that somebody waits, for as long as it lives.
struct Attendance(Arc<AtomicBool>);

impl Attendance {
    fn of(attended: &Arc<AtomicBool>) -> Self {
        attended.store(true, Ordering::SeqCst);
        Self(Arc::clone(attended))
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl RedisBroker {
    pub(super) async fn wait_for(&self, queues: &[QueueName], worker: &WorkerId, timeout: Duration) -> Result<Wake> {
        let deadline = Instant::now() + timeout;
        let ears = self.waits.of(worker);
        let mut ears = ears.lock().await;
        let attended = Arc::clone(&ears.attended);
        let _attendance = Attendance::of(&attended);
        self.tune(&mut ears.ears, queues);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            for ear in ears.ears.iter_mut().filter(|ear| ear.blocked.is_none()) {
                let pop = self.pop(&ear.queues, worker, left);
                let idle = match ear.idle.take().filter(|idle| self.link.is_current(&idle.0)) {
                    Some(idle) => idle,
                    None => self.link.dedicated(pop.slot).await.map(|(at, connection)| Idle(at, connection))?,
                };
                ear.blocked = Some(tokio::spawn(pop.run(idle, Arc::clone(&attended))));
            }
            let heard = select_all(ears.ears.iter_mut().filter_map(|ear| ear.blocked.as_mut()));
            // At the deadline the tasks end by themselves a moment later.
            let Ok((joined, index, _)) = tokio::time::timeout_at(deadline, heard).await else {
                return Ok(Wake::Timeout);
            };
            let (idle, answer) =
                joined.unwrap_or_else(|error| (None, Err(BrokerError::Unavailable(format!("a wait ended: {error}")))));
            let ear = &mut ears.ears[index];
            ear.blocked = None;
            if idle.is_none() {
                self.link.doubt();
            }
            ear.idle = idle;
            match answer {
                Ok(Wake::Timeout) if Instant::now() < deadline => {}
                answer => return answer,
            }
        }
    }

    /// Sets up an ear for each pop that is needed; those that listen to the right queues already go on.
    fn tune(&self, ears: &mut Vec<Ear>, queues: &[QueueName]) {
        let wanted: Vec<&[QueueName]> =
            if self.link.is_cluster() && queues.len() > 1 { queues.chunks(1).collect() } else { vec![queues] };
        // What an unfinished pop of other queues takes is lost to them; the claims that follow find the jobs.
        ears.retain(|ear| wanted.contains(&ear.queues.as_slice()));
        for queues in wanted {
            if !ears.iter().any(|ear| ear.queues == queues) {
                ears.push(Ear { queues: queues.to_vec(), blocked: None, idle: None });
            }
        }
    }

    /// The pop of wake-ups, or of messages if there are no queues.
    fn pop(&self, queues: &[QueueName], worker: &WorkerId, timeout: Duration) -> Pop {
        let keys = if queues.is_empty() {
            vec![self.keys.control(worker)]
        } else {
            queues.iter().map(|queue| self.keys.of(queue).wake().to_owned()).collect()
        };
        // Zero would block for ever.
        Pop { slot: slot(&keys[0]), queues: queues.to_vec(), keys, timeout: timeout.max(Duration::from_millis(1)) }
    }
}

/// What an ear does next.
struct Pop {
    slot: u16,
    queues: Vec<QueueName>,
    keys: Vec<String>,
    timeout: Duration,
}

impl Pop {
    async fn run(self, idle: Idle, attended: Arc<AtomicBool>) -> (Option<Idle>, Result<Wake>) {
        let Idle(address, mut connection) = idle;
        let mut cmd = redis::cmd("BLPOP");
        cmd.arg(&self.keys).arg(format!("{:.3}", self.timeout.as_secs_f64()));
        let answer = tokio::time::timeout(self.timeout + GRACE, cmd.query_async::<Value>(&mut connection)).await;
        let popped = match answer {
            Ok(Ok(popped)) => popped,
            // The slot has moved or is about to; whoever waits connects to where it is.
            Ok(Err(error)) if error.is_cluster_error() => {
                tokio::time::sleep(LOOK_AGAIN).await;
                return (None, Ok(Wake::Timeout));
            }
            Ok(Err(error)) => return (None, Err(broker_error(&address, &error))),
            Err(_) => {
                let silent = format!("redis at {address}: no answer to a blocking call");
                return (None, Err(BrokerError::Unavailable(silent)));
            }
        };
        let (key, text) = match texts(popped).as_deref() {
            Ok([key, text]) => (key.clone(), text.clone()),
            Ok(_) => return (Some(Idle(address, connection)), Ok(Wake::Timeout)),
            Err(_) => return (None, Err(BrokerError::Protocol("a wake-up cannot be read".into()))),
        };
        let queue = self.keys.iter().zip(&self.queues).find(|(each, _)| **each == key).map(|(_, queue)| queue.clone());
        let wake = match queue {
            Some(_) if !attended.load(Ordering::SeqCst) => {
                let handed_back = hand_back(&mut connection, &key, &text).await;
                return (handed_back.ok().map(|()| Idle(address, connection)), Ok(Wake::Timeout));
            }
            Some(queue) => Wake::Queue(queue),
            None => read_control(&text).map_or(Wake::Timeout, Wake::Control),
        };
        (Some(Idle(address, connection)), Ok(wake))
    }
}

/// Leaves a mark for whoever is idle. There is never more than one.
async fn hand_back(
    connection: &mut MultiplexedConnection,
    key: &str,
    mark: &str,
) -> std::result::Result<(), RedisError> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("LPUSH").arg(key).arg(mark);
    pipeline.cmd("LTRIM").arg(key).arg(0).arg(0);
    connection.send_packed_commands(&pipeline, 0, 2).await.map(drop)
}
