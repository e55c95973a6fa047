//! What a job is found by in PostgreSQL: hashes of `state=completed`, `tag=x` and so on, all in one indexed array.
//!
//! One GIN index answers any combination of them and costs a fraction of an index for each. A term is the first eight bytes of
//! a SHA-256, so two that are not the same do not meet: of a hundred million of them one in five trillion pairs would.

use lovage_core::filter::{ErrorWords, Leaf, leaves, words};
use lovage_core::history::AttemptRecord;
use lovage_core::limits::MAX_SEARCHED_ARGUMENTS;
use lovage_core::{DiscardReason, Fingerprint, JobView, State};
use sha2::{Digest as _, Sha256};

/// Words at each end of an error's text that are found: what happened stands at the beginning, or, with a trace, at the end.
const ERROR_WORDS: usize = 100;
/// Attempt numbers up to here are found by a term of their own.
pub(super) const MAX_ATTEMPT_TERM: u32 = 20;

/// The first eight bytes of the SHA-256 of `parts`, each with its length before it.
pub(super) fn hash(parts: &[&str]) -> i64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let digest = digest.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

/// The terms of one job.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// What it is found by as it is now.
    pub now: Vec<i64>,
    /// What it stays found by, whatever becomes of it: the workers of its attempts, its errors.
    pub kept: Vec<i64>,
}

impl Terms {
    /// What the job itself is found by.
    pub fn of(job: &JobView) -> Self {
        let mut now = vec![
            state(job.state),
            queue(job.queue.as_str()),
            tenant(job.tenant.as_ref().map(lovage_core::Tenant::as_str)),
        ];
        if let Some(name) = &job.kind {
            now.push(kind(name.as_str()));
            now.extend(prefixes(name.as_str()).map(kind_prefix));
        }
        now.extend(job.tags.iter().map(|name| tag(name)));
        now.extend(job.reason.map(reason));
        now.extend((2..=job.attempt.min(MAX_ATTEMPT_TERM)).map(attempt_from));
        if let Some(args) = &job.args {
            now.extend(leaves(args.get(), MAX_SEARCHED_ARGUMENTS).iter().map(|(path, leaf)| argument(path, leaf)));
        }
        now.extend(job.worker.iter().map(|name| worker(name.as_str())));
        now.sort_unstable();
        now.dedup();
        Self { now, kept: Vec::new() }
    }

    /// An attempt's worker.
    pub fn add_attempt(&mut self, attempt: &AttemptRecord) {
        if let Some(name) = &attempt.worker {
            self.keep(worker(name.as_str()));
        }
    }

    /// A failure and its words.
    pub fn add_failure(&mut self, fingerprint: Fingerprint, message: &str) {
        self.keep(failure(fingerprint));
        let words: Vec<String> = words(message).collect();
        let (first, rest) = words.split_at(words.len().min(ERROR_WORDS));
        for text in first.iter().chain(rest.iter().rev().take(ERROR_WORDS)) {
            self.keep(word(text));
        }
    }

    fn keep(&mut self, term: i64) {
        if !self.kept.contains(&term) {
            self.kept.push(term);
        }
    }
}

pub(super) fn state(state: State) -> i64 {
    hash(&["state", state.name()])
}

pub(super) fn queue(name: &str) -> i64 {
    hash(&["queue", name])
}

/// Without a tenant there is a term, too.
pub(super) fn tenant(name: Option<&str>) -> i64 {
    match name {
        Some(name) => hash(&["tenant", name]),
        None => hash(&["no tenant"]),
    }
}

pub(super) fn kind(name: &str) -> i64 {
    hash(&["kind", name])
}

/// The kinds that begin with `prefix`, which ends with a dot.
pub(super) fn kind_prefix(prefix: &str) -> i64 {
    hash(&["kind prefix", prefix])
}

/// The beginnings of a kind up to each of its dots.
fn prefixes(kind: &str) -> impl Iterator<Item = &str> {
    kind.match_indices('.').map(move |(at, _)| &kind[..=at])
}

pub(super) fn tag(name: &str) -> i64 {
    hash(&["tag", name])
}

pub(super) fn reason(reason: DiscardReason) -> i64 {
    hash(&["reason", reason.name()])
}

pub(super) fn worker(name: &str) -> i64 {
    hash(&["worker", name])
}

/// Jobs of at least this many attempts; a term from 2 to [`MAX_ATTEMPT_TERM`].
pub(super) fn attempt_from(number: u32) -> i64 {
    hash(&["attempt", &number.to_string()])
}

pub(super) fn failure(fingerprint: Fingerprint) -> i64 {
    hash(&["failure", &fingerprint.to_string()])
}

fn word(text: &str) -> i64 {
    hash(&["error", text])
}

/// The terms of words that must all be there.
pub(super) fn error(words: &ErrorWords) -> Vec<i64> {
    words.as_slice().iter().map(|text| word(text)).collect()
}

pub(super) fn argument(path: &[String], leaf: &Leaf) -> i64 {
    let (sort, text) = match leaf {
        Leaf::Null => ("null", ""),
        Leaf::Bool(true) => ("bool", "true"),
        Leaf::Bool(false) => ("bool", "false"),
        Leaf::Number(number) => ("number", number.as_str()),
        Leaf::Text(text) => ("text", text.as_str()),
    };
    let mut parts = vec!["argument", sort, text];
    parts.extend(path.iter().map(String::as_str));
    hash(&parts)
}
