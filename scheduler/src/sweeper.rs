//! What time does to queues that no worker sweeps: jobs become due, leases of dead workers run out, jobs expire.
//!
//! Workers do the same with each claim. This is for queues that nobody claims from at the moment: their numbers are right, and
//! whoever waits for a job's end hears of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use lovage_broker::{Broker, Connect};
use lovage_core::QueueName;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use crate::duty::{Duty, DutyError, in_time};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for new queues.
const QUEUES_EVERY: Duration = Duration::from_secs(5);
/// Queues that are swept at the same time; one that does not answer holds up no other.
const AT_ONCE: usize = 8;
/// How long such a queue is left alone.
const AWAY: Duration = Duration::from_secs(30);
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
    /// Queues that could not be swept, until when they are left alone.
    away: HashMap<QueueName, Instant>,
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
            let (broker, away) = match state.take() {
                Some(known) => (known.broker, known.away),
                None => ((self.connect)().await?, HashMap::new()),
            };
            let queues = broker.queues().await?.into_iter().map(|queue| queue.name).collect();
            *state = Some(State { broker, queues, listed: Instant::now(), away });
        }
        let Some(State { broker, queues, away, .. }) = state.as_mut() else { return Ok(false) };
        let mut steps = Vec::with_capacity(queues.len());
        for queue in queues.iter().filter(|queue| away.get(*queue).is_none_or(|until| Instant::now() >= *until)) {
            steps.push(sweep(broker.as_ref(), queue));
        }
        let asked = steps.len();
        let mut steps = futures::stream::iter(steps).buffer_unordered(AT_ONCE);
        let (mut more, mut failures, mut last) = (false, 0, None);
        while let Some((queue, swept)) = steps.next().await {
            match swept {
                Ok(left) => {
                    more |= left;
                    away.remove(queue);
                }
                Err(problem) => {
                    failures += 1;
                    if away.insert(queue.clone(), Instant::now() + AWAY).is_none() {
                        warn!(%queue, %problem, "a queue is not swept; trying again");
                    }
                    last = Some(problem);
                }
            }
        }
        drop(steps);
        match last {
            // The broker as a whole does not answer.
            Some(problem) if failures == asked => {
                *state = None;
                Err(problem)
            }
            _ => Ok(more),
        }
    }
}

/// Answers whether more is due.
async fn sweep<'q>(broker: &dyn Broker, queue: &'q QueueName) -> (&'q QueueName, Result<bool, DutyError>) {
    for _ in 0..SLICES {
        match in_time(broker.sweep(queue)).await {
            Ok(swept) if swept.more => {}
            swept => return (queue, swept.map(|_| false)),
        }
    }
    (queue, Ok(true))
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
