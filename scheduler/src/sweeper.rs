//! What time does to queues that no worker sweeps: jobs become due, leases of dead workers run out, jobs expire.
//!
//! Workers do the same with each claim. This is for queues that nobody claims from at the moment: their numbers are right, and
//! whoever waits for a job's end hears of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lovage_broker::{Broker, Connect};
use lovage_core::QueueName;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use crate::duty::{Duty, DutyError};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for new queues.
const QUEUES_EVERY: Duration = Duration::from_secs(5);
/// Slices of one queue before it is another's turn.
const SLICES: usize = 5;

/// Does what is due in all queues.
pub struct Sweeper {
    connect: Connect,
    state: Mutex<Option<State>>,
}

struct State {
    broker: Arc<dyn Broker>,
    queues: Vec<QueueName>,
    listed: Instant,
}

impl std::fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweeper").finish_non_exhaustive()
    }
}

impl Sweeper {
    /// One that opens its connection when it is first needed.
    pub fn new(connect: Connect) -> Self {
        Self { connect, state: Mutex::default() }
    }

    /// Sweeps all queues. Answers whether more is due already.
    pub async fn sweep(&self) -> Result<bool, DutyError> {
        let mut state = self.state.lock().await;
        if state.as_ref().is_none_or(|known| known.listed.elapsed() >= QUEUES_EVERY) {
            let broker = match state.take() {
                Some(known) => known.broker,
                None => (self.connect)().await?,
            };
            let queues = broker.queues().await?.into_iter().map(|queue| queue.name).collect();
            *state = Some(State { broker, queues, listed: Instant::now() });
        }
        let Some(State { broker, queues, .. }) = state.as_ref() else { return Ok(false) };
        let (mut more, mut failed) = (false, None);
        for queue in queues {
            match sweep(broker.as_ref(), queue).await {
                Ok(left) => more |= left,
                Err(error) => {
                    warn!(%queue, %error, "a queue is not swept");
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) => {
                *state = None;
                Err(error)
            }
            None => Ok(more),
        }
    }
}

async fn sweep(broker: &dyn Broker, queue: &QueueName) -> Result<bool, DutyError> {
    for _ in 0..SLICES {
        if !broker.sweep(queue).await?.more {
            return Ok(false);
        }
    }
    Ok(true)
}

#[async_trait]
impl Duty for Sweeper {
    fn name(&self) -> &'static str {
        "sweeper"
    }

    async fn run_once(&self, _term: u64) -> Result<Duration, DutyError> {
        Ok(if self.sweep().await? { Duration::ZERO } else { EVERY })
    }
}
