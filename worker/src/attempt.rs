//! One claimed attempt while this worker has it: its lease, its stop signals and what it has to say. Shared by the
//! executor, the keeper, the finisher and the handler's context; everything in it is safe to touch from any thread.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lovage_broker::{HeldLease, NewLogLine};
use lovage_core::limits::MAX_LOG_LINES;
use lovage_core::{JobId, Progress, QueueName, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::verdict::Terms;

/// Why an attempt was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cause {
    /// The worker ends.
    Shutdown = 1,
    /// The hard timeout is over.
    TimedOut = 2,
    /// Somebody cancelled the job.
    Cancel = 3,
    /// Somebody else has the job: whatever the attempt does from here on counts for nothing.
    LeaseLost = 4,
}

/// A claimed attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Index of its queue in the worker's settings.
    pub line: usize,
    pub queue: QueueName,
    pub lease: HeldLease,
    pub run: Run,
    pub cancelled: CancellationToken,
    pub soft_timeout: CancellationToken,
    /// Index of its kind in the registry; 0 until it is known, and for kinds without a handler.
    kind: AtomicUsize,
    /// The strongest cause so far; 0 for none.
    cause: AtomicU8,
    /// Whether its end has been decided; whoever sets it decides.
    settled: AtomicBool,
    /// Whether its lease is not renewed any more because it does not end.
    abandoned: AtomicBool,
    claimed_at: Instant,
    /// Hard timeout in milliseconds after the claim; all ones for none yet.
    deadline_ms: AtomicU64,
    /// The latest renewal in milliseconds after the claim.
    renewed_ms: AtomicU64,
    begun: OnceLock<(Terms, Instant)>,
    told: Mutex<Told>,
    /// Held by whoever writes what was told, so that writes keep their order.
    pub writing: tokio::sync::Mutex<()>,
}

/// Which run of its job this is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// From 1.
    pub number: u32,
    /// Runs before this one that failed and count against the policy.
    pub failed: u32,
    pub enqueued_at: Timestamp,
}

/// What the handler told and nobody has written yet.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub progress: Option<Progress>,
    pub lines: Vec<NewLogLine>,
    /// Whether a write is under way or planned.
    pub planned: bool,
    pub written_at: Option<Instant>,
}

