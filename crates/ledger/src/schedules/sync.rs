//! The schedules of a configuration, which a leader makes those that code manages.

use std::collections::{BTreeMap, HashSet};

use lovage_core::schedule::ScheduleSpec;
use lovage_core::{ScheduleName, Timestamp};

use super::put::{Known, NEVER, Way, Written, json, known, write};
use super::run::ROWS;
use super::{ManagedBy, leads, millis};
use crate::error::LedgerError;
use crate::history::SLICE;
use crate::ledger::{Ledger, Store, on};

/// What became of the schedules of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    /// Those that are new.
    pub added: Vec<ScheduleName>,
    /// Those that have changed.
    pub changed: Vec<ScheduleName>,
    /// Those that were withdrawn and are there again. They go on where they were, so that their policies deal with the ticks
    /// that came meanwhile, and have the pause that they had.
    pub returned: Vec<ScheduleName>,
    /// Those that the configuration has no more. They do not run, and are kept until [`Ledger::prune_withdrawn`].
    pub withdrawn: Vec<ScheduleName>,
    /// Those whose names operators have given to others, which stay.
    pub taken: Vec<ScheduleName>,
}

impl Ledger {
    /// Makes the schedules of the configuration those that code manages: adds, changes and withdraws until they are. `first` as
    /// of [`Ledger::put_schedules`].
    ///
    /// [`LedgerError::Deposed`] if another leader's term than `term` has begun.
    pub async fn sync_schedules(
        &self,
        term: u64,
        specs: &[ScheduleSpec],
        first: impl Fn(&ScheduleSpec, Timestamp) -> Option<Timestamp>,
    ) -> Result<Synced, LedgerError> {
        let now = self.now().await?;
        let first = |spec: &ScheduleSpec| first(spec, now).map_or(NEVER, millis);
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let synced = on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            if !leads!(term, &mut *transaction) {
                return Ok(None);
            }
            let known = known!(names, transaction);
            let (mut synced, mut written) = (Synced::default(), Vec::new());
            for spec in specs {
                let text = json(spec)?;
                let (way, list) = match known.get(spec.name.as_str()) {
                    None => (Some(Way::FromNow), &mut synced.added),
                    Some(Known { managed_by: ManagedBy::Operator, .. }) => (None, &mut synced.taken),
                    Some(known) if known.withdrawn => {
                        (Some(known.way_to(spec, &text).unwrap_or(Way::GoesOn)), &mut synced.returned)
                    }
                    Some(known) => match known.way_to(spec, &text) {
                        None => continue,
                        way => (way, &mut synced.changed),
                    },
                };
                written.extend(way.map(|way| Written { spec, text, way }));
                list.push(spec.name.clone());
            }
            write!(written, ManagedBy::Code, now, first, transaction);
            let names: HashSet<&str> = names.into_iter().collect();
            let sql = "SELECT name FROM schedules WHERE managed_by = 'code' AND withdrawn_at IS NULL";
            let mut gone: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut *transaction).await?;
            gone.retain(|name| !names.contains(name.as_str()));
            for gone in gone.chunks(ROWS) {
                let mut sql = sqlx::QueryBuilder::new("UPDATE schedules SET overdue_since = NULL, withdrawn_at = ");
                sql.push_bind(millis(now)).push(" WHERE name IN (");
                let mut list = sql.separated(", ");
                for name in gone {
                    list.push_bind(name);
                }
                sql.push(")");
                sql.build().persistent(false).execute(&mut *transaction).await?;
                synced.withdrawn.extend(gone.iter().filter_map(|name| name.parse().ok()));
            }
            transaction.commit().await?;
            Ok(Some(synced))
        })?;
        synced.ok_or(LedgerError::Deposed)
    }

    /// Removes a slice of the schedules that were withdrawn before that. Answers whether more are left.
    pub async fn prune_withdrawn(&self, before: Timestamp) -> Result<bool, LedgerError> {
        // One that has come back since it was found stays.
        let sql = "DELETE FROM schedules WHERE withdrawn_at < $1
                       AND name IN (SELECT name FROM schedules WHERE withdrawn_at < $1 ORDER BY withdrawn_at LIMIT $2)";
        on!(self, |pool, _begin| async {
            let removed = sqlx::query(sql).bind(millis(before)).bind(SLICE).execute(pool).await?;
            Ok(removed.rows_affected() == SLICE as u64)
        })
    }
}
