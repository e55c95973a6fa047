//! Reads from a SQLite file: one connection that cannot write, one read transaction.
//!
//! SQLite's driver runs every statement that a text holds, so `statement.rs` has already refused all but one that
//! reads. `query_only` and the read-only open are the second and third wall.

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt as _;
use lovage_artifacts::Column;
use lovage_worker::{CancellationToken, JobError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow, SqliteValueRef};
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Decode, Executor as _, Row as _, SqlSafeStr as _, Sqlite,
    SqliteConnection, Statement as _, TypeInfo as _, ValueRef as _,
};

use super::csv::{self, Cell};
use super::fault;
use super::sink::Sink;
use super::statement::Statement;

/// Rows that the driver's thread may be ahead.
const ROWS_AHEAD: usize = 1024;
/// How often a query looks whether it was cancelled, in instructions of SQLite's machine: some microseconds of work.
const INSTRUCTIONS: i32 = 10_000;

/// An open snapshot, ready to be read.
pub(super) struct Reader {
    connection: SqliteConnection,
    source: String,
    statement: Statement,
    pub(super) columns: Vec<Column>,
    pub(super) snapshot: String,
}

impl Reader {
    /// Opens the file, takes the snapshot and lets SQLite check the statement. A cancelled token interrupts the query,
    /// also while it sorts and answers no rows.
    pub(super) async fn open(
        source: &str,
        file: &Path,
        statement: Statement,
        cancelled: CancellationToken,
    ) -> Result<Self, JobError> {
        let failed = |error: sqlx::Error| fault::database(source, &error);
        let options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(true)
            .create_if_missing(false)
            .pragma("query_only", "1")
            .busy_timeout(Duration::from_secs(30))
            .row_buffer_size(ROWS_AHEAD);
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
        let mut handle = connection.lock_handle().await.map_err(failed)?;
        handle.set_progress_handler(INSTRUCTIONS, move || !cancelled.is_cancelled());
        drop(handle);
        // A transaction of SQLite sees one state from its first read on; the second statement is that read.
        connection.execute("BEGIN").await.map_err(failed)?;
        let version: i64 =
            sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut connection).await.map_err(failed)?;
        let schema: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let sql = AssertSqlSafe(statement.as_str()).into_sql_str();
        let prepared = (&mut connection).prepare(sql).await.map_err(failed)?;
        let columns = prepared.columns().iter().map(column).collect();
        let snapshot = format!("data version {version}, {schema} schema entries");
        Ok(Self { connection, source: source.to_owned(), statement, columns, snapshot })
    }

    /// Streams the header and all records into the sink.
    pub(super) async fn read(mut self, mut sink: Sink) -> Result<(), JobError> {
        let names = self.columns.iter().map(|column| Cell::Text(&column.name));
        csv::record(sink.buffer(), names);
        let failed = |error: sqlx::Error| fault::database(&self.source, &error);
        {
            let sql = AssertSqlSafe(self.statement.as_str());
            let mut rows = self.connection.fetch(sqlx::query(sql).persistent(false));
            let mut number = 0_u64;
            while let Some(row) = rows.try_next().await.map_err(failed)? {
                number += 1;
                push(sink.buffer(), &row, number)?;
                sink.end_row().await?;
            }
        }
        sink.flush().await?;
        let _ = self.connection.close().await;
        Ok(())
    }
}

fn column(column: &sqlx::sqlite::SqliteColumn) -> Column {
    // SQLite's columns may hold any type; what is declared is all that is known before the rows.
    let declared = column.type_info().name();
    let type_name = if declared == "NULL" { "ANY" } else { declared };
    Column { name: column.name().to_owned(), type_name: type_name.to_owned() }
}

fn push(out: &mut Vec<u8>, row: &SqliteRow, number: u64) -> Result<(), JobError> {
    for index in 0..row.len() {
        if index > 0 {
            out.push(b',');
        }
        let value = row.try_get_raw(index).map_err(JobError::from)?;
        let cell = cell(value).map_err(|problem| {
            let name = row.column(index).name();
            JobError::Discard(anyhow::anyhow!("column {name:?} of record {number}: {problem}"))
        })?;
        csv::push(out, cell);
    }
    csv::end(out);
    Ok(())
}

fn cell(value: SqliteValueRef<'_>) -> Result<Cell<'_>, String> {
    // Each value has a type of its own, whatever its column declares.
    let kind = Kind::of(value.type_info().name());
    match kind {
        _ if value.is_null() => Ok(Cell::Null),
        Kind::Integer => decode(value).map(Cell::Integer),
        Kind::Real => decode(value).map(Cell::Real),
        Kind::Blob => decode(value).map(Cell::Blob),
        Kind::Text => {
            let help = "the text is not valid UTF-8; export it as hex(column) or CAST(column AS BLOB)";
            decode(value).map(Cell::Text).map_err(|error| format!("{help} ({error})"))
        }
    }
}

fn decode<'r, T: Decode<'r, Sqlite>>(value: SqliteValueRef<'r>) -> Result<T, String> {
    T::decode(value).map_err(|error| error.to_string())
}

#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Real,
    Text,
    Blob,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "INTEGER" => Self::Integer,
            "REAL" => Self::Real,
            "TEXT" => Self::Text,
            _ => Self::Blob,
        }
    }
}
