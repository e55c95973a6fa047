//! How a worker stands, for probes. Parts of the worker note what they see; whoever asks gets an answer at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lovage_core::{Check, Probed};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a loop may stand still before a restart is the better choice. Long, because handlers that block all threads
/// of the runtime for a while harm nobody but their own worker: leases are kept by another thread.
const STUCK_AFTER: Duration = Duration::from_mins(1);
/// The keeper moves twice a second; after this time without it leases are in danger.
const KEEPER_LATE_AFTER: Duration = Duration::from_secs(5);
/// Three heartbeats: a call that hangs is no answer either.
const SILENT_AFTER: Duration = Duration::from_secs(30);
/// How long a renewal may take beside half of the time between two.
const RENEWAL_TAKES: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_secs(1);

/// How a worker stands. Clones are about the same worker.
#[derive(Debug, Clone)]
pub struct WorkerHealth(Arc<Noted>);

#[derive(Debug)]
struct Noted {
    origin: Instant,
    started: AtomicBool,
    /// Milliseconds after the origin.
    worker_moved: AtomicU64,
    keeper_moved: AtomicU64,
    keeper_ended: AtomicBool,
    broker_away: AtomicBool,
    broker_heard: AtomicU64,
    broker_doubted: Notify,
    renewals_fail: AtomicBool,
    /// When all leases were renewed; there may have been none.
    renewed: AtomicU64,
    renew_every: Duration,
    stops: OnceLock<[CancellationToken; 2]>,
}

impl WorkerHealth {
    pub(crate) fn new(renew_every: Duration) -> Self {
        Self(Arc::new(Noted {
            origin: Instant::now(),
            started: AtomicBool::new(false),
            worker_moved: AtomicU64::new(0),
            keeper_moved: AtomicU64::new(0),
            keeper_ended: AtomicBool::new(false),
            broker_away: AtomicBool::new(false),
            broker_heard: AtomicU64::new(0),
            broker_doubted: Notify::new(),
            renewals_fail: AtomicBool::new(false),
            renewed: AtomicU64::new(0),
            renew_every,
            stops: OnceLock::new(),
        }))
    }

    /// Fire when nothing more is claimed.
    pub(crate) fn watch(&self, stops: [CancellationToken; 2]) {
        // A worker runs once.
        let _ = self.0.stops.set(stops);
    }

    pub(crate) fn set_started(&self) {
        self.keeper_moves();
        self.trust_broker();
        self.0.renewed.store(self.now(), Ordering::Release);
        self.0.worker_moved.store(self.now(), Ordering::Release);
        self.0.started.store(true, Ordering::Release);
    }

    /// Notes for ever that the worker's runtime moves.
    pub(crate) async fn keep_moving(self) {
        loop {
            self.0.worker_moved.store(self.now(), Ordering::Release);
            tokio::time::sleep(TICK).await;
        }
    }

    pub(crate) fn keeper_moves(&self) {
        self.0.keeper_moved.store(self.now(), Ordering::Release);
    }

    pub(crate) fn keeper_ends(&self) {
        self.0.keeper_ended.store(true, Ordering::Release);
    }

    /// All leases are renewed.
    pub(crate) fn renewed(&self) {
        self.0.renewed.store(self.now(), Ordering::Release);
        self.0.renewals_fail.store(false, Ordering::Release);
    }

    /// A renewal failed. Only one that succeeds takes that back: a heartbeat may be answered by another node.
    pub(crate) fn renewal_fails(&self) {
        self.0.renewals_fail.store(true, Ordering::Release);
        self.0.broker_doubted.notify_one();
    }

    /// Another call of the keeper's failed.
    pub(crate) fn doubt_broker(&self) {
        self.0.broker_away.store(true, Ordering::Release);
        self.0.broker_doubted.notify_one();
    }

    /// A heartbeat was answered.
    pub(crate) fn trust_broker(&self) {
        self.0.broker_heard.store(self.now(), Ordering::Release);
        self.0.broker_away.store(false, Ordering::Release);
    }

    pub(crate) fn is_broker_away(&self) -> bool {
        self.0.broker_away.load(Ordering::Acquire) || self.0.renewals_fail.load(Ordering::Acquire)
    }

    pub(crate) async fn broker_doubted(&self) {
        self.0.broker_doubted.notified().await;
    }

    fn now(&self) -> u64 {
        self.0.origin.elapsed().as_millis() as u64
    }

