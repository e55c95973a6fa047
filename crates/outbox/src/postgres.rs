//! The table in PostgreSQL. Rows are locked in a transaction that stays open while the broker is asked, so a relay that
//! dies gives them back at once.

use std::time::Duration;

use lovage_core::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Postgres, Row as _, Transaction};

use crate::address::Address;
use crate::error::OutboxError;
use crate::fate::Settlement;
use crate::outbox::{Ask, FailedRow, Heads, Hold, MOST_SHOWN, Status, Taken};
use crate::row::{MAX_OPTIONS_BYTES, Row};

/// The first queue in a line of waiting rows, then the first one after it, and so on: as many looks into an index as
/// there are queues, however many rows wait in each. Not `min(queue)`: a planner without statistics reads all rows for it.
const HEADS: &str = "WITH RECURSIVE line(queue) AS (
        (SELECT queue FROM lovage_outbox WHERE due_at IS NULL AND failed_at IS NULL AND queue > $1
          ORDER BY queue LIMIT 1)
    UNION ALL
        SELECT (SELECT o.queue FROM lovage_outbox o
                 WHERE o.due_at IS NULL AND o.failed_at IS NULL AND o.queue > line.queue
                 ORDER BY o.queue LIMIT 1)
          FROM line WHERE line.queue IS NOT NULL)
    (SELECT queue FROM line WHERE queue IS NOT NULL LIMIT $2)
    UNION ALL
    SELECT NULL WHERE EXISTS (SELECT FROM lovage_outbox WHERE due_at <= clock_timestamp() AND failed_at IS NULL)";

/// How long a connection may take.
const CONNECTED: Duration = Duration::from_secs(5);
/// The server itself ends a transaction whose relay went silent: its locks must not outlive it.
const SILENCE: &str = "SET LOCAL idle_in_transaction_session_timeout = '90s'";

/// One relay at a time works a queue, so its order is kept. Others skip it instead of waiting.
const LOCK: &str = "SELECT queue FROM unnest($1::text[]) AS line(queue)
     WHERE pg_try_advisory_xact_lock('lovage_outbox'::regclass::oid::int, hashtext(queue))";

const FRESH: &str = "SELECT o.* FROM unnest($1::text[]) AS line(queue) CROSS JOIN LATERAL (
        SELECT seq, id, queue, kind, sent_at IS NOT NULL AS sent,
               octet_length(args::text)::bigint AS args_bytes,
               CASE WHEN octet_length(args::text) <= $3 THEN args::text END AS args,
               CASE WHEN octet_length(options::text) <= $4 THEN options::text END AS options,
               (extract(epoch FROM clock_timestamp() - created_at) * 1000)::bigint AS age
          FROM lovage_outbox
         WHERE queue = line.queue AND due_at IS NULL AND failed_at IS NULL
         ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED) AS o";

const DUE: &str = "SELECT seq, id, queue, kind, sent_at IS NOT NULL AS sent,
           octet_length(args::text)::bigint AS args_bytes,
           CASE WHEN octet_length(args::text) <= $3 THEN args::text END AS args,
           CASE WHEN octet_length(options::text) <= $4 THEN options::text END AS options,
           (extract(epoch FROM clock_timestamp() - created_at) * 1000)::bigint AS age
      FROM lovage_outbox
     WHERE due_at <= clock_timestamp() AND failed_at IS NULL AND queue <> ALL($1::text[])
     ORDER BY due_at, seq LIMIT $2 FOR UPDATE SKIP LOCKED";

const GONE: &str = "DELETE FROM lovage_outbox WHERE seq = ANY($1)";
const SENT: &str = "UPDATE lovage_outbox SET sent_at = coalesce(sent_at, clock_timestamp()),
        due_at = clock_timestamp() + $2 * interval '1 millisecond' WHERE seq = ANY($1)";
const ASIDE: &str = "UPDATE lovage_outbox o SET due_at = clock_timestamp() + a.ms * interval '1 millisecond'
      FROM unnest($1::bigint[], $2::bigint[]) AS a(seq, ms) WHERE o.seq = a.seq";
const FAILED: &str = "UPDATE lovage_outbox o SET failed_at = clock_timestamp(), error = f.error
      FROM unnest($1::bigint[], $2::text[]) AS f(seq, error) WHERE o.seq = f.seq";

const STATUS: &str = "SELECT count(*) FILTER (WHERE failed_at IS NULL AND sent_at IS NULL) AS waiting,
           count(*) FILTER (WHERE failed_at IS NULL AND sent_at IS NOT NULL) AS unconfirmed,
           count(*) FILTER (WHERE failed_at IS NOT NULL) AS failed,
           (extract(epoch FROM clock_timestamp()
             - min(created_at) FILTER (WHERE failed_at IS NULL AND sent_at IS NULL)) * 1000)::bigint AS oldest
      FROM lovage_outbox";
const FAILURES: &str = "SELECT id, queue, kind, coalesce(error, '') AS error,
           (extract(epoch FROM failed_at) * 1000)::bigint AS failed_at
      FROM lovage_outbox WHERE failed_at IS NOT NULL ORDER BY seq LIMIT $1";
const RETRY: &str = "UPDATE lovage_outbox SET failed_at = NULL, error = NULL, due_at = NULL, sent_at = NULL
     WHERE failed_at IS NOT NULL AND ($1::text[] IS NULL OR id = ANY($1))";

/// Rows that are locked.
pub(crate) type Locked = Transaction<'static, Postgres>;

