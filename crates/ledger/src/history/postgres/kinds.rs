//! The names of all kinds that the history has ever had. Kinds are few and have terms; beginnings of their names have one only
//! up to a dot. So a beginning is asked as the kinds that begin so.

use std::borrow::Cow;
use std::collections::BTreeSet;

use lovage_core::Kind;
use lovage_core::filter::{Clause, Filter, KindPattern, Test};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{query, query_scalar};

use super::super::page::JobRow;

/// Kinds as which a beginning is asked at most.
const MOST: usize = 1_000;

/// Writes down the kinds of jobs.
pub(super) async fn add(connection: &mut PgConnection, rows: &[JobRow<'_>]) -> Result<(), sqlx::Error> {
    // In order, so that two who add the same do not wait for each other.
    let kinds: BTreeSet<&str> = rows.iter().filter_map(|row| row.job.kind.as_ref().map(Kind::as_str)).collect();
    let sql = "INSERT INTO lovage.job_kinds (kind) SELECT kind FROM unnest($1::text[]) AS new (kind)
               WHERE NOT EXISTS (SELECT 1 FROM lovage.job_kinds AS known WHERE known.kind = new.kind)
               ON CONFLICT DO NOTHING";
    query(sql).bind(kinds.into_iter().collect::<Vec<_>>()).execute(connection).await.map(drop)
}

/// The filter with kinds in place of beginnings that have no term; nothing if there is no such kind, and so no such job.
pub(super) async fn named<'a>(pool: &PgPool, filter: &'a Filter) -> Result<Option<Cow<'a, Filter>>, sqlx::Error> {
    let mut named = Cow::Borrowed(filter);
    for (index, clause) in filter.clauses.iter().enumerate() {
        let Clause { negated: false, test: Test::Kind(patterns) } = clause else { continue };
        let (exact, open): (Vec<_>, Vec<_>) = patterns.iter().cloned().partition(super::terms::has_term);
        let prefixes: Vec<String> = open.into_iter().filter_map(prefix).collect();
        if prefixes.is_empty() {
            continue;
        }
        let sql = "SELECT kind FROM lovage.job_kinds
                   WHERE EXISTS (SELECT 1 FROM unnest($1::text[]) AS asked (prefix) WHERE starts_with(kind, prefix)) LIMIT $2";
        let kinds: Vec<String> = query_scalar(sql).bind(prefixes).bind(MOST as i64 + 1).fetch_all(pool).await?;
        if kinds.len() > MOST {
            continue;
        }
        let kinds = kinds.iter().filter_map(|kind| kind.parse().ok()).map(KindPattern::Exact);
        let patterns: Vec<KindPattern> = exact.into_iter().chain(kinds).collect();
        if patterns.is_empty() {
            return Ok(None);
        }
        named.to_mut().clauses[index].test = Test::Kind(patterns);
    }
    Ok(Some(named))
}

fn prefix(pattern: KindPattern) -> Option<String> {
    match pattern {
        KindPattern::Exact(_) => None,
        KindPattern::Prefix(prefix) => Some(prefix),
    }
}
