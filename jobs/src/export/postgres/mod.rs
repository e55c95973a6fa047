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
use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqlSafeStr as _, Statement as _};

use self::columns::Layout;
pub(super) use self::decode::Decoder;
use self::session::Session;
use super::dataset::Count;
use super::fault;
use super::params::{Bound, BoundValue};
use super::pipeline::{Batches, Reading, Total};
use super::plan::{File, Query};

/// Records and bytes of a batch: large enough that handing it over costs nothing, small enough that progress and
/// cancellation are noticed at once.
const RECORDS: usize = 512;
const BYTES: usize = 256 * 1024;

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
        let zone = file.options.zone.iana_name().unwrap_or("UTC");
        let (mut session, snapshot) = Session::begin(source, options, query.timeout, zone).await?;
        let sql = fill(&mut session, query).await?;
        let text = AssertSqlSafe(sql.as_str()).into_sql_str();
        let prepared = session.get()?.prepare(text).await.map_err(failed)?;
        if prepared.columns().is_empty() {
            let help = "let the query answer at least one column";
            return Err(fault::invalid(Invalid::new("sql", "has no columns", help)));
        }
        let typmods = columns::typmods(session.get()?, prepared.columns()).await.map_err(failed)?;
        let layout = Layout::new(prepared.columns(), &typmods, &query.columns, file.format).map_err(fault::invalid)?;
        let total = total(&mut session, query.count, &sql).await.map_err(failed)?;
        let copy = format!("COPY ({}\n) TO STDOUT (FORMAT binary)", layout.select(&sql));
        Ok(Self { session, source: source.to_owned(), copy, layout, snapshot, total })
    }

    /// What is to be known before the first record.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            columns: self.layout.columns.clone(),
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
            let (mut batch, mut bytes) = (Vec::with_capacity(RECORDS), 0);
            while let Some(message) = messages.try_next().await.map_err(failed)? {
                bytes += message.len();
                batch.push(message);
                if batch.len() == RECORDS || bytes >= BYTES {
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

/// The statement with its parameters' values in it. The server quotes them, because `COPY` binds none.
async fn fill(session: &mut Session, query: &Query) -> Result<String, JobError> {
    let failed = |error: sqlx::Error| fault::database(&query.source, &error);
    let mut quoted = Vec::new();
    for name in query.statement.placeholders() {
        let Some(bound) = query.params.get(name) else {
            let help = "declare the parameter in the dataset";
            return Err(fault::invalid(Invalid::new("sql", format!("uses :{name}, which has no value"), help)));
        };
        quoted.push(literal(session, bound).await.map_err(failed)?);
    }
    let mut quoted = quoted.into_iter();
    Ok(query.statement.fill(|_| quoted.next().unwrap_or_default()))
}

/// The value as an expression of SQL.
async fn literal(session: &mut Session, bound: &Bound) -> Result<String, sqlx::Error> {
    let ty = bound.ty.postgres();
    let (texts, list) = match &bound.value {
        BoundValue::Null => return Ok(format!("(NULL::{ty})")),
        BoundValue::One(text) => (std::slice::from_ref(text), false),
        BoundValue::List(texts) => (texts.as_slice(), true),
    };
    let sql = "SELECT format('%L', value) FROM unnest($1::text[]) WITH ORDINALITY AS t(value, place) ORDER BY place";
    let connection = session.connection()?;
    let literals: Vec<String> = sqlx::query_scalar(sql).bind(texts).fetch_all(connection).await?;
    if list {
        return Ok(format!("(ARRAY[{}]::{ty}[])", literals.join(", ")));
    }
    Ok(format!("({}::{ty})", literals.concat()))
}

/// How many records will come, as far as it is to be found out.
async fn total(session: &mut Session, count: Count, sql: &str) -> Result<Option<Total>, sqlx::Error> {
    let connection = session.connection()?;
    match count {
        Count::None => Ok(None),
        Count::Exact => {
            let sql = AssertSqlSafe(format!("SELECT count(*) FROM ({sql}\n) AS counted"));
            let rows: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
            Ok(Some(Total { rows: rows.unsigned_abs(), approximate: false }))
        }
        Count::Estimate => {
            let sql = AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) {sql}"));
            let row = sqlx::raw_sql(sql).fetch_one(connection).await?;
            let plan: serde_json::Value =
                serde_json::from_str(row.try_get_unchecked::<&str, _>(0)?).unwrap_or_default();
            let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_u64);
            Ok(rows.map(|rows| Total { rows, approximate: true }))
        }
    }
}