#[derive(Debug, Clone)]
pub(crate) struct PostgresTable {
    address: Address,
    pool: PgPool,
}

impl PostgresTable {
    pub fn new(address: &Address, options: &PgConnectOptions) -> Self {
        let options = options.clone().application_name("lovage outbox").disable_statement_logging();
        let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(CONNECTED);
        Self { address: address.clone(), pool: pool.connect_lazy_with(options) }
    }

    fn wrong(&self) -> impl Fn(sqlx::Error) -> OutboxError {
        |error| OutboxError::of(&self.address, &error)
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        match self.pool.acquire().await {
            // The pool tries again and again and keeps the reason to itself.
            Err(sqlx::Error::PoolTimedOut) => {
                let asked = tokio::time::timeout(CONNECTED, self.pool.connect_options().connect()).await;
                asked.unwrap_or(Err(sqlx::Error::PoolTimedOut))?.close().await?;
                self.pool.acquire().await
            }
            other => other,
        }
    }

    /// Each statement sees what is committed by then: what another relay has deleted before its lock was given up is not
    /// read again.
    async fn begin(&self) -> Result<Locked, sqlx::Error> {
        self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await
    }

    pub async fn init(&self) -> Result<(), OutboxError> {
        let made = async {
            // Two that make the table at once would meet in the catalogue, even with IF NOT EXISTS.
            drop(self.connection().await?);
            let mut tx = self.begin().await?;
            sqlx::query("SELECT pg_advisory_xact_lock(hashtext('lovage_outbox'))").execute(&mut *tx).await?;
            sqlx::raw_sql(include_str!("postgres.sql")).execute(&mut *tx).await?;
            tx.commit().await
        };
        made.await.map_err(self.wrong())
    }

    pub async fn heads(&self, after: &str, most: usize) -> Result<Heads, OutboxError> {
        let looking =
            async { sqlx::query(HEADS).bind(after).bind(most as i64).fetch_all(&mut *self.connection().await?).await };
        let mut heads = Heads::default();
        for row in looking.await.map_err(self.wrong())? {
            match row.try_get(0).map_err(self.wrong())? {
                Some(queue) => heads.queues.push(queue),
                None => heads.due = true,
            }
        }
        Ok(heads)
    }

    pub async fn take(&self, ask: &Ask<'_>) -> Result<Taken, OutboxError> {
        let taking = async {
            let mut tx = self.begin().await?;
            sqlx::query(SILENCE).execute(&mut *tx).await?;
            let mut rows = Vec::new();
            let queues: Vec<String> = sqlx::query_scalar(LOCK).bind(ask.queues).fetch_all(&mut *tx).await?;
            for (sql, queues) in [(DUE, ask.held), (FRESH, &queues[..])] {
                let most = if sql == DUE { ask.most_due() } else { ask.most_fresh(rows.len(), queues.len()) };
                let query = sqlx::query(sql).bind(queues).bind(most as i64).bind(ask.max_payload as i64);
                let found = query.bind(MAX_OPTIONS_BYTES as i64).fetch_all(&mut *tx).await?;
                for row in &found {
                    rows.push(read(row)?);
                }
            }
            Ok(Taken { rows, hold: Hold::Postgres(Box::new(tx)) })
        };
        taking.await.map_err(self.wrong())
    }

    pub async fn settle(&self, mut tx: Locked, settlement: &Settlement) -> Result<(), OutboxError> {
        let settling = async {
            if !settlement.gone.is_empty() {
                sqlx::query(GONE).bind(&settlement.gone).execute(&mut *tx).await?;
            }
            if !settlement.sent.is_empty() {
                let after = settlement.confirm_after.as_millis() as f64;
                sqlx::query(SENT).bind(&settlement.sent).bind(after).execute(&mut *tx).await?;
            }
            if !settlement.aside.is_empty() {
                let (seqs, ms): (Vec<i64>, Vec<i64>) = settlement.aside.iter().copied().unzip();
                sqlx::query(ASIDE).bind(seqs).bind(ms).execute(&mut *tx).await?;
            }
            if !settlement.failed.is_empty() {
                let (seqs, errors): (Vec<i64>, Vec<String>) = settlement.failed.iter().cloned().unzip();
                sqlx::query(FAILED).bind(seqs).bind(errors).execute(&mut *tx).await?;
            }
            tx.commit().await
        };
        settling.await.map_err(self.wrong())
    }

    pub async fn status(&self) -> Result<Status, OutboxError> {
        let reading = async {
            let mut connection = self.connection().await?;
            let row = sqlx::query(STATUS).fetch_one(&mut *connection).await?;
            let count = |name: &str| row.try_get::<i64, _>(name).map(|count| count as u64);
            let oldest: Option<i64> = row.try_get("oldest")?;
            let failures = sqlx::query(FAILURES).bind(MOST_SHOWN).fetch_all(&mut *connection).await?;
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
        let trying = async { sqlx::query(RETRY).bind(ids).execute(&mut *self.connection().await?).await };
        trying.await.map(|done| done.rows_affected()).map_err(self.wrong())
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn read(row: &PgRow) -> Result<Row, sqlx::Error> {
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

fn failure(row: &PgRow) -> Result<FailedRow, sqlx::Error> {
    Ok(FailedRow {
        id: row.try_get("id")?,
        queue: row.try_get("queue")?,
        kind: row.try_get("kind")?,
        error: row.try_get("error")?,
        failed_at: Timestamp::from_millis(row.try_get::<i64, _>("failed_at")? as u64),
    })
}