    /// Whether a loop moved within `time` before `now`. Before its start it has nothing to do.
    fn moved_within(&self, moved: &AtomicU64, time: Duration, now: u64) -> bool {
        !self.is_started() || now.saturating_sub(moved.load(Ordering::Acquire)) < time.as_millis() as u64
    }

    fn is_started(&self) -> bool {
        self.0.started.load(Ordering::Acquire)
    }

    fn is_claiming(&self) -> bool {
        self.0.stops.get().is_some_and(|stops| !stops.iter().any(CancellationToken::is_cancelled))
    }

    /// Half of the lease and a second by default: long enough for a slow renewal, over before the lease is.
    fn renewed_within(&self) -> Duration {
        let every = self.0.renew_every;
        every.saturating_add(every / 2).saturating_add(RENEWAL_TAKES)
    }

    fn start(&self) -> Check {
        Check::of("start", self.is_started(), "registered with the broker", "not registered with the broker yet")
    }

    fn live_at(&self, now: u64) -> Vec<Check> {
        let moves = self.moved_within(&self.0.worker_moved, STUCK_AFTER, now);
        let keeper = self.moved_within(&self.0.keeper_moved, STUCK_AFTER, now);
        vec![
            Check::of("worker_loop", moves, "moves", "has not moved for a minute: handlers block all threads"),
            Check::of("lease_keeper_loop", keeper, "moves", "has not moved for a minute"),
        ]
    }

    fn ready_at(&self, now: u64) -> Vec<Check> {
        let keeper = !self.0.keeper_ended.load(Ordering::Acquire)
            && self.moved_within(&self.0.keeper_moved, KEEPER_LATE_AFTER, now)
            && self.moved_within(&self.0.renewed, self.renewed_within(), now);
        let broker = !self.is_broker_away() && self.moved_within(&self.0.broker_heard, SILENT_AFTER, now);
        vec![
            self.start(),
            Check::of("broker", broker, "answers", "does not answer"),
            Check::of("claiming", self.is_claiming(), "claims jobs", "claims nothing more: quiet or draining"),
            Check::of("lease_keeper", keeper, "renews leases", "does not renew leases"),
        ]
    }
}

impl Probed for WorkerHealth {
    fn live(&self) -> Vec<Check> {
        self.live_at(self.now())
    }

    fn ready(&self) -> Vec<Check> {
        self.ready_at(self.now())
    }

    fn started(&self) -> Vec<Check> {
        vec![self.start()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn failing(checks: Vec<Check>) -> Vec<&'static str> {
        checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect()
    }

    #[test]
    fn a_worker_is_alive_and_not_ready_while_it_starts() {
        let health = WorkerHealth::new(Duration::from_secs(10));
        assert_eq!(failing(health.live_at(HOUR)), [""; 0], "a start may take its time");
        assert_eq!(failing(health.ready_at(HOUR)), ["start", "claiming"]);
        assert_eq!(failing(health.started()), ["start"]);
    }

    #[test]
    fn a_late_keeper_is_not_ready_and_what_stands_still_for_a_minute_is_dead() {
        let health = WorkerHealth::new(Duration::from_secs(10));
        health.watch([CancellationToken::new(), CancellationToken::new()]);
        health.set_started();
        let moved = |what: &AtomicU64, seconds: u64| what.store(HOUR - seconds * 1_000, Ordering::Release);
        let noted = &health.0;
        for (keeper, worker, broker, renewed, not_ready, dead) in [
            (0, 0, 0, 0, vec![], vec![]),
            (4, 59, 29, 15, vec![], vec![]),
            (6, 0, 0, 0, vec!["lease_keeper"], vec![]),
            (61, 0, 0, 0, vec!["lease_keeper"], vec!["lease_keeper_loop"]),
            (0, 61, 0, 0, vec![], vec!["worker_loop"]),
            (0, 0, 31, 0, vec!["broker"], vec![]),
            (0, 0, 0, 17, vec!["lease_keeper"], vec![]),
        ] {
            moved(&noted.renewed, renewed);
            moved(&noted.keeper_moved, keeper);
            moved(&noted.worker_moved, worker);
            moved(&noted.broker_heard, broker);
            assert_eq!(failing(health.ready_at(HOUR)), not_ready);
            assert_eq!(failing(health.live_at(HOUR)), dead);
        }
        moved(&noted.renewed, 0);
        health.keeper_ends();
        assert_eq!(failing(health.ready_at(HOUR)), ["lease_keeper"]);
    }
}
