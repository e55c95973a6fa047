//! The audit trail in PostgreSQL.

use std::collections::BTreeMap;

use lovage_core::Timestamp;
use lovage_core::audit::{Anchor, AuditEvent, Batch, BatchSeal, Head, Record, leaf};
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Row as _, query};
use uuid::Uuid;

use super::draft::{Draft, Known, NewBatch, NewRecord, repeats, tenants};
use super::prune::{self, Bounds, Pruned};
use super::range::Which;
use super::{Chain, Kept, LastAnchor};
use crate::error::{LedgerError, is_collision};

/// The columns of a record in the order of [`record`]; an instant as milliseconds.
const COLUMNS: &str = "seq, hash, id, (round(extract(epoch FROM time) * 1000))::bigint, tenant, actor, action, target, ip, \
                       user_agent, request_id, before::text, after::text, metadata::text";
/// How often a commit is tried again that collided with another one.
const COLLISIONS: u32 = 5;
/// The constraint that keeps an id once a tenant, as PostgreSQL has named it.
const UNIQUE_ID: &str = "audit_events_tenant_id_key";

pub(super) async fn append(pool: &PgPool, events: &[AuditEvent]) -> Result<Vec<Kept>, LedgerError> {
    // Nearly always nothing is there already, which the insert itself finds out; only if it does, all is looked up.
    let mut careful = repeats(events);
    let mut collisions = 0;
    loop {
        match attempt(pool, events, careful).await {
            Ok(Some(kept)) => return Ok(kept),
            Ok(None) if careful => {
                return Err(LedgerError::Unavailable("events were added behind the lock of their chain".to_owned()));
            }
            Ok(None) => careful = true,
            // Chains that are made at the same time by several may be locked in another order.
            Err(error) if is_collision(&error) && collisions < COLLISIONS => collisions += 1,
            Err(error) => return Err(LedgerError::of(&error)),
        }
    }
}

/// One transaction; nothing is written and answered if an id is there already that was not looked for.
async fn attempt(pool: &PgPool, events: &[AuditEvent], careful: bool) -> Result<Option<Vec<Kept>>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let heads = lock(&mut transaction, &tenants(events)).await?;
    let known = if careful { known(&mut transaction, events).await? } else { Known::new() };
    let draft = Draft::new(events, &heads, &known);
    if !insert(&mut transaction, &draft.records).await? {
        transaction.rollback().await?;
        return Ok(None);
    }
    seal(&mut transaction, &draft.batches).await?;
    transaction.commit().await?;
    Ok(Some(draft.kept))
}

/// Locks the chains and answers where they end; makes those that are not there.
async fn lock(connection: &mut PgConnection, tenants: &[&str]) -> Result<BTreeMap<String, Head>, sqlx::Error> {
    let sql = "SELECT tenant, seq, record_hash, batch_hash FROM lovage.audit_chains
               WHERE tenant = ANY($1) ORDER BY tenant FOR UPDATE";
    let mut rows = query(sql).bind(tenants).fetch_all(&mut *connection).await?;
    if rows.len() < tenants.len() {
        let heads: Vec<Head> = tenants.iter().map(|tenant| Head::before_first(tenant)).collect();
        let records: Vec<&[u8]> = heads.iter().map(|head| head.record.as_slice()).collect();
        let batches: Vec<&[u8]> = heads.iter().map(|head| head.batch.as_slice()).collect();
        query(
            "INSERT INTO lovage.audit_chains (tenant, seq, record_hash, batch_hash)
             SELECT tenant, 0, record_hash, batch_hash FROM unnest($1::text[], $2::bytea[], $3::bytea[])
                 AS new (tenant, record_hash, batch_hash)
             ORDER BY tenant
             ON CONFLICT DO NOTHING",
        )
        .bind(tenants)
        .bind(records)
        .bind(batches)
        .execute(&mut *connection)
        .await?;
        rows = query(sql).bind(tenants).fetch_all(connection).await?;
    }
    rows.iter().map(|row| Ok((row.try_get(0)?, head(row, 1)?))).collect()
}