impl Attempt {
    pub fn new(line: usize, queue: QueueName, lease: HeldLease, run: Run) -> Self {
        Self {
            line,
            queue,
            lease,
            run,
            cancelled: CancellationToken::new(),
            soft_timeout: CancellationToken::new(),
            kind: AtomicUsize::new(0),
            cause: AtomicU8::new(0),
            settled: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            claimed_at: Instant::now(),
            deadline_ms: AtomicU64::new(u64::MAX),
            renewed_ms: AtomicU64::new(0),
            begun: OnceLock::new(),
            told: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    pub fn id(&self) -> &JobId {
        &self.lease.id
    }

    /// Index of its kind in the registry; 0 for an unknown one.
    pub fn kind(&self) -> usize {
        self.kind.load(Ordering::Relaxed)
    }

    pub fn set_kind(&self, index: usize) {
        self.kind.store(index, Ordering::Relaxed);
    }

    /// Asks the attempt to stop. Answers whether this cause is news; a weaker one than before is not.
    pub fn stop(&self, cause: Cause) -> bool {
        let news = self.cause.fetch_max(cause as u8, Ordering::AcqRel) < cause as u8;
        self.cancelled.cancel();
        news
    }

    /// The strongest cause for which it was asked to stop.
    pub fn cause(&self) -> Option<Cause> {
        let causes = [Cause::Shutdown, Cause::TimedOut, Cause::Cancel, Cause::LeaseLost];
        let strongest = self.cause.load(Ordering::Acquire);
        causes.into_iter().find(|cause| *cause as u8 == strongest)
    }

    /// Takes the right to decide how the attempt ends; only the first caller gets it.
    pub fn settle(&self) -> bool {
        !self.settled.swap(true, Ordering::AcqRel)
    }

    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Notes that its lease is not renewed any more. Answers whether that is news.
    pub fn abandon(&self) -> bool {
        !self.abandoned.swap(true, Ordering::AcqRel)
    }

    /// The handler is about to run under these terms, until `deadline` at the most.
    pub fn begin(&self, terms: Terms, now: Instant, deadline: Instant) {
        // An attempt begins once; the first terms stand.
        let _ = self.begun.set((terms, now));
        let after = deadline.saturating_duration_since(self.claimed_at).as_millis() as u64;
        self.deadline_ms.store(after, Ordering::Release);
    }

    /// The terms under which it runs, once they are known.
    pub fn terms(&self) -> Option<&Terms> {
        self.begun.get().map(|(terms, _)| terms)
    }

    /// How long it has been running.
    pub fn ran(&self) -> Duration {
        self.begun.get().map_or(Duration::ZERO, |(_, began)| began.elapsed())
    }

    /// How long ago the hard timeout ended, if it did.
    pub fn overdue(&self, now: Instant) -> Option<Duration> {
        let deadline = Duration::from_millis(self.deadline_ms.load(Ordering::Acquire));
        now.saturating_duration_since(self.claimed_at).checked_sub(deadline)
    }

    pub fn set_renewed(&self, now: Instant) {
        let after = now.saturating_duration_since(self.claimed_at).as_millis() as u64;
        self.renewed_ms.fetch_max(after, Ordering::AcqRel);
    }

    /// How long ago the lease was last known to be ours.
    pub fn since_renewal(&self, now: Instant) -> Duration {
        let renewed = Duration::from_millis(self.renewed_ms.load(Ordering::Acquire));
        now.saturating_duration_since(self.claimed_at).saturating_sub(renewed)
    }

    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is told and not written; a write under way counts as not written.
    pub fn has_unwritten(&self) -> bool {
        // In this order: who writes takes what was told while it holds the lock.
        let told = {
            let told = self.told();
            told.progress.is_some() || !told.lines.is_empty()
        };
        told || self.writing.try_lock().is_err()
    }

    /// Keeps the latest progress. Answers whether a write has to be planned.
    pub fn tell_progress(&self, progress: Progress) -> bool {
        let mut told = self.told();
        told.progress = Some(progress);
        !std::mem::replace(&mut told.planned, true)
    }

    /// Answers whether a write has to be planned; for what could not be written.
    pub fn plan(&self) -> bool {
        !std::mem::replace(&mut self.told().planned, true)
    }

    /// Keeps a log line; a flood between two writes loses its oldest lines, as it would in the broker. Answers whether
    /// a write has to be planned.
    pub fn tell_line(&self, line: NewLogLine) -> bool {
        let mut told = self.told();
        if told.lines.len() >= 2 * MAX_LOG_LINES {
            told.lines.drain(..MAX_LOG_LINES);
        }
        told.lines.push(line);
        !std::mem::replace(&mut told.planned, true)
    }
}

#[cfg(test)]
mod tests {
    use lovage_core::{LogLevel, RetryPolicy};

    use super::*;

    fn attempt() -> Attempt {
        let lease = HeldLease { id: "job".parse().unwrap(), token: 1 };
        Attempt::new(0, "q".parse().unwrap(), lease, Run { number: 1, failed: 0, enqueued_at: Timestamp::default() })
    }

    #[test]
    fn a_stronger_cause_replaces_a_weaker_one_and_never_the_reverse() {
        let attempt = attempt();
        assert_eq!(attempt.cause(), None);
        assert!(attempt.stop(Cause::Cancel));
        assert!(!attempt.stop(Cause::Shutdown), "weaker");
        assert!(!attempt.stop(Cause::Cancel), "no news");
        assert_eq!(attempt.cause(), Some(Cause::Cancel));
        assert!(attempt.stop(Cause::LeaseLost));
        assert_eq!(attempt.cause(), Some(Cause::LeaseLost));
    }

    #[test]
    fn only_one_settles() {
        let attempt = attempt();
        assert!(attempt.settle());
        assert!(!attempt.settle());
    }

    #[test]
    fn a_flood_of_lines_keeps_the_latest() {
        let attempt = attempt();
        for n in 0..10_000 {
            attempt.tell_line(NewLogLine { level: LogLevel::Info, text: n.to_string() });
        }
        let told = attempt.told();
        assert!(told.lines.len() <= 2 * MAX_LOG_LINES);
        assert_eq!(told.lines.last().unwrap().text, "9999");
    }

    #[test]
    fn the_deadline_counts_from_when_it_was_set() {
        let attempt = attempt();
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(attempt.overdue(after(100)), None, "no deadline yet");
        attempt.begin(Terms { policy: RetryPolicy::default(), timeout: Duration::from_secs(3) }, began, after(3));
        assert_eq!(attempt.overdue(after(2)), None);
        let over = attempt.overdue(after(4)).unwrap();
        assert!(over >= Duration::from_secs(1) && over < Duration::from_secs(2), "{over:?}");
        assert!(attempt.since_renewal(after(4)) >= Duration::from_secs(4));
        attempt.set_renewed(after(4));
        assert!(attempt.since_renewal(after(4)) < Duration::from_secs(1));
    }
}
