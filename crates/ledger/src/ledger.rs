//! An open ledger: the connections, and which of the two kinds of database answers.

use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::address::{LedgerAddress, Place};
use crate::error::LedgerError;
use crate::migrations;

/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of one process.
const CONNECTIONS: u32 = 8;

/// An open ledger. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) store: Store,
    place: String,
}

/// The database.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Ledger {
    /// Opens a ledger that has the schema of this release; [`LedgerError::Pending`] or [`LedgerError::Newer`] otherwise.
    pub async fn open(address: &LedgerAddress) -> Result<Self, LedgerError> {
        migrations::check(address).await?;
        let store = match &address.0 {
            Place::Postgres(options) => {
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
                Store::Postgres(pool.connect_lazy_with(options.as_ref().clone()))
            }
            Place::Sqlite(options) => {
                let options = options
                    .as_ref()
                    .clone()
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(PATIENCE);
                let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
                Store::Sqlite(pool.connect_lazy_with(options))
            }
        };
        Ok(Self { store, place: address.to_string() })
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
