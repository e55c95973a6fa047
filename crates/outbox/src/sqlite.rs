//! The table in a SQLite file. Nothing is locked while the broker is asked: the service that owns the file goes on
//! writing, and what keeps two relays from doubling a job is its id.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lovage_core::Timestamp;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _};

use crate::address::Address;
use crate::error::OutboxError;
use crate::fate::Settlement;
use crate::outbox::{Ask, FailedRow, Heads, MOST_SHOWN, Status};
use crate::row::{MAX_OPTIONS_BYTES, NewRow, Row};

/// The current time in milliseconds, also in a SQLite that knows no `unixepoch('subsec')`.
macro_rules! now {
    () => {
        "CAST(round((julianday('now') - 2440587.5) * 86400000) AS integer)"
    };
}

macro_rules! rows {
    ($which:literal) => {
        concat!(
            "SELECT seq, id, queue, kind, sent_at IS NOT NULL AS sent, length(CAST(args AS blob)) AS args_bytes, \
             CASE WHEN length(CAST(args AS blob)) <= ?3 THEN args END AS args, \
             CASE WHEN length(CAST(options AS blob)) <= ?4 THEN options END AS options, ",
            now!(),
            " - created_at AS age FROM lovage_outbox WHERE failed_at IS NULL AND ",
            $which
        )
    };
}

const HEADS: &str = concat!(
    "WITH RECURSIVE line(queue) AS (
        SELECT min(queue) FROM lovage_outbox WHERE due_at IS NULL AND failed_at IS NULL AND queue > ?1
    UNION ALL
        SELECT (SELECT min(o.queue) FROM lovage_outbox o
                 WHERE o.due_at IS NULL AND o.failed_at IS NULL AND o.queue > line.queue)
          FROM line WHERE line.queue IS NOT NULL)
    SELECT * FROM (SELECT queue FROM line WHERE queue IS NOT NULL LIMIT ?2)
    UNION ALL
    SELECT NULL WHERE EXISTS (SELECT 1 FROM lovage_outbox WHERE failed_at IS NULL AND due_at <= ",
    now!(),
    ")"
);
const FRESH: &str = rows!("due_at IS NULL AND queue = ?1 ORDER BY seq LIMIT ?2 + 0");
const DUE: &str = concat!(
    rows!("queue NOT IN (SELECT value FROM json_each(?1)) AND due_at <= "),
    now!(),
    " ORDER BY due_at, seq LIMIT ?2 + 0"
);

const GONE: &str = "DELETE FROM lovage_outbox WHERE seq IN (SELECT value FROM json_each(?1))";
const SENT: &str = concat!(
    "UPDATE lovage_outbox SET sent_at = coalesce(sent_at, ",
    now!(),
    "), due_at = ?2 + ",
    now!(),
    " WHERE seq IN (SELECT value FROM json_each(?1))"
);
const ASIDE: &str = concat!(
    "UPDATE lovage_outbox SET due_at = a.value ->> 1 + ",
    now!(),
    " FROM json_each(?1) AS a WHERE seq = a.value ->> 0"
);
const FAILED: &str = concat!(
    "UPDATE lovage_outbox SET error = f.value ->> 1, failed_at = ",
    now!(),
    " FROM json_each(?1) AS f WHERE seq = f.value ->> 0"
);
const STATUS: &str = concat!(
    "SELECT count(*) FILTER (WHERE failed_at IS NULL AND sent_at IS NULL) AS waiting, \
     count(*) FILTER (WHERE failed_at IS NULL AND sent_at IS NOT NULL) AS unconfirmed, \
     count(*) FILTER (WHERE failed_at IS NOT NULL) AS failed, ",
    now!(),
    " - min(created_at) FILTER (WHERE failed_at IS NULL AND sent_at IS NULL) AS oldest FROM lovage_outbox"
);
const FAILURES: &str = "SELECT id, queue, kind, coalesce(error, '') AS error, failed_at
      FROM lovage_outbox WHERE failed_at IS NOT NULL ORDER BY seq LIMIT ?1";
const RETRY: &str = "UPDATE lovage_outbox SET failed_at = NULL, error = NULL, due_at = NULL, sent_at = NULL
     WHERE failed_at IS NOT NULL AND (?1 IS NULL OR id IN (SELECT value FROM json_each(?1)))";
