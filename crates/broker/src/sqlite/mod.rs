//! `SqliteBroker`: the embedded default. One file, no server, durable; several processes may share the file.
//!
//! A call becomes a command for the one connection that writes ([`writer`]), which runs it in a transaction together
//! with whatever else waits, or a query on one of a few connections that read. `schema.sql` is the file's format;
//! `docs/adr/004-embedded-sqlite.md` says why it is as it is.

mod ages;
mod breaker;
mod bulk;
mod claim;
mod depth;
mod desk;
mod diagnose;
mod drain;
mod edit;
mod enqueue;
mod events;
mod fault;
mod finish;
mod flow;
mod flow_view;
mod gate;
mod hold;
mod insert;
mod lanes;
mod line;
mod operate;
mod plan;
mod rate;
mod read;
mod registry;
mod renew;
mod row;
mod schema;
mod serve;
mod share;
mod step;
mod sweep;
mod tally;
mod turns;
mod wait;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use lovage_core::limits::{AGEING, MAX_PAYLOAD_BYTES};
use lovage_core::{Clock, Entropy};
use sqlx::sqlite::SqlitePool;

use crate::api::Retention;
use crate::error::BrokerError;
use crate::system::{OsEntropy, SystemClock};
use hold::Kept;
use wait::Hub;
use writer::{SteadyClock, Writer};

/// How to open a [`SqliteBroker`].
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// The file; its folder is created when it is not there.
    pub path: PathBuf,
    /// How long ended jobs are kept.
    pub retention: Retention,
    /// Largest arguments of a job, in bytes of JSON text.
    pub max_payload_bytes: usize,
    /// Events kept a queue.
    pub events_kept: usize,
    /// Events kept beyond that for who records them elsewhere, until they are recorded; and as many ended jobs of a state
    /// beyond the retention. See [`crate::Operator::recorded`].
    pub unrecorded_kept: usize,
    /// Whether a commit survives a loss of power (`synchronous=FULL`). Without it the last moments may be lost then,
    /// but never by a crash of the process.
    pub synchronous_full: bool,
    /// Largest size of the file in bytes; at the limit jobs are refused as unavailable. Nothing: as large as the disk.
    pub max_bytes: Option<u64>,
    /// Of so many jobs that are given out one is the oldest; see [`lovage_core::limits::AGEING`]. Tests make it smaller.
    pub ageing: u32,
    /// The broker's clock. One machine has the file, so its clock is everybody's.
    pub clock: Arc<dyn Clock>,
    /// Where the random part of ids comes from.
    pub entropy: Arc<dyn Entropy>,
}

impl SqliteConfig {
    /// The defaults, for the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    fn kept(&self) -> Kept {
        Kept { events: self.events_kept as i64, unrecorded: self.unrecorded_kept as i64 }
    }
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("lovage-data/lovage.db"),
            retention: Retention::default(),
            max_payload_bytes: MAX_PAYLOAD_BYTES,
            events_kept: 100_000,
            unrecorded_kept: 500_000,
            synchronous_full: true,
            max_bytes: None,
            ageing: AGEING,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        }
    }
}

/// The broker in a SQLite file. Needs a tokio runtime with a timer, that of its opening for as long as it lives.
pub struct SqliteBroker {
    config: SqliteConfig,
    clock: Arc<SteadyClock>,
    hub: Arc<Hub>,
    readers: SqlitePool,
    writer: Writer,
}

impl SqliteBroker {
    /// Opens the file, creating it when it is not there. [`BrokerError::Misconfigured`] if it is not ours, damaged or a
    /// newer release's.
    pub async fn open(config: SqliteConfig) -> Result<Self, BrokerError> {
        let conn = schema::open_writer(&config).await?;
        let clock = Arc::new(SteadyClock::new(config.clock.clone()));
        let hub = Hub::of(&config.path);
        let writer = Writer::start(conn, clock.clone(), hub.clone(), config.kept());
        let readers = schema::open_readers(&config);
        Ok(Self { config, clock, hub, readers, writer })
    }
}

impl fmt::Debug for SqliteBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBroker").field("path", &self.config.path).finish_non_exhaustive()
    }
}
