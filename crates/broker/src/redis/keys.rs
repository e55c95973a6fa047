//! Names of keys. Every key of a queue carries the queue as its hash tag, so that a cluster keeps them together and a
//! script may touch them all; what belongs to no queue has tags that no queue can have.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use lovage_core::{JobId, QueueName, WorkerId};

/// Last parts of the keys of a queue, in the order in which `lua/base.lua` names them.
const PARTS: [&str; 26] = [
    "spec",
    "head",
    "line",
    "waiting",
    "scheduled",
    "retryable",
    "leases",
    "completed",
    "cancelled",
    "discarded",
    "expiring",
    "results",
    "errors",
    "progress",
    "unique",
    "unique_until",
    "meta",
    "events",
    "wake",
    "ring",
    "parked",
    "slots",
    "buckets",
    "rules",
    "breakers",
    "depths",
];
const SPEC: usize = 0;
const WAKE: usize = 18;
const RULES: usize = 23;
const BREAKERS: usize = 24;

/// The keys of one queue.
#[derive(Debug)]
pub(super) struct QueueKeys {
    stem: String,
    slot: u16,
    names: [String; PARTS.len()],
}

impl QueueKeys {
    fn new(prefix: &str, queue: &QueueName) -> Self {
        let stem = format!("{prefix}{{{queue}}}:");
        let names = PARTS.map(|part| format!("{stem}{part}"));
        Self { slot: slot(&stem), stem, names }
    }

    /// Where a cluster has them.
    pub(super) fn slot(&self) -> u16 {
        self.slot
    }

    /// All of them, as scripts get them.
    pub(super) fn all(&self) -> &[String] {
        &self.names
    }

    /// The hash of stored jobs.
    pub(super) fn spec(&self) -> &str {
        &self.names[SPEC]
    }

    /// The list that wakes waiting workers.
    pub(super) fn wake(&self) -> &str {
        &self.names[WAKE]
    }

    /// The hashes of what has limits, pauses or breakers.
    pub(super) fn ruled(&self) -> [&str; 2] {
        [&self.names[RULES], &self.names[BREAKERS]]
    }

    /// The log of one job.
    pub(super) fn log(&self, id: &JobId) -> String {
        format!("{}log:{id}", self.stem)
    }
}

/// All keys below a prefix.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    known: RwLock<HashMap<QueueName, Arc<QueueKeys>>>,
}

impl Keys {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, known: RwLock::default() }
    }

    /// The keys of `queue`; made once per queue.
    pub(super) fn of(&self, queue: &QueueName) -> Arc<QueueKeys> {
        if let Some(keys) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(queue) {
            return Arc::clone(keys);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let keys = known.entry(queue.clone()).or_insert_with(|| Arc::new(QueueKeys::new(&self.prefix, queue)));
        Arc::clone(keys)
    }

    /// All of them, as a pattern for the rights of a user.
    pub(super) fn all(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// The set of names of queues.
    pub(super) fn queues(&self) -> String {
        format!("{}{{.queues}}", self.prefix)
    }

    /// What workers said of themselves, when they were heard of, and the messages to one.
    pub(super) fn worker(&self, id: &str) -> [String; 3] {
        let stem = format!("{}{{.workers}}:", self.prefix);
        [format!("{stem}said"), format!("{stem}seen"), format!("{stem}control:{id}")]
    }

    /// The messages to one worker.
    pub(super) fn control(&self, worker: &WorkerId) -> String {
        let [_, _, control] = self.worker(worker.as_str());
        control
    }

    /// The version of what is stored.
    pub(super) fn format(&self) -> String {
        format!("{}{{.format}}", self.prefix)
    }

    /// The leaderships.
    pub(super) fn leaders(&self) -> String {
        format!("{}{{.leader}}", self.prefix)
    }
}

/// The slot of a key in a cluster: a checksum (CRC-16/XMODEM) of what stands between its first pair of braces.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(tag, _)| tag);
    let hashed = if tag.is_empty() { key } else { tag };
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    });
    crc % 16_384
}
