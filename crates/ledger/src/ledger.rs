//! An open ledger: the connections, and which of the two kinds of database answers.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::{Clock, Timestamp};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use crate::address::{LedgerAddress, Place};
use crate::error::LedgerError;
use crate::history::Months;
use crate::migrations;

/// How long a connection is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often a file is opened that somebody else opens, too.
const TRIES: u32 = 50;
/// Between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// Connections of one process.
const CONNECTIONS: u32 = 8;

/// An open ledger. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) store: Store,
    /// The months of the history that are known to be there.
    pub(crate) months: Months,
    place: String,
    /// Instead of the database's.
    clock: Option<Arc<dyn Clock>>,
}

/// The database.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// Runs a piece of code on the pool of whichever database it is, with the statement that begins a transaction there.
macro_rules! on {
    ($ledger:expr, |$pool:ident, $begin:ident| $body:expr) => {
        match &$ledger.store {
            Store::Postgres($pool) => {
                let $begin = "BEGIN";
                let done: Result<_, sqlx::Error> = $body.await;
                done
            }
            Store::Sqlite($pool) => {
                let $begin = "BEGIN IMMEDIATE";
                let done: Result<_, sqlx::Error> = $body.await;
                done
            }
        }
        .map_err(|error| LedgerError::of(&error))
    };
}
pub(crate) use on;

/// Has the file keep a log of what is written, which it remembers. SQLite does not wait for others with this, so it is done
/// once and not by each connection.
async fn write_ahead(options: &SqliteConnectOptions) -> Result<(), LedgerError> {
    let options = options.clone().journal_mode(SqliteJournalMode::Wal);
    let mut tries = 0;
    loop {
        match options.connect().await {
            Ok(connection) => return connection.close().await.map_err(|error| LedgerError::of(&error)),
            Err(_) if tries < TRIES => tries += 1,
            Err(error) => return Err(LedgerError::of(&error)),
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

impl Ledger {
    /// Opens a ledger that has the schema of this release; [`LedgerError::Pending`] or [`LedgerError::Newer`] otherwise.
    pub async fn open(address: &LedgerAddress) -> Result<Self, LedgerError> {
        migrations::check(address).await?;
        let store = match &address.0 {
            Place::Postgres(options) => {
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
                // One session that holds a chain's lock and forgets it stops nobody for good.
                let pool = pool.after_connect(|connection, _| {
                    Box::pin(async move {
                        let limits = "SET lock_timeout = '10s'; SET statement_timeout = '60s';
                                      SET default_transaction_isolation = 'read committed';
                                      SET search_path = lovage, \"$user\", public";
                        connection.execute(limits).await.map(drop)
                    })
                });
                Store::Postgres(pool.connect_lazy_with(options.as_ref().clone()))
            }
            Place::Sqlite(options) => {
                let options = options.as_ref().clone().synchronous(SqliteSynchronous::Full).busy_timeout(PATIENCE);
                write_ahead(&options).await?;
                let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
                Store::Sqlite(pool.connect_lazy_with(options))
            }
        };
        Ok(Self { store, months: Months::default(), place: address.to_string(), clock: None })
    }

    /// One whose time is that of a clock, for tests.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// The time of the database, which is the same for all who ask: schedules and their ticks go by it, so that no machine's
    /// own clock matters.
    pub async fn now(&self) -> Result<Timestamp, LedgerError> {
        if let Some(clock) = &self.clock {
            return Ok(clock.now());
        }
        let sql = match &self.store {
            Store::Postgres(_) => "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            // A number of seconds with a fraction; of SQLite's own milliseconds nothing is lost.
            Store::Sqlite(_) => "SELECT CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)",
        };
        let now: i64 = on!(self, |pool, _begin| sqlx::query_scalar(sql).fetch_one(pool))?;
        Ok(Timestamp::from_millis(u64::try_from(now).unwrap_or(0)))
    }

    /// Where it is, for people; never with a password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Waits until what runs has ended and closes the connections.
    pub async fn close(&self) {
        match &self.store {
            Store::Postgres(pool) => pool.close().await,
            Store::Sqlite(pool) => pool.close().await,
        }
    }
}
