//! What the parts of one worker share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lovage_broker::{Broker, Control};
use lovage_core::{Clock, Entropy, Invalid, Timestamp, Transition};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::{Attempt, Cause};
use crate::config::{Shutdown, WorkerConfig, WorkerSummary};
use crate::event::WorkerEvent;
use crate::health::WorkerHealth;
use crate::leases::Leases;
use crate::metrics::{Unwritten, WorkerMetrics};
use crate::registry::Registry;
use crate::reporter::Reporter;

/// The end of an attempt on its way to the broker.
#[derive(Debug)]
pub(crate) struct Ending {
    pub attempt: Arc<Attempt>,
    pub transition: Transition,
}

/// Shared by all parts of a worker.
pub(crate) struct Engine {
    pub config: WorkerConfig,
    pub broker: Arc<dyn Broker>,
    pub registry: Registry,
    pub entropy: Arc<dyn Entropy>,
    /// By this machine's clock; for people to read.
    pub started_at: Timestamp,
    pub leases: Leases,
    pub slots: Arc<Semaphore>,
    pub reporter: Reporter,
    pub counts: Counts,
    pub metrics: WorkerMetrics,
    pub health: WorkerHealth,
    /// As asked from outside ([`Shutdown`]) or by a message through the broker.
    pub quiet: CancellationToken,
    pub drain: CancellationToken,
    pub now: CancellationToken,
    endings: UnboundedSender<Ending>,
    pub coming_back: ComingBack,
    /// Per queue of the settings: jobs given back for want of a slot of their kind since one was begun.
    pub turned_away: Vec<AtomicUsize>,
}

impl Engine {
    pub fn new(
        config: WorkerConfig,
        registry: Registry,
        broker: Arc<dyn Broker>,
        (entropy, clock, health): (Arc<dyn Entropy>, &dyn Clock, WorkerHealth),
        shutdown: &Shutdown,
        endings: UnboundedSender<Ending>,
    ) -> Result<Self, Invalid> {
        let slots = Arc::new(Semaphore::new(config.slots));
        let shown_in = config.metrics.as_ref();
        let metrics = WorkerMetrics::new(&config.queues, &registry, (config.slots, &slots), shown_in)?;
        let (quiet, drain) = (shutdown.quiet.child_token(), shutdown.drain.child_token());
        health.watch([quiet.clone(), drain.clone()]);
        Ok(Self {
            slots,
            metrics,
            health,
            reporter: Reporter::new(Arc::clone(&broker), config.lease),
            registry,
            broker,
            entropy,
            started_at: clock.now(),
            leases: Leases::default(),
            counts: Counts::default(),
            quiet,
            drain,
            now: shutdown.now.child_token(),
            endings,
            coming_back: ComingBack::default(),
            turned_away: config.queues.iter().map(|_| AtomicUsize::default()).collect(),
            config,
        })
    }

    /// Attempts that are running.
    pub fn busy(&self) -> usize {
        self.config.slots.saturating_sub(self.slots.available_permits())
    }

    /// Sends the end of an attempt to the broker, unless somebody else has decided it already.
    pub fn end(&self, attempt: &Arc<Attempt>, transition: Transition) {
        if attempt.settle() {
            // The finisher outlives everybody who can call this; without it the lease runs out and the job is safe.
            let _ = self.endings.send(Ending { attempt: Arc::clone(attempt), transition });
        }
    }

    /// Asks an attempt to stop.
    pub fn stop(&self, attempt: &Attempt, cause: Cause) {
        if attempt.stop(cause) {
            tracing::info!(job_id = %attempt.id(), queue = %attempt.queue, ?cause, "asking the job to stop");
            self.tell(|| WorkerEvent::Stopping { id: attempt.id().clone(), cause });
        }
    }

    /// Somebody else has the attempt: it stops, and nothing of it will be written.
    pub fn lose(&self, attempt: &Arc<Attempt>) {
        self.stop(attempt, Cause::LeaseLost);
        if attempt.settle() {
            self.forget(attempt, Unwritten::Gone);
        }
    }

    /// Lets go of an attempt whose end will not be written, or was refused.
    pub fn forget(&self, attempt: &Arc<Attempt>, reason: Unwritten) {
        self.leases.remove(std::iter::once(attempt));
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
        self.metrics.lost(attempt.line, attempt.kind(), reason);
        tracing::warn!(job_id = %attempt.id(), queue = %attempt.queue, attempt = attempt.run.number, "lease lost");
        self.tell(|| WorkerEvent::Lost { id: attempt.id().clone() });
    }

    /// Does what a message through the broker asks for.
    pub fn obey(&self, control: &Control) {
        match control {
            Control::Cancel { queue, lease } => {
                let line = self.config.queues.iter().position(|(name, _)| name == queue);
                // Nothing to stop if it ended in the meantime.
                if let Some(attempt) = line.and_then(|line| self.leases.find(line, lease.token)) {
                    self.stop(&attempt, Cause::Cancel);
                }
            }
            Control::Quiet => {
                tracing::info!("asked through the broker to claim nothing more");
                self.quiet.cancel();
            }
            Control::Stop => {
                tracing::info!("asked through the broker to stop");
                self.drain.cancel();
            }
        }
    }

    /// Tells the observer, if there is one.
    pub fn tell(&self, event: impl FnOnce() -> WorkerEvent) {
        if let Some(observer) = &self.config.observer {
            // An observer that went away has seen enough.
            let _ = observer.send(event());
        }
    }
}

/// When jobs that this worker gave back or saw fail are due, so that an idle fetcher need not be told by the broker.
#[derive(Debug, Default)]
pub(crate) struct ComingBack {
    due: Mutex<BTreeMap<usize, Instant>>,
    news: Notify,
}

impl ComingBack {
    /// A job of this queue is due after `delay`.
    pub fn note(&self, line: usize, delay: Duration) {
        // Beyond every regular look there is nothing to remember.
        let Some(at) = Some(delay).filter(|delay| *delay < HOUR).map(|delay| Instant::now() + delay) else { return };
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.entry(line).and_modify(|earliest| *earliest = at.min(*earliest)).or_insert(at);
        drop(due);
        self.news.notify_one();
    }

    /// Waits for something to take.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// The earliest instant of each queue that had news.
    pub fn take(&self) -> BTreeMap<usize, Instant> {
        std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub claimed: AtomicU64,
    pub completed: AtomicU64,
    pub failed: AtomicU64,
    pub discarded: AtomicU64,
    pub released: AtomicU64,
    pub cancelled: AtomicU64,
    pub lost: AtomicU64,
}

impl Counts {
    /// Counts an end that is written.
    pub fn ended(&self, transition: &Transition) {
        let count = match transition {
            Transition::Complete { .. } => &self.completed,
            Transition::Retry { .. } => &self.failed,
            Transition::Release { .. } => &self.released,
            Transition::Discard { .. } => &self.discarded,
            Transition::Cancel => &self.cancelled,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn summary(&self) -> WorkerSummary {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WorkerSummary {
            claimed: read(&self.claimed),
            completed: read(&self.completed),
            failed: read(&self.failed),
            discarded: read(&self.discarded),
            released: read(&self.released),
            cancelled: read(&self.cancelled),
            lost: read(&self.lost),
        }
    }
}
