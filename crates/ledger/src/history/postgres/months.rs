//! The months into which the tables are divided: one is added when its first job comes.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use lovage_core::Timestamp;
use sqlx::postgres::PgPool;
use sqlx::{Row as _, query};

use super::super::stored::millis;

/// The months that this process knows to be there, as milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Months(Arc<Mutex<BTreeSet<(i64, i64)>>>);

impl Months {
    /// Sees to it that jobs of these instants have a place.
    pub async fn add(&self, pool: &PgPool, instants: impl Iterator<Item = Timestamp>) -> Result<(), sqlx::Error> {
        for instant in instants.map(millis) {
            if self.has(instant) {
                continue;
            }
            let month = add(pool, instant).await?;
            self.lock().insert((month.start, month.end));
        }
        Ok(())
    }

    /// Forgets what it knows: somebody has removed months.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn has(&self, instant: i64) -> bool {
        self.lock().range(..=(instant, i64::MAX)).next_back().is_some_and(|(_, end)| instant < *end)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(i64, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn add(pool: &PgPool, instant: i64) -> Result<Range<i64>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // Two that add the same month at once would meet in the catalogue.
    query("SELECT pg_advisory_xact_lock(hashtext('lovage.add_month'))").execute(&mut *transaction).await?;
    let sql = "SELECT (extract(epoch FROM first) * 1000)::bigint, (extract(epoch FROM next) * 1000)::bigint
               FROM lovage.add_month(to_timestamp($1 / 1000.0::float8))";
    let row = query(sql).bind(instant).fetch_one(&mut *transaction).await?;
    let month = row.try_get(0)?..row.try_get(1)?;
    transaction.commit().await?;
    Ok(month)
}
