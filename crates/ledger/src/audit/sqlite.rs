//! The audit trail in a SQLite file.

use std::collections::BTreeMap;

use lovage_core::Timestamp;
use lovage_core::audit::{Anchor, AuditEvent, Batch, BatchSeal, Head, Record, leaf};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row as _, query};
use uuid::Uuid;

use super::draft::{Draft, Known, NewBatch, NewRecord, tenants};
use super::prune::{self, Bounds, Pruned};
use super::range::Which;
use super::{Chain, Kept, LastAnchor};
use crate::error::LedgerError;

/// The columns of a record in the order of [`record`].
const COLUMNS: &str =
    "seq, hash, id, time, tenant, actor, action, target, ip, user_agent, request_id, before, after, metadata";
/// Rows of one statement.
const ROWS: usize = 64;

pub(super) async fn append(pool: &SqlitePool, events: &[AuditEvent]) -> Result<Vec<Kept>, LedgerError> {
    let failed = |error: sqlx::Error| LedgerError::of(&error);
    // The one lock of the file is every chain's lock.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let heads = heads(&mut transaction, &tenants(events)).await.map_err(failed)?;
    let known = known(&mut transaction, events).await.map_err(failed)?;
    let draft = Draft::new(events, &heads, &known);
    for records in draft.records.chunks(ROWS) {
        insert(&mut transaction, records).await.map_err(failed)?;
    }
    for batch in &draft.batches {
        seal(&mut transaction, batch).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(draft.kept)
}

async fn heads(connection: &mut SqliteConnection, tenants: &[&str]) -> Result<BTreeMap<String, Head>, sqlx::Error> {
    let mut heads = BTreeMap::new();
    for tenant in tenants {
        let sql = "SELECT seq, record_hash, batch_hash FROM audit_chains WHERE tenant = ?";
        if let Some(row) = query(sql).bind(*tenant).fetch_optional(&mut *connection).await? {
            heads.insert((*tenant).to_owned(), head(&row, 0)?);
        }
    }
    Ok(heads)
}

/// Those of the events that are there already.
async fn known(connection: &mut SqliteConnection, events: &[AuditEvent]) -> Result<Known, sqlx::Error> {
    let mut known = Known::new();
    for events in events.chunks(ROWS) {
        let mut sql =
            QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM audit_events WHERE (tenant, id) IN (VALUES "));
        for (index, event) in events.iter().enumerate() {
            sql.push(if index == 0 { "(" } else { ", (" });
            sql.push_bind(event.tenant.as_str()).push(", ").push_bind(event.id).push(")");
        }
        sql.push(")");
        for row in sql.build().fetch_all(&mut *connection).await? {
            let record = record(&row)?;
            let leaf = leaf(&record.event);
            known.insert((record.event.tenant, record.event.id), (record.seq, leaf));
        }
    }
    Ok(known)
}

async fn insert(connection: &mut SqliteConnection, records: &[NewRecord<'_>]) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new(format!("INSERT INTO audit_events ({COLUMNS}) "));
    sql.push_values(records, |mut row, NewRecord { event, seq, hash }| {
        row.push_bind(*seq as i64)
            .push_bind(hash.as_slice())
            .push_bind(event.id)
            .push_bind(event.time_ms)
            .push_bind(event.tenant.as_str())
            .push_bind(event.actor.as_str())
            .push_bind(event.action.as_str())
            .push_bind(event.target.as_deref())
            .push_bind(event.ip.as_deref())
            .push_bind(event.user_agent.as_deref())
            .push_bind(event.request_id.as_deref())
            .push_bind(event.before.as_deref())
            .push_bind(event.after.as_deref())
            .push_bind(event.metadata.as_deref());
    });
    sql.build().execute(connection).await.map(drop)
}

/// Writes a batch and moves its chain's head.
async fn seal(connection: &mut SqliteConnection, batch: &NewBatch<'_>) -> Result<(), sqlx::Error> {
    let NewBatch { tenant, seal, hash } = batch;
    let sql = "INSERT INTO audit_batches (tenant, first_seq, last_seq, root, record_hash, batch_hash, written_at)
               VALUES (?, ?, ?, ?, ?, ?, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
    let (first, last) = (seal.first as i64, seal.last as i64);
    let insert = query(sql).bind(*tenant).bind(first).bind(last).bind(seal.root.as_slice());
    insert.bind(seal.record.as_slice()).bind(hash.as_slice()).execute(&mut *connection).await?;
    let sql = "INSERT INTO audit_chains (tenant, seq, record_hash, batch_hash) VALUES (?, ?, ?, ?)
               ON CONFLICT (tenant) DO UPDATE SET seq = excluded.seq, record_hash = excluded.record_hash,
                   batch_hash = excluded.batch_hash";
    let upsert = query(sql).bind(*tenant).bind(last).bind(seal.record.as_slice()).bind(hash.as_slice());
    upsert.execute(connection).await.map(drop)
}

pub(super) async fn chains(pool: &SqlitePool, after: Option<&str>, limit: u32) -> Result<Vec<Chain>, LedgerError> {
    let sql = "SELECT tenant, seq, record_hash, batch_hash, pruned_seq FROM audit_chains
               WHERE ?1 IS NULL OR tenant > ?1 ORDER BY tenant LIMIT ?2";
    let rows = query(sql).bind(after).bind(limit).fetch_all(pool).await;
    rows.and_then(|rows| rows.iter().map(row_of_chain).collect()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn chain(pool: &SqlitePool, tenant: &str) -> Result<Option<Chain>, LedgerError> {
    let sql = "SELECT tenant, seq, record_hash, batch_hash, pruned_seq FROM audit_chains WHERE tenant = ?";
    let row = query(sql).bind(tenant).fetch_optional(pool).await;
    row.and_then(|row| row.as_ref().map(row_of_chain).transpose()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn records(
    pool: &SqlitePool,
    tenant: &str,
    (first, last): (u64, u64),
    limit: u32,
) -> Result<Vec<Record>, LedgerError> {
    let sql =
        format!("SELECT {COLUMNS} FROM audit_events WHERE tenant = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?");
    let found = query(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(bound(first)).bind(bound(last)).bind(limit);
    let rows = found.fetch_all(pool).await;
    rows.and_then(|rows| rows.iter().map(record).collect()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn batches(pool: &SqlitePool, tenant: &str, from: u64, limit: u32) -> Result<Vec<Batch>, LedgerError> {
    let sql = "SELECT first_seq, last_seq, root, record_hash, batch_hash, written_at
               FROM audit_batches WHERE tenant = ? AND first_seq >= ? ORDER BY first_seq LIMIT ?";
    let rows = query(sql).bind(tenant).bind(bound(from)).bind(limit).fetch_all(pool).await;
    rows.and_then(|rows| rows.iter().map(batch).collect()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn batch_at(pool: &SqlitePool, tenant: &str, which: Which) -> Result<Option<Batch>, LedgerError> {
    let (filter, order, bound) = match which {
        Which::Since(at) => ("written_at >= ?", "ASC", bound(at.as_millis())),
        Which::Before(at) => ("written_at < ?", "DESC", bound(at.as_millis())),
        Which::Below(seq) => ("first_seq < ?", "DESC", bound(seq)),
    };
    let sql = format!(
        "SELECT first_seq, last_seq, root, record_hash, batch_hash, written_at
         FROM audit_batches WHERE tenant = ? AND {filter} ORDER BY first_seq {order} LIMIT 1"
    );
    let row = query(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(bound).fetch_optional(pool).await;
    row.and_then(|row| row.as_ref().map(batch).transpose()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn last_anchor(pool: &SqlitePool) -> Result<LastAnchor, LedgerError> {
    let sql = "SELECT number, digest FROM audit_anchors ORDER BY number DESC LIMIT 1";
    let row = query(sql).fetch_optional(pool).await.map_err(|error| LedgerError::of(&error))?;
    let Some(row) = row else { return Ok(LastAnchor { number: 0, digest: [0; 32] }) };
    let last = seq(&row, 0).and_then(|number| Ok(LastAnchor { number, digest: digest(&row, 1)? }));
    last.map_err(|error| LedgerError::of(&error))
}

pub(super) async fn chains_to_anchor(pool: &SqlitePool, limit: u32) -> Result<Vec<Chain>, LedgerError> {
    let sql = "SELECT tenant, seq, record_hash, batch_hash, pruned_seq FROM audit_chains
               WHERE seq <> anchored_seq ORDER BY tenant LIMIT ?";
    let rows = query(sql).bind(limit).fetch_all(pool).await;
    rows.and_then(|rows| rows.iter().map(row_of_chain).collect()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn record_anchor(pool: &SqlitePool, anchor: &Anchor) -> Result<(), LedgerError> {
    let failed = |error: sqlx::Error| LedgerError::of(&error);
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let sql = "INSERT INTO audit_anchors (number, digest, made_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    let insert = query(sql).bind(bound(anchor.number)).bind(anchor.digest().to_vec());
    insert.bind(bound(anchor.made_at.0.as_millis())).execute(&mut *transaction).await.map_err(failed)?;
    for chain in &anchor.chains {
        let sql = "UPDATE audit_chains SET anchored_seq = ? WHERE tenant = ?";
        let update = query(sql).bind(bound(chain.seq)).bind(&chain.tenant);
        update.execute(&mut *transaction).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

pub(super) async fn prune(pool: &SqlitePool, tenant: &str, before: Timestamp) -> Result<Pruned, LedgerError> {
    let failed = |error: sqlx::Error| LedgerError::of(&error);
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let sql = "SELECT pruned_seq, anchored_seq FROM audit_chains WHERE tenant = ?";
    let row = query(sql).bind(tenant).fetch_optional(&mut *transaction).await.map_err(failed)?;
    let Some(row) = row else { return Ok(Pruned::default()) };
    let bounds = Bounds { pruned: seq(&row, 0).map_err(failed)?, anchored: seq(&row, 1).map_err(failed)? };
    let sql = "SELECT first_seq, last_seq, root, record_hash, batch_hash, written_at
               FROM audit_batches WHERE tenant = ? AND first_seq > ? ORDER BY first_seq LIMIT ?";
    let rows = query(sql).bind(tenant).bind(bound(bounds.pruned)).bind(prune::BATCHES);
    let rows = rows.fetch_all(&mut *transaction).await.map_err(failed)?;
    let batches = rows.iter().map(batch).collect::<Result<Vec<Batch>, _>>().map_err(failed)?;
    let step = prune::step(bounds, &batches, before);
    if step.last == bounds.pruned {
        return Ok(Pruned { unanchored: step.unanchored, ..Pruned::default() });
    }
    let sql = "DELETE FROM audit_events WHERE tenant = ? AND seq <= ?";
    let delete = query(sql).bind(tenant).bind(bound(step.last));
    let records = delete.execute(&mut *transaction).await.map_err(failed)?.rows_affected();
    let sql = "UPDATE audit_chains SET pruned_seq = ? WHERE tenant = ?";
    query(sql).bind(bound(step.last)).bind(tenant).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Pruned { records, last: step.last, unanchored: step.unanchored })
}

/// A number as the database has them.
fn bound(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn seq(row: &SqliteRow, index: usize) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i64, _>(index)? as u64)
}

/// A hash. What somebody has put there instead of one is as wrong as any other value.
fn digest(row: &SqliteRow, index: usize) -> Result<[u8; 32], sqlx::Error> {
    Ok(row.try_get::<&[u8], _>(index)?.try_into().unwrap_or_default())
}

fn row_of_chain(row: &SqliteRow) -> Result<Chain, sqlx::Error> {
    Ok(Chain { tenant: row.try_get(0)?, head: head(row, 1)?, pruned: seq(row, 4)? })
}

fn head(row: &SqliteRow, at: usize) -> Result<Head, sqlx::Error> {
    Ok(Head { seq: seq(row, at)?, record: digest(row, at + 1)?, batch: digest(row, at + 2)? })
}

fn batch(row: &SqliteRow) -> Result<Batch, sqlx::Error> {
    let seal = BatchSeal { first: seq(row, 0)?, last: seq(row, 1)?, root: digest(row, 2)?, record: digest(row, 3)? };
    Ok(Batch { seal, hash: digest(row, 4)?, written_at: Timestamp::from_millis(seq(row, 5)?) })
}

fn record(row: &SqliteRow) -> Result<Record, sqlx::Error> {
    let event = AuditEvent {
        id: row.try_get::<Uuid, _>(2)?,
        time_ms: row.try_get(3)?,
        tenant: row.try_get(4)?,
        actor: row.try_get(5)?,
        action: row.try_get(6)?,
        target: row.try_get(7)?,
        ip: row.try_get(8)?,
        user_agent: row.try_get(9)?,
        request_id: row.try_get(10)?,
        before: row.try_get(11)?,
        after: row.try_get(12)?,
        metadata: row.try_get(13)?,
    };
    Ok(Record { seq: seq(row, 0)?, hash: digest(row, 1)?, event })
}
