//! Reads from Postgres: one connection, one read-only snapshot, `COPY` to this process.
//!
//! The query is text from a job's arguments, and `COPY (…) TO STDOUT` goes over the simple protocol, which would run
//! several statements. So the server prepares the text first, by the extended protocol: it accepts one whole statement
//! or nothing. A text that is a whole statement has its parentheses, quotes and comments closed, so it cannot reach
//! beyond the parentheses it is then put between (a last line comment ends at the line break in front of the
//! closing one). Preparing gives the columns, too. The transaction is read-only whatever the statement calls; what it
//! may read is the business of the source's user.
//!
//! The connection is the export's own: a pooled one that was dropped half way through a COPY would fail the next
//! query of an innocent job. When the export does not come to its end, the server is told to stop from a second
//! connection before the first is closed; otherwise it would notice only when it next sends a row.

use std::time::Duration;

use futures::TryStreamExt as _;
use lovage_artifacts::Column;
use lovage_worker::JobError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Column as _, Connection as _, Executor as _, PgConnection, SqlSafeStr as _, Statement as _};

use super::fault;
use super::sink::Sink;
use super::statement::Statement;

/// How long a server may take to answer a connection, or to be told to stop.
const CONNECT: Duration = Duration::from_secs(10);

/// Limits that hold even when this process is gone and nobody cancels: the snapshot of a forgotten export would keep
/// the server from cleaning up.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = '24h'; \
    SET LOCAL lock_timeout = '30s'; \
    SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// An open snapshot, ready to be read.
pub(super) struct Reader {
    session: Session,
    source: String,
    copy: String,
    pub(super) columns: Vec<Column>,
    pub(super) snapshot: String,
}

impl Reader {
    /// Connects, takes the snapshot and lets the server check the statement.
    pub(super) async fn open(
        source: &str,
        options: &PgConnectOptions,
        statement: &Statement,
    ) -> Result<Self, JobError> {
        let failed = |error: sqlx::Error| fault::database(source, &error);
        let connecting = tokio::time::timeout(CONNECT, PgConnection::connect_with(options)).await;
        let Ok(connected) = connecting else {
            return Err(JobError::Retry(anyhow::anyhow!(
                "source {source} cannot be reached: no answer in {CONNECT:?}"
            )));
        };
        let mut connection = connected.map_err(failed)?;
        sqlx::raw_sql(BEGIN).execute(&mut connection).await.map_err(failed)?;
        let (pid, snapshot): (i32, String) = sqlx::query_as("SELECT pg_backend_pid(), txid_current_snapshot()::text")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let session = Session { connection: Some(connection), options: options.clone(), pid };
        let mut reader = Self {
            session,
            source: source.to_owned(),
            copy: format!("COPY ({}\n) TO STDOUT (FORMAT csv, HEADER)", statement.as_str()),
            columns: Vec::new(),
            snapshot,
        };
        reader.columns = reader.prepare(statement).await?;
        Ok(reader)
    }

    async fn prepare(&mut self, statement: &Statement) -> Result<Vec<Column>, JobError> {
        let source = self.source.clone();
        let sql = AssertSqlSafe(statement.as_str()).into_sql_str();
        let prepared = self.session.get()?.prepare(sql).await.map_err(|error| fault::database(&source, &error))?;
        let columns = prepared.columns().iter();
        let columns: Vec<Column> = columns
            .map(|column| Column { name: column.name().to_owned(), type_name: column.type_info().to_string() })
            .collect();
        if columns.is_empty() {
            let help = "let the query answer at least one column";
            return Err(fault::invalid(lovage_core::Invalid::new("sql", "has no columns", help)));
        }
        Ok(columns)
    }

    /// Streams the header and all records into the sink.
    pub(super) async fn read(mut self, mut sink: Sink) -> Result<(), JobError> {
        let source = std::mem::take(&mut self.source);
        let failed = |error: sqlx::Error| fault::database(&source, &error);
        {
            let mut messages = self.session.get()?.copy_out_raw(&self.copy).await.map_err(failed)?;
            // The server sends one message per record, however many lines it has; the first is the header.
            let header = messages.try_next().await.map_err(failed)?;
            sink.buffer().extend_from_slice(&header.unwrap_or_default());
            while let Some(message) = messages.try_next().await.map_err(failed)? {
                sink.buffer().extend_from_slice(&message);
                sink.end_row().await?;
            }
        }
        sink.flush().await?;
        self.session.end().await;
        Ok(())
    }
}

/// A connection that is never left busy.
struct Session {
    /// Always there until the session ends.
    connection: Option<PgConnection>,
    options: PgConnectOptions,
    pid: i32,
}

impl Session {
    fn get(&mut self) -> Result<&mut PgConnection, JobError> {
        self.connection.as_mut().ok_or_else(|| JobError::Retry(anyhow::anyhow!("the connection is closed")))
    }

    /// The normal end. Nothing was written, so a failure here means nothing.
    async fn end(mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(stop(connection, self.options.clone(), self.pid)));
        }
    }
}

/// Stops what the server does for `connection`, then closes it. The connection is held open until the server was
/// told: once it is closed, another client's process could get the same id.
async fn stop(connection: PgConnection, options: PgConnectOptions, pid: i32) {
    let telling = async {
        let mut other = PgConnection::connect_with(&options).await?;
        sqlx::query("SELECT pg_cancel_backend($1)").bind(pid).execute(&mut other).await?;
        other.close().await
    };
    match tokio::time::timeout(CONNECT, telling).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(%error, "a running query could not be cancelled; it ends with its connection");
        }
        Err(_) => tracing::debug!("a running query could not be cancelled in time; it ends with its connection"),
    }
    let _ = connection.close_hard().await;
}
