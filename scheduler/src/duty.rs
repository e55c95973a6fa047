//! What a leader does again and again.

use std::time::Duration;

use async_trait::async_trait;
use lovage_broker::BrokerError;
use lovage_ledger::LedgerError;

/// Something that a leader does again and again. Doing it twice, or by two at once, does no harm.
#[async_trait]
pub trait Duty: Send + Sync {
    /// Its name, in logs and metrics.
    fn name(&self) -> &'static str;

    /// How long it may take before it is taken for late.
    fn may_take(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// How long to wait at least before it is done again after a failure.
    fn after_failure(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Does it once, for the leader of this term. Answers how long to wait before it is done again.
    async fn run_once(&self, term: u64) -> Result<Duration, DutyError>;
}

/// Why a duty was not done, by what follows.
#[derive(Debug, thiserror::Error)]
pub enum DutyError {
    /// Somebody else leads: stop.
    #[error("somebody else leads now")]
    Deposed,
    /// The broker did not do what was asked: it is tried again.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The ledger did not do what was asked: it is tried again.
    #[error(transparent)]
    Ledger(LedgerError),
    /// Something else: it is tried again.
    #[error("{0}")]
    Other(String),
}

/// How long a call about one queue may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the broker answers about a queue, if it does so in time: for what can be asked again.
pub(crate) async fn in_time<T>(call: impl Future<Output = Result<T, BrokerError>>) -> Result<T, DutyError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DutyError::Other("the queue did not answer in time".to_owned())),
    }
}

impl From<LedgerError> for DutyError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Deposed => Self::Deposed,
            other => Self::Ledger(other),
        }
    }
}
