//! Reads from Postgres: one connection, one read-only snapshot, `COPY … (FORMAT binary)` to this process.
//!
//! The query is text of a configuration or of a job's arguments, and `COPY (…) TO STDOUT` goes over the simple protocol,
//! which would run several statements. So the server prepares the text first, by the extended protocol: it accepts one
//! whole statement or nothing. A text that is a whole statement has its parentheses, quotes and comments closed, so it
//! cannot reach beyond the parentheses it is then put between (a last line comment ends at the line break in front of
//! the closing one). Preparing gives the columns, too. The transaction is read-only whatever the statement calls; what it
//! may read is the business of the source's user.

mod columns;
mod decode;
mod session;

use bytes::Bytes;
use futures::TryStreamExt as _;
use lovage_core::Invalid;
use lovage_worker::JobError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _, SqlSafeStr as _, Statement as _};

use self::columns::Layout;
pub(super) use self::decode::Decoder;
use self::session::Session;
use super::dataset::Count;
use super::fault;
use super::params::{Bound, BoundValue};
use super::pipeline::{BATCH, Batches, RECORD, Reading, Total, too_large};
use super::plan::{File, Query};

/// Records of a batch.
const RECORDS: usize = 512;

/// An open snapshot, ready to be read.
pub(super) struct Reader {
    session: Session,
    source: String,
    copy: String,
    layout: Layout,
    snapshot: String,
    total: Option<Total>,
}

impl Reader {
    /// Connects, takes the snapshot and lets the server check the statement.
    pub(super) async fn open(options: &PgConnectOptions, query: &Query, file: &File) -> Result<Self, JobError> {
        let source = query.source.as_str();
        let failed = |error: sqlx::Error| fault::database(source, &error);
        let (mut session, snapshot) = Session::begin(source, options, query.timeout, zone(file)).await?;
        let sql = fill(&mut session, query).await?;
        let text = AssertSqlSafe(sql.as_str()).into_sql_str();
        let prepared = session.get()?.prepare(text).await.map_err(failed)?;
        if prepared.columns().is_empty() {
            let help = "let the query answer at least one column";
            return Err(fault::invalid(Invalid::new("sql", "has no columns", help)));
        }
        let typmods = columns::typmods(session.get()?, prepared.columns()).await.map_err(failed)?;
        let layout = Layout::new(prepared.columns(), &typmods, (&query.columns, query.key.as_deref()), file)
            .map_err(fault::invalid)?;
        let total = total(session.get()?, query.count, &sql).await.map_err(failed)?;
        let copy = format!("COPY ({}\n) TO STDOUT (FORMAT binary)", layout.select(&sql));
        Ok(Self { session, source: source.to_owned(), copy, layout, snapshot, total })
    }

    /// What is to be known before the first record.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            columns: self.layout.columns.clone(),
            names: self.layout.names.clone(),
            described: self.layout.described.clone(),
            engine: "postgres",
            snapshot: self.snapshot.clone(),
            total: self.total,
        }
    }

    /// Turns what [`Self::read`] sends into values.
    pub(super) fn decoder(&self) -> Decoder {
        Decoder::new(&self.layout)
    }

    /// Sends all records. The server sends one message a record.
    pub(super) async fn read(mut self, mut batches: Batches<Vec<Bytes>>) -> Result<(), JobError> {
        let source = std::mem::take(&mut self.source);
        let failed = |error: sqlx::Error| fault::database(&source, &error);
        {
            let mut messages = self.session.get()?.copy_out_raw(&self.copy).await.map_err(failed)?;
            let (mut batch, mut bytes, mut records) = (Vec::with_capacity(RECORDS), 0, 0);
            while let Some(message) = messages.try_next().await.map_err(failed)? {
                bytes += message.len();
                records += 1;
                if message.len() > RECORD {
                    return Err(too_large(records, message.len()));
                }
                batch.push(message);
                if batch.len() == RECORDS || bytes >= BATCH {
                    batches.send(std::mem::replace(&mut batch, Vec::with_capacity(RECORDS))).await?;
                    bytes = 0;
                }
            }
            batches.send(batch).await?;
        }
        self.session.end().await;
        batches.complete().await
    }
}

