//! Reads from a SQLite file: one connection that cannot write, one read transaction.
//!
//! SQLite's driver runs every statement that a text holds, so `statement.rs` has already refused all but one that
//! reads. `query_only` and the read-only open are the second and third wall. Parameters are bound.

mod decode;

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt as _;
use lovage_core::Invalid;
use lovage_formats::{Column, Type};
use lovage_worker::{CancellationToken, JobError};
use sqlx::query::Query as SqlQuery;
use sqlx::sqlite::{SqliteArguments, SqliteColumn, SqliteConnectOptions, SqliteRow};
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Executor as _, SqlSafeStr as _, Sqlite, SqliteConnection,
    Statement as _, TypeInfo as _,
};
use tokio::time::Instant;

pub(super) use self::decode::Decoder;
use super::dataset::{ColumnOptions, Count, refuse_unknown};
use super::fault;
use super::params::{Bound, BoundValue, ParamType};
use super::pipeline::{BATCH, Batches, RECORD, Reading, Total, too_large};
use super::plan::Query;

/// Rows that the driver's thread may be ahead.
const ROWS_AHEAD: usize = 64;
/// Records of a batch.
const RECORDS: usize = 512;
/// How often a query looks whether it was cancelled, in instructions of SQLite's machine: some microseconds of work.
const INSTRUCTIONS: i32 = 10_000;

/// An open snapshot, ready to be read.
pub(super) struct Reader {
    connection: SqliteConnection,
    limits: Limits,
    sql: String,
    values: Vec<Bound>,
    columns: Vec<Column>,
    names: Vec<String>,
    described: Vec<lovage_artifacts::Column>,
    snapshot: String,
    total: Option<Total>,
}

impl Reader {
    /// Opens the file, takes the snapshot and lets SQLite check the statement. A cancelled token interrupts the query,
    /// also while it sorts and answers no rows.
    pub(super) async fn open(file: &Path, query: &Query, cancelled: CancellationToken) -> Result<Self, JobError> {
        let limits = Limits { source: query.source.clone(), timeout: query.timeout, cancelled };
        let failed = |error: sqlx::Error| limits.fault(&error);
        let mut connection = limits.connect(file).await.map_err(failed)?;
        // A transaction of SQLite sees one state from its first read on; the second statement is that read.
        connection.execute("BEGIN").await.map_err(failed)?;
        let version: i64 =
            sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut connection).await.map_err(failed)?;
        let schema: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let (sql, values) = fill(query);
        let prepared = (&mut connection).prepare(AssertSqlSafe(sql.as_str()).into_sql_str()).await.map_err(failed)?;
        let names = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        let (columns, described) = describe(prepared.columns(), query).map_err(fault::invalid)?;
        let snapshot = format!("data version {version}, {schema} schema entries");
        let mut reader = Self { connection, limits, sql, values, columns, names, described, snapshot, total: None };
        if query.count == Count::Exact {
            reader.total = Some(reader.count().await?);
        }
        Ok(reader)
    }

    /// What is to be known before the first record.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            columns: self.columns.clone(),
            names: self.names.clone(),
            described: self.described.clone(),
            engine: "sqlite",
            snapshot: self.snapshot.clone(),
            total: self.total,
        }
    }

    /// Turns what [`Self::read`] sends into values.
    pub(super) fn decoder(&self) -> Decoder {
        Decoder::new(self.columns.iter().map(|column| column.ty).collect())
    }

    /// Sends all records.
    pub(super) async fn read(mut self, mut batches: Batches<Vec<SqliteRow>>) -> Result<(), JobError> {
        let failed = |error: sqlx::Error| self.limits.fault(&error);
        {
            let mut rows = self.connection.fetch(bound(&self.sql, &self.values)?);
            let (mut batch, mut bytes, mut records) = (Vec::with_capacity(RECORDS), 0, 0);
            while let Some(row) = rows.try_next().await.map_err(failed)? {
                let size = decode::size(&row);
                bytes += size;
                records += 1;
                if size > RECORD {
                    return Err(too_large(records, size));
                }
                batch.push(row);
                if batch.len() == RECORDS || bytes >= BATCH {
                    batches.send(std::mem::replace(&mut batch, Vec::with_capacity(RECORDS))).await?;
                    bytes = 0;
                }
            }
            batches.send(batch).await?;
        }
        let _ = self.connection.close().await;
        batches.complete().await
    }

    async fn count(&mut self) -> Result<Total, JobError> {
        use sqlx::Row as _;
        let sql = format!("SELECT count(*) FROM ({}\n)", self.sql);
        let query = bound(&sql, &self.values)?;
        let row = self.connection.fetch_one(query).await.map_err(|error| self.limits.fault(&error))?;
        let rows: i64 = row.try_get(0).map_err(JobError::from)?;
        Ok(Total { rows: rows.unsigned_abs(), approximate: false })
    }
}

/// What ends a query early.
struct Limits {
    source: String,
    timeout: Duration,
    cancelled: CancellationToken,
}

impl Limits {
    /// Opens the file for reading. Queries are interrupted when the token is cancelled or the time is over, also while they
    /// sort and answer no rows.
    async fn connect(&self, file: &Path) -> Result<SqliteConnection, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(true)
            .create_if_missing(false)
            .pragma("query_only", "1")
            .busy_timeout(Duration::from_secs(30))
            .row_buffer_size(ROWS_AHEAD);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let (cancelled, deadline) = (self.cancelled.clone(), Instant::now().checked_add(self.timeout));
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(INSTRUCTIONS, move || {
            !cancelled.is_cancelled() && deadline.is_none_or(|deadline| Instant::now() < deadline)
        });
        drop(handle);
        Ok(connection)
    }

    fn fault(&self, error: &sqlx::Error) -> JobError {
        match fault::database(&self.source, error) {
            JobError::Cancelled if !self.cancelled.is_cancelled() => {
                let (source, timeout) = (&self.source, self.timeout);
                JobError::Retry(anyhow::anyhow!("source {source}: the query took longer than its timeout, {timeout:?}"))
            }
            other => other,
        }
    }
}

