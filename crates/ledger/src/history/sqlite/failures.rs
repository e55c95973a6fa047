//! Groups of failures, counted and read.

use std::collections::BTreeMap;

use sqlx::query;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::super::failures::{Failure, FailureQuery, MAX_GROUPS, counted, day};
use super::super::page::FailureRow;
use super::super::stored::millis;
use super::json;
use crate::error::LedgerError;

pub(in super::super) async fn failures(pool: &SqlitePool, asked: &FailureQuery) -> Result<Vec<Failure>, LedgerError> {
    read(pool, asked).await.map_err(|error| LedgerError::of(&error))
}

async fn read(pool: &SqlitePool, asked: &FailureQuery) -> Result<Vec<Failure>, sqlx::Error> {
    let sql = "SELECT fingerprint, kind, class, title, first_seen, last_seen FROM failure_groups
               WHERE (?1 IS NULL OR fingerprint = ?1) AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR last_seen >= ?3)
               ORDER BY last_seen DESC, fingerprint LIMIT ?4";
    let groups = query(sql)
        .bind(asked.fingerprint.map(|fingerprint| fingerprint.to_bits() as i64))
        .bind(asked.kind.as_ref().map(lovage_core::Kind::as_str))
        .bind(asked.since.map(millis))
        .bind(asked.limit.clamp(1, MAX_GROUPS));
    let groups = groups.fetch_all(pool).await?.iter().map(Failure::read).collect::<Result<Vec<_>, _>>()?;
    let sql = "SELECT fingerprint, day, version, count FROM failure_counts
               WHERE fingerprint IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR day >= ?2)";
    let fingerprints: Vec<i64> = groups.iter().map(|group| group.fingerprint.to_bits() as i64).collect();
    let counts = query(sql).bind(json(&fingerprints)?).bind(asked.since.map(day)).fetch_all(pool).await?;
    counted(groups, &counts)
}

/// Adds failures to their groups and to what is counted.
pub(super) async fn count(connection: &mut SqliteConnection, rows: &[&FailureRow]) -> Result<(), sqlx::Error> {
    let mut counts: BTreeMap<(i64, i64, &str), u64> = BTreeMap::new();
    let mut groups = Vec::with_capacity(rows.len());
    for row in rows {
        let fingerprint = row.fingerprint.to_bits() as i64;
        *counts.entry((fingerprint, day(row.at), row.version.as_str())).or_default() += 1;
        groups.push((fingerprint, row.kind.as_str(), row.class.name(), row.title.as_str(), millis(row.at)));
    }
    let counts: Vec<_> = counts.into_iter().collect();
    let sql = "INSERT INTO failure_counts (fingerprint, day, version, count)
               SELECT v -> 0 ->> 0, v -> 0 ->> 1, v -> 0 ->> 2, v ->> 1 FROM (SELECT value AS v FROM json_each(?1)) WHERE true
               ON CONFLICT (fingerprint, day, version) DO UPDATE SET count = count + excluded.count";
    query(sql).bind(json(&counts)?).execute(&mut *connection).await?;
    let sql = "INSERT INTO failure_groups (fingerprint, kind, class, title, first_seen, last_seen)
               SELECT v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 4 FROM (SELECT value AS v FROM json_each(?1)) WHERE true
               ON CONFLICT (fingerprint) DO UPDATE SET first_seen = min(first_seen, excluded.first_seen),
                   last_seen = max(last_seen, excluded.last_seen)";
    query(sql).bind(json(&groups)?).execute(connection).await.map(drop)
}
