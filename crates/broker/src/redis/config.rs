//! What a [`super::RedisBroker`] needs to know. The address may hold a password, so it is never shown.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use lovage_core::limits::{AGEING, MAX_PAYLOAD_BYTES};
use lovage_core::{Clock, Entropy};

use crate::api::Retention;
use crate::system::{OsEntropy, SystemClock};

/// Files of certificates in PEM form, for an address with `rediss`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Whom to trust instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// The certificate that this side shows, if the server asks for one.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// Settings of a Redis broker.
#[derive(Clone)]
pub struct RedisConfig {
    /// Address: `redis://[user:password@]host[:port][/database]`, `redis+sentinel://…host,host…/name[/database]`,
    /// `redis+cluster://…host,host…`; `rediss` instead of `redis` for TLS. Never shown.
    pub url: String,
    /// Certificates for TLS.
    pub tls: RedisTls,
    /// Replicas that must have a job before its enqueue is confirmed; 0 waits for none.
    pub wait_replicas: u32,
    /// What every key begins with.
    pub prefix: String,
    /// How long ended jobs are kept.
    pub retention: Retention,
    /// Largest arguments of a job in bytes.
    pub max_payload_bytes: usize,
    /// Events kept per queue; older ones are dropped, in whole entries.
    pub events_kept: usize,
    /// Events kept beyond that for who records them elsewhere, until they are recorded; and as many ended jobs of a state
    /// beyond the retention. See [`crate::Operator::recorded`].
    pub unrecorded_kept: usize,
    /// About how many bytes of memory those ended jobs of one state of a queue take at most, as far as its oldest ones tell.
    pub unrecorded_bytes: u64,
    /// Of so many jobs that are given out one is the oldest; see [`lovage_core::limits::AGEING`]. Tests make it smaller.
    pub ageing: u32,
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
            tls: RedisTls::default(),
            wait_replicas: 0,
            prefix: "lovage:".into(),
            retention: Retention::default(),
            max_payload_bytes: MAX_PAYLOAD_BYTES,
            events_kept: 100_000,
            unrecorded_kept: 500_000,
            unrecorded_bytes: 256 * 1024 * 1024,
            ageing: AGEING,
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
            .field("tls", &self.tls)
            .field("wait_replicas", &self.wait_replicas)
            .field("prefix", &self.prefix)
            .field("retention", &self.retention)
            .field("max_payload_bytes", &self.max_payload_bytes)
            .field("events_kept", &self.events_kept)
            .field("unrecorded_kept", &self.unrecorded_kept)
            .field("unrecorded_bytes", &self.unrecorded_bytes)
            .field("virtual_clock", &self.virtual_clock)
            .finish_non_exhaustive()
    }
}