/// How many records the query answers, if it is to be counted.
pub(super) async fn count(file: &Path, query: &Query, cancelled: CancellationToken) -> Result<Option<Total>, JobError> {
    Ok(Reader::open(file, query, cancelled).await?.total)
}

/// The first value of the first record, which is a text.
pub(super) async fn first(
    file: &Path,
    query: &Query,
    cancelled: CancellationToken,
) -> Result<Option<String>, JobError> {
    use sqlx::Row as _;
    let limits = Limits { source: query.source.clone(), timeout: query.timeout, cancelled };
    let failed = |error: sqlx::Error| limits.fault(&error);
    let mut connection = limits.connect(file).await.map_err(failed)?;
    let (sql, values) = fill(query);
    let row = connection.fetch_optional(bound(&sql, &values)?).await.map_err(failed)?;
    let found = row.map(|row| row.try_get::<Option<String>, _>(0)).transpose().map_err(failed)?.flatten();
    let _ = connection.close().await;
    Ok(found)
}

/// The statement with a numbered place for each parameter's value, and the values.
fn fill(query: &Query) -> (String, Vec<Bound>) {
    let mut names: Vec<&str> = query.statement.placeholders().collect();
    names.sort_unstable();
    names.dedup();
    let place = |name: &str| names.binary_search(&name).map_or(0, |index| index + 1);
    let sql = query.statement.fill(|name| format!("?{}", place(name)));
    let null = || Bound { ty: ParamType::Text, list: false, value: BoundValue::Null };
    (sql, names.iter().map(|name| query.params.get(*name).cloned().unwrap_or_else(null)).collect())
}

/// The query with its values. Numbers are bound as numbers, so that they compare as such (a decimal as a float, because SQLite
/// has no other); instants as SQLite's own functions write them; a list is a JSON array, for
/// `IN (SELECT value FROM json_each(:name))`.
fn bound<'q>(sql: &'q str, values: &[Bound]) -> Result<SqlQuery<'q, Sqlite, SqliteArguments>, JobError> {
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for Bound { ty, value, .. } in values {
        query = match value {
            BoundValue::Null => query.bind(None::<String>),
            BoundValue::List(texts) => query.bind(json(*ty, texts)),
            BoundValue::One(text) => one(query, *ty, text).map_err(fault::invalid)?,
        };
    }
    Ok(query)
}

fn one<'q>(
    query: SqlQuery<'q, Sqlite, SqliteArguments>,
    ty: ParamType,
    text: &str,
) -> Result<SqlQuery<'q, Sqlite, SqliteArguments>, Invalid> {
    // Parameters were checked; the bounds of chunks come from the data, whose type is only declared.
    let wrong = |what| Invalid::new("value", format!("{text:?} is not {what}"), "declare the type that the column has");
    Ok(match ty {
        ParamType::Integer => query.bind(text.parse::<i64>().map_err(|_| wrong("an integer"))?),
        ParamType::Boolean => query.bind(i64::from(text == "true")),
        ParamType::Number => match text.parse::<i64>() {
            Ok(whole) => query.bind(whole),
            Err(_) => query.bind(text.parse::<f64>().map_err(|_| wrong("a number"))?),
        },
        ParamType::Timestamp => query.bind(text.trim_end_matches('Z').replacen('T', " ", 1)),
        ParamType::Text | ParamType::Date | ParamType::Uuid => query.bind(text.to_owned()),
    })
}

fn json(ty: ParamType, texts: &[String]) -> String {
    let plain = matches!(ty, ParamType::Integer | ParamType::Number | ParamType::Boolean);
    let quoted = |text: &String| if plain { text.clone() } else { serde_json::Value::from(text.as_str()).to_string() };
    format!("[{}]", texts.iter().map(quoted).collect::<Vec<_>>().join(","))
}

fn describe(columns: &[SqliteColumn], query: &Query) -> Result<(Vec<Column>, Vec<lovage_artifacts::Column>), Invalid> {
    refuse_unknown(&query.columns, columns)?;
    let mut described = Vec::with_capacity(columns.len());
    let columns = columns.iter().map(|column| {
        let said = query.columns.get(column.name());
        let label = said.and_then(|said| said.label.clone()).unwrap_or_else(|| column.name().to_owned());
        let declared = column.type_info().name();
        // SQLite's columns may hold any type; what is declared is all that is known before the rows.
        let type_name = if declared == "NULL" { "ANY" } else { declared };
        described.push(lovage_artifacts::Column { name: label.clone(), type_name: type_name.to_owned() });
        let ty = said.map(ColumnOptions::ty).transpose()?.flatten();
        Ok(Column::new(label, ty.unwrap_or_else(|| by_declaration(declared))))
    });
    Ok((columns.collect::<Result<_, Invalid>>()?, described))
}

/// What a column's values are if they keep to its declaration, which only strict tables enforce.
fn by_declaration(name: &str) -> Type {
    match name {
        "INTEGER" | "BIGINT" | "INT8" | "INT" => Type::Int64,
        "REAL" | "DOUBLE" => Type::Float64,
        "TEXT" => Type::Text,
        "BLOB" => Type::Bytes,
        _ => Type::Any,
    }
}
