//! The table, whichever database it is in: made, looked at, taken from and settled.

use std::time::Duration;

use lovage_core::Timestamp;

use crate::address::{Address, Place};
use crate::error::OutboxError;
use crate::fate::Settlement;
use crate::postgres::{self, PostgresTable};
use crate::row::Row;
use crate::sqlite::SqliteTable;

/// How long a database may take for one step.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Failed rows that [`Status`] repeats.
pub(crate) const MOST_SHOWN: i64 = 20;
/// Queues that one batch looks at; the next one begins after them.
pub(crate) const MOST_QUEUES: usize = 64;

/// A table of jobs that wait for a relay.
#[derive(Debug, Clone)]
pub struct Outbox {
    address: Address,
    table: Table,
}

#[derive(Debug, Clone)]
enum Table {
    Postgres(PostgresTable),
    Sqlite(SqliteTable),
}

/// How much waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Rows that the broker does not have yet.
    pub waiting: u64,
    /// For how long the oldest of them has been waiting, by the database's clock.
    pub oldest: Option<Duration>,
    /// Rows that the broker has confirmed once and is to confirm again.
    pub unconfirmed: u64,
    /// Rows that cannot become jobs.
    pub failed: u64,
    /// The first few of them.
    pub failures: Vec<FailedRow>,
}

/// A row that cannot become a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// Its id.
    pub id: String,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// Why.
    pub error: String,
    /// When that was found, by the database's clock.
    pub failed_at: Timestamp,
}

/// What a relay wants.
pub(crate) struct Ask<'a> {
    /// Only these queues.
    pub queues: &'a [String],
    /// Nothing of these, not even what is due.
    pub held: &'a [String],
    pub most: usize,
    pub max_payload: usize,
}

impl Ask<'_> {
    /// Rows that were set aside: at most half, so that neither sort starves the other.
    pub fn most_due(&self) -> usize {
        self.most.div_ceil(2)
    }

    /// Fresh rows of each queue. All rows of a queue go in one call, which must not be larger than a broker takes.
    pub fn most_fresh(&self, due: usize, queues: usize) -> usize {
        let left = self.most.saturating_sub(due);
        if left == 0 { 0 } else { (left / queues.max(1)).max(1) }
    }
}

/// What there is to take.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    pub queues: Vec<String>,
    pub due: bool,
}

/// Rows with what keeps others from them.
pub(crate) struct Taken {
    pub rows: Vec<Row>,
    pub(crate) hold: Hold,
}

pub(crate) enum Hold {
    /// The transaction that has locked them.
    Postgres(Box<postgres::Locked>),
    /// Nothing: the ids alone keep two relays from doubling a job.
    Nothing,
}

impl Outbox {
    /// An outbox at this address. Nothing is connected yet.
    pub fn new(address: Address) -> Self {
        let table = match &address.0 {
            Place::Postgres(options) => Table::Postgres(PostgresTable::new(&address, options)),
            Place::Sqlite(options) => Table::Sqlite(SqliteTable::new(&address, options)),
        };
        Self { address, table }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Creates the table if it is not there.
    pub async fn init(&self) -> Result<(), OutboxError> {
        self.in_time(async {
            match &self.table {
                Table::Postgres(table) => table.init().await,
                Table::Sqlite(table) => table.init().await,
            }
        })
        .await
    }

    /// How much waits. It counts all rows.
    pub async fn status(&self) -> Result<Status, OutboxError> {
        self.in_time(async {
            match &self.table {
                Table::Postgres(table) => table.status().await,
                Table::Sqlite(table) => table.status().await,
            }
        })
        .await
    }

    /// Lets the relay try failed rows again: those with these ids, or all. Answers how many they are.
    pub async fn retry(&self, ids: Option<&[String]>) -> Result<u64, OutboxError> {
        self.in_time(async {
            match &self.table {
                Table::Postgres(table) => table.retry(ids).await,
                Table::Sqlite(table) => table.retry(ids).await,
            }
        })
        .await
    }

    /// The queues after `after` in which something waits, at most `most`, and whether anything set aside is due.
    pub(crate) async fn heads(&self, after: &str, most: usize) -> Result<Heads, OutboxError> {
        self.in_time(async {
            match &self.table {
                Table::Postgres(table) => table.heads(after, most).await,
                Table::Sqlite(table) => table.heads(after, most).await,
            }
        })
        .await
    }

    /// Reads rows and, where the database can, keeps others from them until they are settled or the answer is dropped.
    pub(crate) async fn take(&self, ask: &Ask<'_>) -> Result<Taken, OutboxError> {
        self.in_time(async {
            match &self.table {
                Table::Postgres(table) => table.take(ask).await,
                Table::Sqlite(table) => Ok(Taken { rows: table.take(ask).await?, hold: Hold::Nothing }),
            }
        })
        .await
    }

    /// Writes down what became of taken rows.
    pub(crate) async fn settle(&self, hold: Hold, settlement: &Settlement) -> Result<(), OutboxError> {
        self.in_time(async {
            match (&self.table, hold) {
                (Table::Postgres(table), Hold::Postgres(locked)) => table.settle(*locked, settlement).await,
                (Table::Sqlite(table), _) => table.settle(settlement).await,
                (Table::Postgres(_), Hold::Nothing) => Ok(()),
            }
        })
        .await
    }

    async fn in_time<T>(&self, step: impl Future<Output = Result<T, OutboxError>>) -> Result<T, OutboxError> {
        tokio::time::timeout(PATIENCE, step).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", PATIENCE.as_secs());
            Err(OutboxError::Store { place: self.address.to_string(), reason })
        })
    }
}
