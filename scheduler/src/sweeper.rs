//! What time does to queues that no worker sweeps: jobs become due, leases of dead workers run out, jobs expire.
//!
//! Workers do the same with each claim. This is for queues that nobody claims from at the moment: their numbers are right, and
//! whoever waits for a job's end hears of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use lovage_broker::{Broker, Connect};
use lovage_core::QueueName;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::duty::{Duty, DutyError};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for new queues.
const QUEUES_EVERY: Duration = Duration::from_secs(5);
/// Queues that are swept at the same time; one that does not answer holds up no other.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(3);
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
        let mut swept = Vec::with_capacity(queues.len());
        for queue in queues {
            swept.push(sweep(broker.as_ref(), queue));
        }
        let mut swept = futures::stream::iter(swept).buffer_unordered(AT_ONCE);
        let (mut more, mut failures, mut first) = (false, 0, None);
        while let Some(swept) = swept.next().await {
            match swept {
                Ok(left) => more |= left,
                Err(problem) => {
                    failures += 1;
                    first.get_or_insert(problem);
                }
            }
        }
        let Some(problem) = first else { return Ok(more) };
        let all = failures == queues.len();
        drop(swept);
        if all {
            *state = None;
        }
        Err(DutyError::Other(format!("{failures} queues are not swept, first {problem}")))
    }
}

/// Answers whether more is due, or in words why it is not known.
async fn sweep(broker: &dyn Broker, queue: &QueueName) -> Result<bool, String> {
    for _ in 0..SLICES {
        match timeout(PATIENCE, broker.sweep(queue)).await {
            Ok(Ok(swept)) if swept.more => {}
            Ok(Ok(_)) => return Ok(false),
            Ok(Err(error)) => return Err(format!("{queue}: {error}")),
            Err(_) => return Err(format!("{queue}: it did not answer in time")),
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
