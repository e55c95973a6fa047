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

pub(super) use self::decode::Decoder;
use super::dataset::{ColumnOptions, Count};
use super::fault;
use super::params::{Bound, BoundValue, ParamType};
use super::pipeline::{Batches, Reading, Total};
use super::plan::Query;

/// Rows that the driver's thread may be ahead.
const ROWS_AHEAD: usize = 1024;
/// Records of a batch.
const RECORDS: usize = 512;
/// How often a query looks whether it was cancelled, in instructions of SQLite's machine: some microseconds of work.
const INSTRUCTIONS: i32 = 10_000;

/// An open snapshot, ready to be read.
pub(super) struct Reader {
    connection: SqliteConnection,
    source: String,
    sql: String,
    values: Vec<Bound>,
    columns: Vec<Column>,
    described: Vec<lovage_artifacts::Column>,
    snapshot: String,
    total: Option<Total>,
}

impl Reader {
    /// Opens the file, takes the snapshot and lets SQLite check the statement. A cancelled token interrupts the query,
    /// also while it sorts and answers no rows.
    pub(super) async fn open(file: &Path, query: &Query, cancelled: CancellationToken) -> Result<Self, JobError> {
        let failed = |error: sqlx::Error| fault::database(&query.source, &error);
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
        let (sql, values) = fill(query);
        let prepared = (&mut connection).prepare(AssertSqlSafe(sql.as_str()).into_sql_str()).await.map_err(failed)?;
        let (columns, described) = describe(prepared.columns(), query).map_err(fault::invalid)?;
        let snapshot = format!("data version {version}, {schema} schema entries");
        let source = query.source.clone();
        let mut reader = Self { connection, source, sql, values, columns, described, snapshot, total: None };
        if query.count == Count::Exact {
            reader.total = Some(reader.count().await.map_err(failed)?);
        }
        Ok(reader)
    }

    /// What is to be known before the first record.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            columns: self.columns.clone(),
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
        let failed = |error: sqlx::Error| fault::database(&self.source, &error);
        {
            let mut rows = self.connection.fetch(bound(&self.sql, &self.values));
            let mut batch = Vec::with_capacity(RECORDS);
            while let Some(row) = rows.try_next().await.map_err(failed)? {
                batch.push(row);
                if batch.len() == RECORDS {
                    batches.send(std::mem::replace(&mut batch, Vec::with_capacity(RECORDS))).await?;
                }
            }
            batches.send(batch).await?;
        }
        let _ = self.connection.close().await;
        batches.complete().await
    }

    async fn count(&mut self) -> Result<Total, sqlx::Error> {
        use sqlx::Row as _;
        let sql = format!("SELECT count(*) FROM ({}\n)", self.sql);
        let row = self.connection.fetch_one(bound(&sql, &self.values)).await?;
        let rows: i64 = row.try_get(0)?;
        Ok(Total { rows: rows.unsigned_abs(), approximate: false })
    }
}

/// The statement with a numbered place for each parameter's value, and the values.
fn fill(query: &Query) -> (String, Vec<Bound>) {
    let mut names: Vec<&str> = query.statement.placeholders().collect();
    names.sort_unstable();
    names.dedup();
    let place = |name: &str| names.binary_search(&name).map_or(0, |index| index + 1);
    let sql = query.statement.fill(|name| format!("?{}", place(name)));
    let null = || Bound { ty: ParamType::Text, value: BoundValue::Null };
    (sql, names.iter().map(|name| query.params.get(*name).cloned().unwrap_or_else(null)).collect())
}

/// The query with its values. Numbers are bound as numbers, so that they compare as such; a list is a JSON array, for
/// `IN (SELECT value FROM json_each(:name))`; the rest is text.
fn bound<'q>(sql: &'q str, values: &'q [Bound]) -> SqlQuery<'q, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for Bound { ty, value } in values {
        query = match (ty, value) {
            (_, BoundValue::Null) => query.bind(None::<String>),
            (_, BoundValue::List(texts)) => query.bind(json(*ty, texts)),
            (ParamType::Integer, BoundValue::One(text)) => query.bind(text.parse::<i64>().unwrap_or_default()),
            (ParamType::Boolean, BoundValue::One(text)) => query.bind(i64::from(text == "true")),
            (ParamType::Number, BoundValue::One(text)) => query.bind(text.parse::<f64>().unwrap_or_default()),
            (_, BoundValue::One(text)) => query.bind(text.clone()),
        };
    }
    query
}

fn json(ty: ParamType, texts: &[String]) -> String {
    let plain = matches!(ty, ParamType::Integer | ParamType::Number | ParamType::Boolean);
    let quoted = |text: &String| if plain { text.clone() } else { serde_json::Value::from(text.as_str()).to_string() };
    format!("[{}]", texts.iter().map(quoted).collect::<Vec<_>>().join(","))
}

fn describe(columns: &[SqliteColumn], query: &Query) -> Result<(Vec<Column>, Vec<lovage_artifacts::Column>), Invalid> {
    let known = |name: &String| columns.iter().any(|column| column.name() == name);
    if let Some(unknown) = query.columns.keys().find(|name| !known(name)) {
        let help = "use the names that the query answers";
        return Err(Invalid::new(format!("columns.{unknown}"), "is not a column of the query", help));
    }
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
