//! Groups of failures, read.

use sqlx::postgres::PgPool;
use sqlx::query;

use super::super::failures::{Failure, FailureQuery, MAX_GROUPS, counted, day};
use super::super::stored::millis;
use crate::error::LedgerError;

pub(in super::super) async fn failures(pool: &PgPool, asked: &FailureQuery) -> Result<Vec<Failure>, LedgerError> {
    read(pool, asked).await.map_err(|error| LedgerError::of(&error))
}

async fn read(pool: &PgPool, asked: &FailureQuery) -> Result<Vec<Failure>, sqlx::Error> {
    let sql = "SELECT fingerprint, kind, class, title, (extract(epoch FROM first_seen) * 1000)::bigint,
                   (extract(epoch FROM last_seen) * 1000)::bigint
               FROM lovage.failure_groups
               WHERE ($1::bigint IS NULL OR fingerprint = $1) AND ($2::text IS NULL OR kind = $2)
                   AND ($3::bigint IS NULL OR last_seen >= to_timestamp($3 / 1000.0::float8))
               ORDER BY last_seen DESC, fingerprint LIMIT $4";
    let groups = query(sql)
        .bind(asked.fingerprint.map(|fingerprint| fingerprint.to_bits() as i64))
        .bind(asked.kind.as_ref().map(lovage_core::Kind::as_str))
        .bind(asked.since.map(millis))
        .bind(i64::from(asked.limit.clamp(1, MAX_GROUPS)));
    let groups = groups.fetch_all(pool).await?.iter().map(Failure::read).collect::<Result<Vec<_>, _>>()?;
    let sql = "SELECT fingerprint, (day - date '1970-01-01')::bigint, version, count FROM lovage.failure_counts
               WHERE fingerprint = ANY($1) AND ($2::bigint IS NULL OR (day - date '1970-01-01') >= $2)";
    let fingerprints: Vec<i64> = groups.iter().map(|group| group.fingerprint.to_bits() as i64).collect();
    let counts = query(sql).bind(fingerprints).bind(asked.since.map(day)).fetch_all(pool).await?;
    counted(groups, &counts)
}