/// Those of the events that are there already.
async fn known(connection: &mut PgConnection, events: &[AuditEvent]) -> Result<Known, sqlx::Error> {
    let tenants: Vec<&str> = events.iter().map(|event| event.tenant.as_str()).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let sql = format!(
        "SELECT {COLUMNS} FROM lovage.audit_events
         JOIN unnest($1::text[], $2::uuid[]) AS wanted (wanted_tenant, wanted_id) ON tenant = wanted_tenant AND id = wanted_id"
    );
    let rows = query(sqlx::AssertSqlSafe(sql)).bind(tenants).bind(ids).fetch_all(connection).await?;
    let records = rows.iter().map(record).collect::<Result<Vec<Record>, _>>()?;
    Ok(records
        .into_iter()
        .map(|record| ((record.event.tenant.clone(), record.event.id), (record.seq, leaf(&record.event))))
        .collect())
}

/// Writes records; answers whether it could, or an id of them is there already, after which the transaction can only be rolled
/// back. That is found by the violated constraint and not with ON CONFLICT DO NOTHING, which makes every row dearer by a fifth to a
/// quarter, the many that are new as well (`examples/chain_cost.rs`).
async fn insert(connection: &mut PgConnection, records: &[NewRecord<'_>]) -> Result<bool, sqlx::Error> {
    fn all<'a, T>(records: &[NewRecord<'a>], of: impl Fn(&'a AuditEvent) -> T) -> Vec<T> {
        records.iter().map(|record| of(record.event)).collect()
    }
    let inserted = query(
        "INSERT INTO lovage.audit_events (tenant, seq, hash, id, time, actor, action, target, ip, user_agent, request_id,
             before, after, metadata)
         SELECT tenant, seq, hash, id, to_timestamp(time / 1000.0::float8), actor, action, target, ip, user_agent,
             request_id, before::json, after::json, metadata::json
         FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::text[],
             $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
             AS new (tenant, seq, hash, id, time, actor, action, target, ip, user_agent, request_id, before, after, metadata)",
    )
    .bind(all(records, |event| event.tenant.as_str()))
    .bind(records.iter().map(|record| record.seq as i64).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.hash.as_slice()).collect::<Vec<_>>())
    .bind(all(records, |event| event.id))
    .bind(all(records, |event| event.time_ms))
    .bind(all(records, |event| event.actor.as_str()))
    .bind(all(records, |event| event.action.as_str()))
    .bind(all(records, |event| event.target.as_deref()))
    .bind(all(records, |event| event.ip.as_deref()))
    .bind(all(records, |event| event.user_agent.as_deref()))
    .bind(all(records, |event| event.request_id.as_deref()))
    .bind(all(records, |event| event.before.as_deref()))
    .bind(all(records, |event| event.after.as_deref()))
    .bind(all(records, |event| event.metadata.as_deref()))
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.constraint() == Some(UNIQUE_ID) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes batches and moves the heads.
async fn seal(connection: &mut PgConnection, batches: &[NewBatch<'_>]) -> Result<(), sqlx::Error> {
    query(
        "WITH new AS (
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[])
                 AS new (tenant, first_seq, last_seq, root, record_hash, batch_hash)
         ), written AS (
             INSERT INTO lovage.audit_batches (tenant, first_seq, last_seq, root, record_hash, batch_hash)
             SELECT tenant, first_seq, last_seq, root, record_hash, batch_hash FROM new
         )
         UPDATE lovage.audit_chains SET seq = new.last_seq, record_hash = new.record_hash, batch_hash = new.batch_hash
         FROM new WHERE audit_chains.tenant = new.tenant",
    )
    .bind(batches.iter().map(|batch| batch.tenant).collect::<Vec<_>>())
    .bind(batches.iter().map(|batch| batch.seal.first as i64).collect::<Vec<_>>())
    .bind(batches.iter().map(|batch| batch.seal.last as i64).collect::<Vec<_>>())
    .bind(batches.iter().map(|batch| batch.seal.root.as_slice()).collect::<Vec<_>>())
    .bind(batches.iter().map(|batch| batch.seal.record.as_slice()).collect::<Vec<_>>())
    .bind(batches.iter().map(|batch| batch.hash.as_slice()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

pub(super) async fn chains(pool: &PgPool, after: Option<&str>, limit: u32) -> Result<Vec<Chain>, LedgerError> {
    let sql = "SELECT tenant, seq, record_hash, batch_hash, pruned_seq FROM lovage.audit_chains
               WHERE $1::text IS NULL OR tenant > $1 ORDER BY tenant LIMIT $2";
    let rows = query(sql).bind(after).bind(i64::from(limit)).fetch_all(pool).await;
    rows.and_then(|rows| rows.iter().map(row_of_chain).collect()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn chain(pool: &PgPool, tenant: &str) -> Result<Option<Chain>, LedgerError> {
    let sql = "SELECT tenant, seq, record_hash, batch_hash, pruned_seq FROM lovage.audit_chains WHERE tenant = $1";
    let row = query(sql).bind(tenant).fetch_optional(pool).await;
    row.and_then(|row| row.as_ref().map(row_of_chain).transpose()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn records(
    pool: &PgPool,
    tenant: &str,
    (first, last): (u64, u64),
    limit: u32,
) -> Result<Vec<Record>, LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM lovage.audit_events WHERE tenant = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq LIMIT $4"
    );
    let found =
        query(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(bound(first)).bind(bound(last)).bind(i64::from(limit));
    let rows = found.fetch_all(pool).await;
    rows.and_then(|rows| rows.iter().map(record).collect()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn batches(pool: &PgPool, tenant: &str, from: u64, limit: u32) -> Result<Vec<Batch>, LedgerError> {
    let sql = "SELECT first_seq, last_seq, root, record_hash, batch_hash,
                   (round(extract(epoch FROM written_at) * 1000))::bigint
               FROM lovage.audit_batches WHERE tenant = $1 AND first_seq >= $2 ORDER BY first_seq LIMIT $3";
    let rows = query(sql).bind(tenant).bind(bound(from)).bind(i64::from(limit)).fetch_all(pool).await;
    rows.and_then(|rows| rows.iter().map(batch).collect()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn batch_at(pool: &PgPool, tenant: &str, which: Which) -> Result<Option<Batch>, LedgerError> {
    // Times are compared as they are shown.
    let written_at = "(round(extract(epoch FROM written_at) * 1000))::bigint";
    let (filter, order, bound) = match which {
        Which::Since(at) => (format!("{written_at} >= $2"), "ASC", bound(at.as_millis())),
        Which::Before(at) => (format!("{written_at} < $2"), "DESC", bound(at.as_millis())),
        Which::Below(seq) => ("first_seq < $2".to_owned(), "DESC", bound(seq)),
    };
    let sql = format!(
        "SELECT first_seq, last_seq, root, record_hash, batch_hash, {written_at}
         FROM lovage.audit_batches WHERE tenant = $1 AND {filter} ORDER BY first_seq {order} LIMIT 1"
    );
    let row = query(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(bound).fetch_optional(pool).await;
    row.and_then(|row| row.as_ref().map(batch).transpose()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn last_anchor(pool: &PgPool) -> Result<LastAnchor, LedgerError> {
    let sql = "SELECT number, digest FROM lovage.audit_anchors ORDER BY number DESC LIMIT 1";
    let row = query(sql).fetch_optional(pool).await.map_err(|error| LedgerError::of(&error))?;
    let Some(row) = row else { return Ok(LastAnchor { number: 0, digest: [0; 32] }) };
    let last = seq(&row, 0).and_then(|number| Ok(LastAnchor { number, digest: digest(&row, 1)? }));
    last.map_err(|error| LedgerError::of(&error))
}

pub(super) async fn chains_to_anchor(pool: &PgPool, limit: u32) -> Result<Vec<Chain>, LedgerError> {
    let sql = "SELECT tenant, seq, record_hash, batch_hash, pruned_seq FROM lovage.audit_chains
               WHERE seq <> anchored_seq ORDER BY tenant LIMIT $1";
    let rows = query(sql).bind(i64::from(limit)).fetch_all(pool).await;
    rows.and_then(|rows| rows.iter().map(row_of_chain).collect()).map_err(|error| LedgerError::of(&error))
}

pub(super) async fn record_anchor(pool: &PgPool, anchor: &Anchor) -> Result<(), LedgerError> {
    let failed = |error: sqlx::Error| LedgerError::of(&error);
    let mut transaction = pool.begin().await.map_err(failed)?;
    let tenants: Vec<&str> = anchor.chains.iter().map(|chain| chain.tenant.as_str()).collect();
    // In the order in which everybody locks chains.
    let sql = "SELECT 1 FROM lovage.audit_chains WHERE tenant = ANY($1) ORDER BY tenant FOR UPDATE";
    query(sql).bind(&tenants).execute(&mut *transaction).await.map_err(failed)?;
    let sql =
        "INSERT INTO lovage.audit_anchors (number, digest, made_at) VALUES ($1, $2, to_timestamp($3 / 1000.0::float8))
               ON CONFLICT DO NOTHING";
    let insert = query(sql).bind(bound(anchor.number)).bind(anchor.digest().to_vec());
    insert.bind(bound(anchor.made_at.0.as_millis())).execute(&mut *transaction).await.map_err(failed)?;
    let seqs: Vec<i64> = anchor.chains.iter().map(|chain| bound(chain.seq)).collect();
    let sql = "UPDATE lovage.audit_chains SET anchored_seq = seen.seq
               FROM unnest($1::text[], $2::bigint[]) AS seen (tenant, seq) WHERE audit_chains.tenant = seen.tenant";
    query(sql).bind(tenants).bind(seqs).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

pub(super) async fn prune(pool: &PgPool, tenant: &str, before: Timestamp) -> Result<Pruned, LedgerError> {
    let failed = |error: sqlx::Error| LedgerError::of(&error);
    let mut transaction = pool.begin().await.map_err(failed)?;
    let sql = "SELECT pruned_seq, anchored_seq FROM lovage.audit_chains WHERE tenant = $1 FOR UPDATE";
    let row = query(sql).bind(tenant).fetch_optional(&mut *transaction).await.map_err(failed)?;
    let Some(row) = row else { return Ok(Pruned::default()) };
    let bounds = Bounds { pruned: seq(&row, 0).map_err(failed)?, anchored: seq(&row, 1).map_err(failed)? };
    let sql = "SELECT first_seq, last_seq, root, record_hash, batch_hash, (round(extract(epoch FROM written_at) * 1000))::bigint
               FROM lovage.audit_batches WHERE tenant = $1 AND first_seq > $2 ORDER BY first_seq LIMIT $3";
    let rows = query(sql).bind(tenant).bind(bound(bounds.pruned)).bind(i64::from(prune::BATCHES));
    let rows = rows.fetch_all(&mut *transaction).await.map_err(failed)?;
    let batches = rows.iter().map(batch).collect::<Result<Vec<Batch>, _>>().map_err(failed)?;
    let step = prune::step(bounds, &batches, before);
    if step.last == bounds.pruned {
        return Ok(Pruned { unanchored: step.unanchored, ..Pruned::default() });
    }
    let sql = "DELETE FROM lovage.audit_events WHERE tenant = $1 AND seq <= $2";
    let delete = query(sql).bind(tenant).bind(bound(step.last));
    let records = delete.execute(&mut *transaction).await.map_err(failed)?.rows_affected();
    let sql = "UPDATE lovage.audit_chains SET pruned_seq = $1 WHERE tenant = $2";
    query(sql).bind(bound(step.last)).bind(tenant).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Pruned { records, last: step.last, unanchored: step.unanchored })
}

/// A number as the database has them.
fn bound(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn seq(row: &PgRow, index: usize) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i64, _>(index)? as u64)
}

/// A hash. What somebody has put there instead of one is as wrong as any other value.
fn digest(row: &PgRow, index: usize) -> Result<[u8; 32], sqlx::Error> {
    Ok(row.try_get::<&[u8], _>(index)?.try_into().unwrap_or_default())
}

fn row_of_chain(row: &PgRow) -> Result<Chain, sqlx::Error> {
    Ok(Chain { tenant: row.try_get(0)?, head: head(row, 1)?, pruned: seq(row, 4)? })
}

fn head(row: &PgRow, at: usize) -> Result<Head, sqlx::Error> {
    Ok(Head { seq: seq(row, at)?, record: digest(row, at + 1)?, batch: digest(row, at + 2)? })
}

fn batch(row: &PgRow) -> Result<Batch, sqlx::Error> {
    let seal = BatchSeal { first: seq(row, 0)?, last: seq(row, 1)?, root: digest(row, 2)?, record: digest(row, 3)? };
    Ok(Batch { seal, hash: digest(row, 4)?, written_at: Timestamp::from_millis(seq(row, 5)?) })
}

fn record(row: &PgRow) -> Result<Record, sqlx::Error> {
    let event = AuditEvent {
        id: row.try_get(2)?,
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
