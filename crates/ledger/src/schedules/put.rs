//! Making and changing schedules: all of a change in one commit, or none of it.

use std::collections::BTreeMap;

use lovage_core::schedule::ScheduleSpec;
use lovage_core::{ScheduleName, Timestamp};

use super::{ManagedBy, millis};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Store, on};

/// When a success is expected first if no tick is left: 9999-12-31T23:59:59.999Z.
pub(super) const NEVER: i64 = 253_402_300_799_999;

/// What became of a schedule that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Added,
    /// It has changed. With other times it goes on from now; what only its jobs are changes nothing of its ticks.
    Changed,
    /// It is as it was.
    Same,
    /// It was removed.
    Removed,
    /// There is one of that name already, and it was not to be changed.
    Exists,
    /// It has changed, or is gone, since whoever wants to change it has looked.
    Outdated,
    /// It stands in the configuration and is changed there.
    ManagedByCode,
}

impl Put {
    /// Whether it stands in the way of the whole change.
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Exists | Self::Outdated | Self::ManagedByCode)
    }
}

/// What an operator wants of schedules.
#[derive(Debug, Clone, Copy)]
pub struct Change<'c> {
    /// Those that are to be there.
    pub specs: &'c [ScheduleSpec],
    /// Whether one that is there already may be changed.
    pub replace: bool,
    /// The revision that they were seen at, if they are to be changed only as they were: otherwise they are
    /// [outdated](Put::Outdated).
    pub revision: Option<u64>,
    /// Those of operators that are to go, with their runs.
    pub remove: &'c [ScheduleName],
    /// Only look what would become of them.
    pub rehearse: bool,
}

/// What is known of a schedule that is put.
pub(super) struct Known {
    pub spec: String,
    pub managed_by: ManagedBy,
    pub withdrawn: bool,
    pub revision: i64,
}

/// How a schedule is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From now on, whatever was there.
    FromNow,
    /// Its ticks go on as they are.
    GoesOn,
}

/// A schedule that is written.
pub(super) struct Written<'s> {
    pub spec: &'s ScheduleSpec,
    pub text: String,
    pub way: Way,
}

pub(super) fn json(spec: &ScheduleSpec) -> Result<String, sqlx::Error> {
    serde_json::to_string(spec).map_err(|error| sqlx::Error::Encode(error.into()))
}

impl Known {
    /// How a schedule becomes another; nothing if it is the same.
    pub fn way_to(&self, spec: &ScheduleSpec, text: &str) -> Option<Way> {
        if self.spec == text {
            return None;
        }
        // Which ticks there are; not when they are enqueued.
        let times = |spec: &ScheduleSpec| (spec.cron, spec.timezone.clone(), spec.starts_at, spec.ends_at);
        match ScheduleSpec::read_stored(&self.spec) {
            Ok(before) if times(&before) == times(spec) => Some(Way::GoesOn),
            _ => Some(Way::FromNow),
        }
    }
}

/// What is known of the schedules of these names.
macro_rules! known {
    ($names:expr, $connection:expr) => {{
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        for names in $names.chunks(super::run::ROWS) {
            let mut sql = sqlx::QueryBuilder::new(
                "SELECT name, spec, managed_by, withdrawn_at IS NOT NULL, revision FROM schedules WHERE name IN (",
            );
            let mut list = sql.separated(", ");
            for name in names {
                list.push_bind(*name);
            }
            sql.push(")");
            for row in sql.build().persistent(false).fetch_all(&mut *$connection).await? {
                let managed_by = ManagedBy::from_name(&sqlx::Row::try_get::<String, _>(&row, 2)?);
                let (spec, withdrawn) = (sqlx::Row::try_get(&row, 1)?, sqlx::Row::try_get(&row, 3)?);
                let revision = sqlx::Row::try_get(&row, 4)?;
                known.insert(sqlx::Row::try_get(&row, 0)?, Known { spec, managed_by, withdrawn, revision });
            }
        }
        known
    }};
}
pub(super) use known;

/// Writes schedules. Revisions and editions begin with the time, so that one of a name that is used again is none of an earlier one.
macro_rules! write {
    ($written:expr, $by:expr, $now:expr, $first:expr, $connection:expr) => {
        for way in [Way::FromNow, Way::GoesOn] {
            let of_way: Vec<&Written<'_>> = $written.iter().filter(|written| written.way == way).collect();
            for written in of_way.chunks(super::run::ROWS) {
                let now = millis($now);
                let mut sql = sqlx::QueryBuilder::new(
                    "INSERT INTO schedules (name, spec, managed_by, revision, created_at, updated_at, last_tick, next_at, success_within,
                         watched_since, edition) ",
                );
                sql.push_values(written, |mut row, written| {
                    row.push_bind(written.spec.name.as_str()).push_bind(&*written.text).push_bind($by.name());
                    row.push_bind(now).push_bind(now).push_bind(now).push_bind(now).push_bind(now);
                    row.push_bind(super::put::deadline(written.spec)).push_bind($first(written.spec)).push_bind(now);
                });
                sql.push(
                    " ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, managed_by = excluded.managed_by, withdrawn_at = NULL,
                         revision = schedules.revision + 1, updated_at = excluded.updated_at, success_within = excluded.success_within, ",
                );
                sql.push(super::put::ticks(way));
                sql.build().persistent(false).execute(&mut *$connection).await?;
            }
        }
    };
}
pub(super) use write;

