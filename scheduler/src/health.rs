//! How a scheduler stands, for probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lovage_core::{Check, Probed};
use tokio::time::Instant;

/// How long a scheduler that has not heard who leads, or cannot lead itself, is taken for ready.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a loop that turns each second may stand.
const STUCK: Duration = Duration::from_mins(1);

/// What a scheduler last noticed. Clones are the same.
#[derive(Debug, Clone)]
pub struct Health(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    began: Instant,
    /// Milliseconds after that; 0 for never.
    turned: AtomicU64,
    heard: AtomicU64,
}

impl Health {
    /// Nothing noticed yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Seen { began: Instant::now(), turned: AtomicU64::new(0), heard: AtomicU64::new(0) }))
    }

    /// The loop goes round.
    pub(crate) fn turns(&self) {
        self.0.turned.store(self.now(), Ordering::Release);
    }

    /// It is known who leads: the broker has said that another does, or that this one still does, or its term has begun in the ledger.
    pub(crate) fn hears(&self) {
        self.0.heard.store(self.now(), Ordering::Release);
    }

    fn now(&self) -> u64 {
        (self.0.began.elapsed().as_millis() as u64).max(1)
    }

    fn since(&self, at: &AtomicU64) -> Option<Duration> {
        let at = at.load(Ordering::Acquire);
        (at > 0).then(|| Duration::from_millis(self.now().saturating_sub(at)))
    }
}

impl Probed for Health {
    fn live(&self) -> Vec<Check> {
        let moves = self.since(&self.0.turned).is_none_or(|since| since < STUCK);
        vec![Check::of("scheduler_loop", moves, "moves", "stands still")]
    }

    fn ready(&self) -> Vec<Check> {
        let hears = self.since(&self.0.heard).is_some_and(|since| since < PATIENCE);
        vec![Check::of(
            "leadership",
            hears,
            "it is known who leads",
            "it is not known who leads: broker or ledger does not answer",
        )]
    }

    fn started(&self) -> Vec<Check> {
        let heard = self.since(&self.0.heard).is_some();
        vec![Check::of("scheduler", heard, "has asked who leads", "has not heard who leads yet")]
    }
}