/// How many records the query answers, as far as it is to be found out.
pub(super) async fn count(options: &PgConnectOptions, query: &Query, file: &File) -> Result<Option<Total>, JobError> {
    let reader = Reader::open(options, query, file).await?;
    let total = reader.total;
    reader.session.end().await;
    Ok(total)
}

fn zone(file: &File) -> &str {
    file.options.zone.iana_name().unwrap_or("UTC")
}

/// The first value of the first record, which is a text.
pub(super) async fn first(options: &PgConnectOptions, query: &Query, file: &File) -> Result<Option<String>, JobError> {
    let failed = |error: sqlx::Error| fault::database(&query.source, &error);
    let (mut session, _) = Session::begin(&query.source, options, query.timeout, zone(file)).await?;
    let sql = AssertSqlSafe(fill(&mut session, query).await?);
    let found = sqlx::query_scalar::<_, Option<String>>(sql).persistent(false).fetch_optional(session.get()?).await;
    let found = found.map_err(failed)?.flatten();
    session.end().await;
    Ok(found)
}

/// The statement with its parameters' values in it. The server quotes them, all in one call, because `COPY` binds none.
async fn fill(session: &mut Session, query: &Query) -> Result<String, JobError> {
    let names: Vec<&str> = query.statement.placeholders().collect();
    if names.is_empty() {
        return Ok(query.statement.as_str().to_owned());
    }
    let texts: Vec<&String> = names.iter().flat_map(|name| texts(query.params.get(*name))).collect();
    let sql = "SELECT format('%L', value) FROM unnest($1::text[]) WITH ORDINALITY AS t(value, place) ORDER BY place";
    let quoted = sqlx::query_scalar::<_, String>(sql).bind(texts).fetch_all(session.get()?).await;
    let mut quoted = quoted.map_err(|error| fault::database(&query.source, &error))?.into_iter();
    Ok(query.statement.fill(|name| expression(query.params.get(name), &mut quoted)))
}

/// The texts of a value.
fn texts(bound: Option<&Bound>) -> &[String] {
    match bound.map(|bound| &bound.value) {
        None | Some(BoundValue::Null) => &[],
        Some(BoundValue::One(text)) => std::slice::from_ref(text),
        Some(BoundValue::List(texts)) => texts,
    }
}

/// The value as an expression of SQL, with its texts as the server quoted them. Every placeholder has a value: datasets are
/// checked for that when they are configured.
fn expression(bound: Option<&Bound>, quoted: &mut impl Iterator<Item = String>) -> String {
    let Some(bound) = bound else { return "NULL".to_owned() };
    let ty = bound.ty.postgres();
    let list = if bound.list { "[]" } else { "" };
    match &bound.value {
        BoundValue::Null => format!("(NULL::{ty}{list})"),
        BoundValue::One(_) => format!("({}::{ty})", quoted.next().unwrap_or_default()),
        BoundValue::List(texts) => {
            let quoted: Vec<String> = quoted.take(texts.len()).collect();
            format!("(ARRAY[{}]::{ty}[])", quoted.join(", "))
        }
    }
}

/// How many records will come, as far as it is to be found out.
async fn total(connection: &mut PgConnection, count: Count, sql: &str) -> Result<Option<Total>, sqlx::Error> {
    match count {
        Count::None => Ok(None),
        Count::Exact => {
            let sql = AssertSqlSafe(format!("SELECT count(*) FROM ({sql}\n) AS counted"));
            let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
            Ok(Some(Total { rows: rows.unsigned_abs(), approximate: false }))
        }
        Count::Estimate => {
            let sql = AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) {sql}"));
            let row = sqlx::raw_sql(sql).fetch_one(&mut *connection).await?;
            let plan: serde_json::Value =
                serde_json::from_str(row.try_get_unchecked::<&str, _>(0)?).unwrap_or_default();
            let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_u64);
            Ok(rows.map(|rows| Total { rows, approximate: true }))
        }
    }
}
