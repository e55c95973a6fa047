//! The settings of a worker, the handles to stop it and the counts that it ends with.

use std::collections::BTreeSet;
use std::time::Duration;

use lovage_core::{Clock, Entropy, Invalid, JobId, QueueName, WorkerId};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::event::WorkerEvent;

/// Settings of one worker.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Its id, unique per start.
    pub id: WorkerId,
    /// The machine's name, for people to read.
    pub host: String,
    /// The queues that it serves and their weights: with `exports=4,audit=8` and work in both, audit gets two thirds
    /// of the slots. A queue without work leaves its share to the others.
    pub queues: Vec<(QueueName, u32)>,
    /// Jobs that it runs at once.
    pub slots: usize,
    /// How long a claimed job stays ours without renewal.
    pub lease: Duration,
    /// How often leases are renewed; a third of the lease, so that two renewals may fail.
    pub renew_every: Duration,
    /// How long running jobs may go on after a drain was asked for; then they are stopped and handed back.
    pub shutdown_timeout: Duration,
    /// How long a handler may take to return after its token fired at a shutdown.
    pub stop_grace: Duration,
    /// How long a handler may take to return after its token fired for any other reason; then it is dropped. Also
    /// after this time past its hard timeout the lease of a handler that never yields is given up.
    pub cancel_grace: Duration,
    /// How long the last outcomes may take to be written when the worker ends.
    pub flush_timeout: Duration,
    /// Claim no more than so many jobs in all, those that are given back included, then drain.
    pub max_jobs: Option<u64>,
    /// End once its queues have nothing available or due within two seconds, and it runs nothing. What is scheduled or
    /// retryable for later and what other workers run does not count; a paused queue with available jobs is not empty.
    pub exit_when_empty: bool,
    /// Where to show the worker's metrics. One registry takes one worker. They are counted without it too.
    pub metrics: Option<prometheus::Registry>,
    /// Where to send what happens inside; for tests.
    pub observer: Option<UnboundedSender<WorkerEvent>>,
}

impl WorkerConfig {
    /// Default settings for a worker with this id, serving these queues. See [`WorkerConfig::unique_id`].
    pub fn new(id: WorkerId, queues: Vec<(QueueName, u32)>) -> Self {
        let lease = Duration::from_secs(30);
        Self {
            host: id.to_string(),
            id,
            queues,
            slots: 10,
            lease,
            renew_every: lease / 3,
            shutdown_timeout: Duration::from_secs(25),
            stop_grace: Duration::from_secs(2),
            cancel_grace: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(5),
            max_jobs: None,
            exit_when_empty: false,
            metrics: None,
            observer: None,
        }
    }

    /// An id that is unique per start: the machine's name as far as an id can spell it, the process and a random part.
    pub fn unique_id(host: &str, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<WorkerId, Invalid> {
        let spelled = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' };
        let name: String = host.chars().map(spelled).take(60).collect();
        let unique = JobId::generate(clock.now(), entropy);
        let tail = unique.as_str().rsplit('-').next().unwrap_or_default();
        format!("{name}-{}-{tail}", std::process::id()).parse()
    }

    /// The same with another lease, renewed every third of it.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self.renew_every = lease / 3;
        self
    }

    /// Checks what types alone do not.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.queues.is_empty() {
            return Err(Invalid::new("queues", "is empty", "name at least one queue, e.g. `default=1`"));
        }
        let mut seen = BTreeSet::new();
        for (queue, weight) in &self.queues {
            if !seen.insert(queue) {
                return Err(Invalid::new("queues", format!("names {queue} twice"), "name every queue once"));
            }
            if !(1..=MAX_WEIGHT).contains(weight) {
                let help = format!("use 1 to {MAX_WEIGHT}");
                return Err(Invalid::new("queues", format!("gives {queue} the weight {weight}"), help));
            }
        }
        if self.slots == 0 || self.slots > MAX_SLOTS {
            return Err(Invalid::new("slots", format!("is {}", self.slots), format!("use 1 to {MAX_SLOTS}")));
        }
        if self.lease < MIN_LEASE {
            let help = format!("use at least {} ms; 30 s is the default", MIN_LEASE.as_millis());
            return Err(Invalid::new("lease", format!("is {:?}", self.lease), help));
        }
        if self.renew_every.is_zero() || self.renew_every > self.lease / 2 {
            let help = "use at most half of the lease, so that one renewal may fail";
            return Err(Invalid::new("renew_every", format!("is {:?}", self.renew_every), help));
        }
        if self.max_jobs == Some(0) {
            return Err(Invalid::new("max_jobs", "is 0", "use at least 1, or leave it out"));
        }
        Ok(())
    }
}

const MAX_WEIGHT: u32 = 1_000;
const MAX_SLOTS: usize = 100_000;
const MIN_LEASE: Duration = Duration::from_millis(100);

/// Handles to stop a worker. Clones act together. Default handles never fire by themselves.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Claim nothing more; go on running what runs and stay registered.
    pub quiet: CancellationToken,
    /// Claim nothing more, wait for what runs up to the timeout, hand back the rest, end.
    pub drain: CancellationToken,
    /// Wait no longer: stop what runs, hand it back, end.
    pub now: CancellationToken,
}

impl Shutdown {
    /// Fresh handles.
    pub fn new() -> Self {
        Self::default()
    }
}

/// What a worker did in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkerSummary {
    /// Jobs taken from the broker.
    pub claimed: u64,
    /// Attempts that succeeded.
    pub completed: u64,
    /// Attempts that failed and will be tried again.
    pub failed: u64,
    /// Jobs that will not run again.
    pub discarded: u64,
    /// Attempts given back without being spent: snoozed, no handler, no free slot for the kind, shutdown.
    pub released: u64,
    /// Jobs that stopped because somebody asked for it.
    pub cancelled: u64,
    /// Attempts whose lease was lost or whose end could not be written.
    pub lost: u64,
}
