//! A connection of an export's own: a pooled one that was dropped half way through a COPY would fail the next query of
//! an innocent job. When the export does not come to its end, the server is told to stop from a second connection before
//! the first is closed; otherwise it would notice only when it next sends a record.

use std::time::Duration;

use lovage_worker::JobError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use crate::export::fault;

/// How long a server may take to answer a connection, or to be told to stop.
const CONNECT: Duration = Duration::from_secs(10);

/// The forms in which values leave the server do not depend on how its user is set up. The time limits hold even when
/// this process is gone and nobody cancels: the snapshot of a forgotten export would keep the server from cleaning up.
const SETTINGS: &str = "SELECT pg_backend_pid(), txid_current_snapshot()::text, \
    (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()), \
    set_config('statement_timeout', $1, true), set_config('TimeZone', $2, true), \
    set_config('lock_timeout', '30s', true), set_config('idle_in_transaction_session_timeout', '60s', true), \
    set_config('DateStyle', 'ISO', true), set_config('IntervalStyle', 'postgres', true), \
    set_config('extra_float_digits', '1', true), set_config('bytea_output', 'hex', true)";

/// A connection that is never left busy.
pub(super) struct Session {
    /// Always there until the session ends.
    connection: Option<PgConnection>,
    options: PgConnectOptions,
    backend: Backend,
}

/// A process of the server. Its id alone may be another process' on a server that a balancer chose for the next connection.
#[derive(Clone)]
struct Backend {
    pid: i32,
    /// When it began.
    began: Option<String>,
}

impl Session {
    /// Connects and takes the snapshot, whose name comes along.
    pub(super) async fn begin(
        source: &str,
        options: &PgConnectOptions,
        timeout: Duration,
        zone: &str,
    ) -> Result<(Self, String), JobError> {
        let failed = |error: sqlx::Error| fault::database(source, &error);
        let connecting = tokio::time::timeout(CONNECT, PgConnection::connect_with(options)).await;
        let Ok(connected) = connecting else {
            return Err(JobError::Retry(anyhow::anyhow!(
                "source {source} cannot be reached: no answer in {CONNECT:?}"
            )));
        };
        let mut connection = connected.map_err(failed)?;
        let transaction = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        sqlx::raw_sql(transaction).execute(&mut connection).await.map_err(failed)?;
        let settings =
            sqlx::query_as::<_, (i32, String, Option<String>)>(SETTINGS).bind(format!("{}ms", timeout.as_millis()));
        let (pid, snapshot, began) = settings.bind(zone).fetch_one(&mut connection).await.map_err(failed)?;
        Ok((Self { connection: Some(connection), options: options.clone(), backend: Backend { pid, began } }, snapshot))
    }

    pub(super) fn get(&mut self) -> Result<&mut PgConnection, JobError> {
        self.connection.as_mut().ok_or_else(|| JobError::Retry(anyhow::anyhow!("the connection is closed")))
    }

    /// The normal end. Nothing was written, so a failure here means nothing.
    pub(super) async fn end(mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(stop(connection, self.options.clone(), self.backend.clone())));
        }
    }
}

/// Stops what the server does for `connection`, then closes it. The connection is held open until the server was
/// told: once it is closed, another client's process could get the same id.
async fn stop(connection: PgConnection, options: PgConnectOptions, backend: Backend) {
    let telling = async {
        let mut other = PgConnection::connect_with(&options).await?;
        let sql = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                   WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2";
        sqlx::query(sql).bind(backend.pid).bind(backend.began).execute(&mut other).await?;
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