const INSERT: &str = "INSERT INTO lovage_outbox (id, queue, kind, args, options) VALUES (?1, ?2, ?3, ?4, ?5)";
/// What triggers count, so that an insert costs the same however much waits.
const HELD: &str = "SELECT jobs, bytes FROM lovage_spool";
/// Whether the file has those triggers: one of an older release has not.
const COUNTS: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'lovage_spool')";
const WAITS: &str =
    "SELECT EXISTS (SELECT 1 FROM lovage_outbox WHERE queue = ?1 AND due_at IS NULL AND failed_at IS NULL)";

#[derive(Debug, Clone)]
pub(crate) struct SqliteTable {
    address: Address,
    path: PathBuf,
    pool: SqlitePool,
}

impl SqliteTable {
    pub fn new(address: &Address, options: &SqliteConnectOptions) -> Self {
        let path = options.get_filename().to_owned();
        let options = options.clone().busy_timeout(Duration::from_secs(10)).disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(10));
        let pool = pool.connect_lazy_with(options.create_if_missing(false));
        Self { address: address.clone(), path, pool }
    }

    fn wrong(&self) -> impl Fn(sqlx::Error) -> OutboxError {
        |error| {
            if self.path.exists() {
                OutboxError::of(&self.address, &error)
            } else {
                OutboxError::Missing(self.address.to_string())
            }
        }
    }

    /// Creates the file, if need be, so that only its owner may read it, and the table.
    pub async fn init(&self) -> Result<(), OutboxError> {
        create(&self.path)
            .map_err(|error| OutboxError::Store { place: self.address.to_string(), reason: error.to_string() })?;
        sqlx::raw_sql(include_str!("sqlite.sql")).execute(&self.pool).await.map(drop).map_err(self.wrong())
    }

    /// As [`Self::init`], and has the file count what it holds; what is there already is counted once.
    pub async fn init_spool(&self) -> Result<(), OutboxError> {
        self.init().await?;
        let counting = async {
            if sqlx::query_scalar(COUNTS).fetch_one(&self.pool).await? {
                return Ok(());
            }
            // Under the write lock: nothing is inserted between the count and the triggers, and who comes second finds both.
            let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::raw_sql(include_str!("spool.sql")).execute(&mut *tx).await?;
            tx.commit().await
        };
        counting.await.map_err(self.wrong())
    }

    pub async fn heads(&self, after: &str, most: usize) -> Result<Heads, OutboxError> {
        let found = sqlx::query(HEADS).bind(after).bind(most as i64).fetch_all(&self.pool);
        let mut heads = Heads::default();
        for row in found.await.map_err(self.wrong())? {
            match row.try_get(0).map_err(self.wrong())? {
                Some(queue) => heads.queues.push(queue),
                None => heads.due = true,
            }
        }
        Ok(heads)
    }

    async fn read(
        &self,
        sql: &'static str,
        which: &str,
        most: usize,
        ask: &Ask<'_>,
        rows: &mut Vec<Row>,
    ) -> Result<(), sqlx::Error> {
        let query = sqlx::query(sql).bind(which).bind(most as i64).bind(ask.max_payload as i64);
        for row in &query.bind(MAX_OPTIONS_BYTES as i64).fetch_all(&self.pool).await? {
            rows.push(read(row)?);
        }
        Ok(())
    }

    pub async fn take(&self, ask: &Ask<'_>) -> Result<Vec<Row>, OutboxError> {
        let taking = async {
            let mut rows = Vec::new();
            let held = json!(ask.held).to_string();
            self.read(DUE, &held, ask.most_due(), ask, &mut rows).await?;
            let each = ask.most_fresh(rows.len(), ask.queues.len());
            for queue in ask.queues {
                self.read(FRESH, queue, each, ask, &mut rows).await?;
            }
            Ok(rows)
        };
        taking.await.map_err(self.wrong())
    }

    pub async fn settle(&self, settlement: &Settlement) -> Result<(), OutboxError> {
        let settling = async {
            let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            if !settlement.gone.is_empty() {
                sqlx::query(GONE).bind(json!(settlement.gone).to_string()).execute(&mut *tx).await?;
            }
            if !settlement.sent.is_empty() {
                let after = settlement.confirm_after.as_millis() as i64;
                sqlx::query(SENT).bind(json!(settlement.sent).to_string()).bind(after).execute(&mut *tx).await?;
            }
            if !settlement.aside.is_empty() {
                sqlx::query(ASIDE).bind(json!(settlement.aside).to_string()).execute(&mut *tx).await?;
            }
            if !settlement.failed.is_empty() {
                sqlx::query(FAILED).bind(json!(settlement.failed).to_string()).execute(&mut *tx).await?;
            }
            tx.commit().await
        };
        if settlement.is_empty() { Ok(()) } else { settling.await.map_err(self.wrong()) }
    }

    pub async fn status(&self) -> Result<Status, OutboxError> {
        let reading = async {
            let row = sqlx::query(STATUS).fetch_one(&self.pool).await?;
            let count = |name: &str| row.try_get::<i64, _>(name).map(|count| count as u64);
            let oldest: Option<i64> = row.try_get("oldest")?;
            let failures = sqlx::query(FAILURES).bind(MOST_SHOWN).fetch_all(&self.pool).await?;
            Ok(Status {
                waiting: count("waiting")?,
                oldest: oldest.map(millis),
                unconfirmed: count("unconfirmed")?,
                failed: count("failed")?,
                failures: failures.iter().map(failure).collect::<Result<_, _>>()?,
            })
        };
        reading.await.map_err(self.wrong())
    }

    pub async fn retry(&self, ids: Option<&[String]>) -> Result<u64, OutboxError> {
        let ids = ids.map(|ids| json!(ids).to_string());
        let done = sqlx::query(RETRY).bind(ids).execute(&self.pool).await;
        done.map(|done| done.rows_affected()).map_err(self.wrong())
    }

    /// Whether rows of this queue stand in line.
    pub async fn waits(&self, queue: &str) -> Result<bool, OutboxError> {
        sqlx::query_scalar(WAITS).bind(queue).fetch_one(&self.pool).await.map_err(self.wrong())
    }

    /// Inserts all rows, or none if there would then be more than `jobs` or more than `bytes`. Answers whether it did.
    pub async fn insert(&self, rows: &[NewRow], jobs: u64, bytes: u64) -> Result<bool, OutboxError> {
        let inserting = async {
            let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let (held_jobs, held_bytes): (i64, i64) = sqlx::query_as(HELD).fetch_one(&mut *tx).await?;
            let more: u64 = rows.iter().map(NewRow::bytes).sum();
            if held_jobs as u64 + rows.len() as u64 > jobs || held_bytes as u64 + more > bytes {
                return Ok(false);
            }
            for row in rows {
                insert(&mut tx, row).await?;
            }
            tx.commit().await.map(|()| true)
        };
        inserting.await.map_err(self.wrong())
    }
}

