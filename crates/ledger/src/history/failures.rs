//! Failures that are alike, as one line each.

use std::collections::{BTreeMap, HashMap};

use lovage_core::{ErrorClass, Fingerprint, Kind, Timestamp};
use serde::Serialize;

use super::stored::{self, Values};

/// Which groups of failures.
#[derive(Debug, Clone, Default)]
pub struct FailureQuery {
    /// Only this one.
    pub fingerprint: Option<Fingerprint>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only those seen since then, and what was counted since the beginning of that day (UTC).
    pub since: Option<Timestamp>,
    /// Most groups, at most 500.
    pub limit: u32,
}

/// Most groups of one answer.
pub(super) const MAX_GROUPS: u32 = 500;

/// A group of failures that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// The kind of the jobs.
    pub kind: String,
    /// What sort of failure it is.
    pub class: ErrorClass,
    /// The error's first line without what varies.
    pub title: String,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// Attempts that failed so.
    pub count: u64,
    /// The same by the release of the worker; empty where that is not known.
    pub versions: BTreeMap<String, u64>,
    /// The same by day (UTC), each as its first instant.
    pub days: BTreeMap<Timestamp, u64>,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The day of an instant in days since 1970.
pub(super) fn day(at: Timestamp) -> i64 {
    (at.as_millis() / DAY_MS) as i64
}

impl Failure {
    /// A group of which nothing is counted yet, from: fingerprint, kind, class, title, first seen, last seen.
    pub(super) fn read(row: &impl Values) -> Result<Self, sqlx::Error> {
        let class = row.text(2)?.unwrap_or_default();
        Ok(Self {
            fingerprint: Fingerprint::from_bits(row.number(0)?.unwrap_or_default() as u64),
            kind: row.text(1)?.unwrap_or_default(),
            class: ErrorClass::from_name(&class).unwrap_or(ErrorClass::Failed),
            title: row.text(3)?.unwrap_or_default(),
            first_seen: stored::instant(row, 4)?.unwrap_or_default(),
            last_seen: stored::instant(row, 5)?.unwrap_or_default(),
            count: 0,
            versions: BTreeMap::new(),
            days: BTreeMap::new(),
        })
    }
}

/// Groups with what was counted of them, from: fingerprint, day in days since 1970, release, count.
pub(super) fn counted<R: Values>(mut groups: Vec<Failure>, counts: &[R]) -> Result<Vec<Failure>, sqlx::Error> {
    let at = |(at, group): (usize, &Failure)| (group.fingerprint.to_bits() as i64, at);
    let places: HashMap<i64, usize> = groups.iter().enumerate().map(at).collect();
    for row in counts {
        let Some(at) = row.number(0)?.and_then(|bits| places.get(&bits)) else { continue };
        let (group, count) = (&mut groups[*at], stored::count(row, 3)?);
        let day = Timestamp::from_millis(stored::count(row, 1)? * DAY_MS);
        group.count += count;
        *group.versions.entry(row.text(2)?.unwrap_or_default()).or_default() += count;
        *group.days.entry(day).or_default() += count;
    }
    Ok(groups)
}
