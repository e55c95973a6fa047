//! One look at all queues and workers, shared by everybody who asks within a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use lovage_broker::{Broker, BrokerError, Connect};
use lovage_core::{Check, Probed, QueueView, WorkerView};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How old an answer may be. A failure is kept as long, so that an outage is not answered with a storm.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// How long a look may take, connecting included.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// How often to look for the probes alone.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub queues: Vec<QueueView>,
    pub workers: Vec<WorkerView>,
}

/// The broker could not be read. Its own words went to the log: they may name machines.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the broker does not answer; try again")]
pub(crate) struct Away;

pub(crate) struct Snapshots {
    connect: Connect,
    latest: Mutex<Latest>,
    /// 0 before the first look, then 1 for answered and 2 for not.
    last: AtomicU8,
}

#[derive(Default)]
struct Latest {
    broker: Option<Arc<dyn Broker>>,
    seen: Option<(Instant, Result<Arc<Seen>, Away>)>,
}

impl Snapshots {
    pub fn new(connect: Connect) -> Self {
        Self { connect, latest: Mutex::default(), last: AtomicU8::new(0) }
    }

    /// What was seen within the last second; looks if nobody has. Who comes while somebody looks waits for that look.
    pub async fn latest(&self) -> Result<Arc<Seen>, Away> {
        let mut latest = self.latest.lock().await;
        if let Some((at, seen)) = &latest.seen
            && at.elapsed() < FRESH_FOR
        {
            return seen.clone();
        }
        let looked = timeout(LOOK_WITHIN, self.look(&mut latest.broker)).await;
        let looked = looked.unwrap_or_else(|_| Err(BrokerError::Unavailable("no answer in time".to_owned())));
        let before = self.last.swap(if looked.is_ok() { 1 } else { 2 }, Ordering::AcqRel);
        let seen = match looked {
            Ok(seen) => {
                if before == 2 {
                    tracing::info!("the broker answers again");
                }
                Ok(Arc::new(seen))
            }
            Err(error) => {
                if before != 2 {
                    tracing::warn!(error.message = %error, "the broker does not answer; looking again");
                }
                Err(Away)
            }
        };
        latest.seen = Some((Instant::now(), seen.clone()));
        seen
    }

    async fn look(&self, broker: &mut Option<Arc<dyn Broker>>) -> Result<Seen, BrokerError> {
        let broker = match broker {
            Some(broker) => broker,
            None => broker.insert((self.connect)().await?),
        };
        let (queues, workers) = tokio::try_join!(broker.queues(), broker.workers())?;
        Ok(Seen { queues, workers })
    }

    pub async fn keep_fresh(&self) {
        loop {
            let _ = self.latest().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Probed for Snapshots {
    /// Who answers this on the only thread that there is does not stand still.
    fn live(&self) -> Vec<Check> {
        vec![Check::of("dashboard_loop", true, "moves", "stands still")]
    }

    fn ready(&self) -> Vec<Check> {
        let answered = self.last.load(Ordering::Acquire) == 1;
        vec![Check::of("queue_reader", answered, "the broker answers", "the broker does not answer")]
    }

    /// It serves without the broker too: it says that it is away.
    fn started(&self) -> Vec<Check> {
        vec![Check::of("dashboard", true, "serves", "does not serve")]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn counted() -> (Snapshots, Arc<AtomicUsize>) {
        let looks = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&looks);
        let connect: Connect = Arc::new(move || {
            count.fetch_add(1, Ordering::AcqRel);
            Box::pin(async {
                tokio::task::yield_now().await;
                Err(BrokerError::Unavailable("gone".to_owned()))
            })
        });
        (Snapshots::new(connect), looks)
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_within_a_second_share_one_look() {
        let (snapshots, looks) = counted();
        let snapshots = Arc::new(snapshots);
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let snapshots = Arc::clone(&snapshots);
                tokio::spawn(async move { snapshots.latest().await.is_err() })
            })
            .collect();
        for asked in asking {
            assert!(asked.await.unwrap());
        }
        assert_eq!(looks.load(Ordering::Acquire), 1);
        tokio::time::advance(FRESH_FOR).await;
        assert!(snapshots.latest().await.is_err());
        assert_eq!(looks.load(Ordering::Acquire), 2, "and a second later somebody looks again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_hangs_is_away() {
        let connect: Connect = Arc::new(|| Box::pin(std::future::pending()));
        let snapshots = Snapshots::new(connect);
        assert!(snapshots.latest().await.is_err());
        assert!(snapshots.ready().iter().any(|check| !check.ok));
    }
}