/// What becomes of the ticks of a schedule that was there.
pub(super) fn ticks(way: Way) -> String {
    match way {
        Way::FromNow => "last_tick = excluded.last_tick, next_at = excluded.next_at, waiting_tick = NULL,
             watched_since = excluded.watched_since, edition = schedules.edition + 1"
            .to_owned(),
        // It is looked at if it has a tick left: ticks may have come while it was withdrawn, and are put off otherwise by another jitter.
        Way::GoesOn => format!(
            "next_at = CASE WHEN schedules.next_at IS NULL THEN NULL ELSE excluded.next_at END,
             watched_since = CASE WHEN schedules.withdrawn_at IS NULL THEN schedules.watched_since ELSE {} END",
            watched_after("schedules.withdrawn_at", "excluded.next_at")
        ),
    }
}

/// From when the time without success counts for a schedule that was stopped for a while: that does not count, nor does what
/// was before it begin anew.
pub(super) fn watched_after(stopped: &str, now: &str) -> String {
    let since = "(CASE WHEN schedules.last_success_at > schedules.watched_since THEN schedules.last_success_at ELSE schedules.watched_since END)";
    format!(
        "CASE WHEN schedules.watched_since = {NEVER} THEN schedules.watched_since
              WHEN {since} <= {stopped} THEN {since} + {now} - {stopped}
              WHEN {since} > {now} THEN {since} ELSE {now} END"
    )
}

pub(super) fn deadline(spec: &ScheduleSpec) -> Option<i64> {
    spec.success_within.map(|within| i64::try_from(within.as_millis()).unwrap_or(i64::MAX))
}

impl Ledger {
    /// Makes, changes and removes schedules of operators, all or none: if one [is refused](Put::is_refused) nothing is written.
    /// Answers what became of each, or would have become.
    ///
    /// `first` says when a schedule's first tick after a time is; from there on successes are expected.
    pub async fn put_schedules(
        &self,
        change: Change<'_>,
        first: impl Fn(&ScheduleSpec, Timestamp) -> Option<Timestamp>,
    ) -> Result<Vec<(ScheduleName, Put)>, LedgerError> {
        let now = self.now().await?;
        let first = |spec: &ScheduleSpec| first(spec, now).map_or(NEVER, millis);
        let specs = change.specs.iter().map(|spec| json(spec).map(|text| (spec, text))).collect::<Result<Vec<_>, _>>();
        let specs = specs.map_err(|error| LedgerError::of(&error))?;
        let names: Vec<&str> =
            change.specs.iter().map(|spec| &spec.name).chain(change.remove).map(ScheduleName::as_str).collect();
        on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            // Who changes schedules waits for whoever else does, and for a leader's step.
            sqlx::query("UPDATE leader SET term = term").execute(&mut *transaction).await?;
            let known = known!(names, transaction);
            let (mut done, mut written, mut gone) = (Vec::with_capacity(names.len()), Vec::new(), Vec::new());
            for (spec, text) in &specs {
                let known = known.get(spec.name.as_str());
                let (put, way) = match known {
                    None if change.revision.is_some() => (Put::Outdated, None),
                    None => (Put::Added, Some(Way::FromNow)),
                    // What no configuration has any more makes room.
                    Some(Known { managed_by: ManagedBy::Code, withdrawn: true, .. }) => {
                        gone.push(spec.name.as_str());
                        (Put::Added, Some(Way::FromNow))
                    }
                    Some(Known { managed_by: ManagedBy::Code, .. }) => (Put::ManagedByCode, None),
                    Some(_) if !change.replace => (Put::Exists, None),
                    Some(known) if change.revision.is_some_and(|revision| revision != known.revision as u64) => {
                        (Put::Outdated, None)
                    }
                    Some(known) => match known.way_to(spec, text) {
                        None => (Put::Same, None),
                        way => (Put::Changed, way),
                    },
                };
                written.extend(way.map(|way| Written { spec, text: text.clone(), way }));
                done.push((spec.name.clone(), put));
            }
            for name in change.remove {
                let put = match known.get(name.as_str()) {
                    None => continue,
                    Some(Known { managed_by: ManagedBy::Code, withdrawn: false, .. }) => Put::ManagedByCode,
                    Some(_) => {
                        gone.push(name.as_str());
                        Put::Removed
                    }
                };
                done.push((name.clone(), put));
            }
            if change.rehearse || done.iter().any(|(_, put)| put.is_refused()) {
                return Ok(done);
            }
            super::change::remove!(gone, transaction);
            write!(written, ManagedBy::Operator, now, first, transaction);
            transaction.commit().await?;
            Ok(done)
        })
    }
}
