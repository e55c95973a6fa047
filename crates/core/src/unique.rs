//! Unique keys: at most one job with a key at a time.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Invalid;
use crate::limits::{MAX_UNIQUE_KEY_BYTES, MAX_UNIQUE_TTL};

/// A lock that the job holds in its queue. It is owned by the job's id, given back in the step that ends the job, and
/// never outlives its time to live (renewed with the lease), so that no crash can leave it behind for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unique {
    /// What is unique, e.g. `report:2026-11`.
    pub key: String,
    /// How long the lock lives at most, in milliseconds; 24 hours by default. Where debouncing puts the holder off, this
    /// is counted from when it is due then.
    #[serde(default = "Unique::default_ttl_ms")]
    pub ttl_ms: u64,
    /// What happens to a second job with the key.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// When the lock is given back.
    #[serde(default)]
    pub hold: Hold,
    /// Puts a waiting holder off, too, instead of only giving it the new content. With `replace` and a `delay_ms` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Debounce>,
}

/// Waits until nobody has asked for a while: each further job with the key that meets a holder which is still scheduled and
/// never ran has it due after the new `delay_ms` from then on. A holder that is available, waits for a retry or runs is not
/// put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debounce {
    /// Counted from the enqueue of the holder it is never put off for longer, in milliseconds, however often others ask.
    pub max_wait_ms: u64,
}

/// What happens to a job whose unique key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// The holder is returned instead.
    #[default]
    Return,
    /// The new job is refused, naming the holder.
    Reject,
    /// A holder that still waits takes the new job's content and its `expires_at`, also if that is none (last write
    /// wins; its id, its place and when it is due stay). If it
    /// already runs, the new job is enqueued beside it and takes the key over, so that no change is lost; at most one
    /// job with the key waits, and the two may run at the same time.
    Replace,
}

/// When a unique key is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// When the job ends, or after the time to live, whichever is first.
    #[default]
    Finished,
    /// After the time to live, even if the job ends before: a window in which the work is done once.
    Ttl,
}

impl Unique {
    /// A key with the default behaviour: the holder is returned, for as long as it is not finished.
    pub fn key(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            ttl_ms: Self::default_ttl_ms(),
            on_conflict: OnConflict::default(),
            hold: Hold::default(),
            debounce: None,
        }
    }

    const fn default_ttl_ms() -> u64 {
        24 * 60 * 60 * 1_000
    }

    /// The key as it is stored: 32 hexadecimal digits of its SHA-256. Bounded, and safe in a Redis key.
    pub fn digest(&self) -> String {
        let hash = Sha256::digest(self.key.as_bytes());
        hash[..16].iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// `delay_ms` is the job's.
    pub(crate) fn validate(&self, delay_ms: Option<u64>) -> Result<(), Invalid> {
        if self.key.is_empty() || self.key.len() > MAX_UNIQUE_KEY_BYTES {
            let help = format!("use 1 to {MAX_UNIQUE_KEY_BYTES} bytes");
            return Err(Invalid::new("unique.key", format!("is {} bytes long", self.key.len()), help));
        }
        if self.ttl_ms == 0 || u128::from(self.ttl_ms) > MAX_UNIQUE_TTL.as_millis() {
            let help = format!("use 1 to {} (30 days)", MAX_UNIQUE_TTL.as_millis());
            return Err(Invalid::new("unique.ttl_ms", format!("is {}", self.ttl_ms), help));
        }
        self.debounce.map_or(Ok(()), |debounce| self.validate_debounce(debounce, delay_ms))
    }

    fn validate_debounce(&self, Debounce { max_wait_ms }: Debounce, delay_ms: Option<u64>) -> Result<(), Invalid> {
        let Some(delay) = delay_ms.filter(|&delay| delay > 0) else {
            return Err(Invalid::new(
                "unique.debounce",
                "is given without a delay_ms",
                "say how long to wait for others",
            ));
        };
        if self.on_conflict != OnConflict::Replace {
            let help = "set unique.on_conflict to replace";
            return Err(Invalid::new("unique.debounce", "is given without replacing the holder", help));
        }
        if max_wait_ms < delay {
            let problem = format!("is {max_wait_ms}, less than delay_ms ({delay})");
            return Err(Invalid::new("unique.debounce.max_wait_ms", problem, "use at least the delay"));
        }
        if max_wait_ms > self.ttl_ms {
            let problem = format!("is {max_wait_ms}, more than unique.ttl_ms ({})", self.ttl_ms);
            return Err(Invalid::new("unique.debounce.max_wait_ms", problem, "hold the key for at least as long"));
        }
        Ok(())
    }
}