async fn insert(connection: &mut SqliteConnection, row: &NewRow) -> Result<(), sqlx::Error> {
    let query = sqlx::query(INSERT).bind(row.id.as_str()).bind(&row.queue).bind(&row.kind);
    query.bind(&row.args).bind(&row.options).execute(connection).await.map(drop)
}

fn create(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn read(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        seq: row.try_get("seq")?,
        id: row.try_get("id")?,
        queue: row.try_get("queue")?,
        kind: row.try_get("kind")?,
        args: row.try_get("args")?,
        args_bytes: row.try_get::<i64, _>("args_bytes")? as u64,
        options: row.try_get("options")?,
        age: millis(row.try_get("age")?),
        sent: row.try_get("sent")?,
    })
}

fn failure(row: &SqliteRow) -> Result<FailedRow, sqlx::Error> {
    Ok(FailedRow {
        id: row.try_get("id")?,
        queue: row.try_get("queue")?,
        kind: row.try_get("kind")?,
        error: row.try_get("error")?,
        failed_at: Timestamp::from_millis(row.try_get::<i64, _>("failed_at")? as u64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Place;

    async fn spool(folder: &Path) -> SqliteTable {
        let options = SqliteConnectOptions::new().filename(folder.join("spool.db"));
        let address = Address(Place::Sqlite(Box::new(options.clone())));
        let table = SqliteTable::new(&address, &options);
        table.init_spool().await.unwrap();
        table
    }

    /// What SQLite does for a statement, and for what its triggers do.
    async fn plan(table: &SqliteTable, sql: &'static str) -> Vec<String> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&table.pool).await;
        rows.unwrap().iter().map(|row| row.try_get("detail").unwrap()).collect()
    }

    /// How many bytes are held is asked at every insert, under the lock that all others wait for.
    #[tokio::test]
    async fn what_is_held_is_known_without_reading_the_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let table = spool(folder.path()).await;
        let steps = plan(&table, HELD).await;
        assert!(!steps.is_empty() && steps.iter().all(|step| !step.contains("lovage_outbox")), "{steps:?}");
        let steps = plan(&table, INSERT).await;
        assert!(steps.iter().all(|step| !step.contains("SCAN lovage_outbox")), "{steps:?}");
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM lovage_spool").fetch_one(&table.pool).await.unwrap();
        assert_eq!(rows, 1);
    }
}
