//! What a [`super::RedisBroker`] needs to know. The address may hold a password, so it is never shown.

use std::fmt;
use std::sync::Arc;

use lovage_core::limits::MAX_PAYLOAD_BYTES;
use lovage_core::{Clock, Entropy};

use crate::api::Retention;
use crate::system::{OsEntropy, SystemClock};

/// Settings of a Redis broker.
#[derive(Clone)]
pub struct RedisConfig {
    /// Address: `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS. Never shown.
    pub url: String,
    /// What every key begins with.
    pub prefix: String,
    /// How long ended jobs are kept.
    pub retention: Retention,
    /// Largest arguments of a job in bytes.
    pub max_payload_bytes: usize,
    /// Events kept per queue; older ones are dropped, in whole entries.
    pub events_kept: usize,
    /// The machine's clock. Only makes ids; every comparison uses Redis' own time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids.
    pub entropy: Arc<dyn Entropy>,
    /// Instead of Redis' time, in every script. For tests only: in production two machines would disagree.
    pub virtual_clock: Option<Arc<dyn Clock>>,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379/".into(),
            prefix: "lovage:".into(),
            retention: Retention::default(),
            max_payload_bytes: MAX_PAYLOAD_BYTES,
            events_kept: 100_000,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            virtual_clock: None,
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &"(not shown)")
            .field("prefix", &self.prefix)
            .field("retention", &self.retention)
            .field("max_payload_bytes", &self.max_payload_bytes)
            .field("events_kept", &self.events_kept)
            .field("virtual_clock", &self.virtual_clock)
            .finish_non_exhaustive()
    }
}
