//! What is searched, and the plan by which it is: a bounded walk over the newest jobs first, then, month by month, the index.
//!
//! Common things are found by the walk at once, rare ones by the index at once. What neither finds within the time that the
//! caller gives is not waited for: the answer says how far was looked, and where to go on.

use std::time::Duration;

use lovage_core::filter::{Clause, Filter, Test};
use lovage_core::history::JobRecord;
use lovage_core::{Invalid, Timestamp};

use super::cursor::Cursor;
use super::stored::Stored;

/// Most jobs of a page.
const MAX_LIMIT: u32 = 500;

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Which jobs.
    pub filter: &'a Filter,
    /// Most jobs to answer, from 1 to 500.
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: Option<&'a str>,
    /// How long to look.
    pub patience: Duration,
}

/// A page of jobs.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The jobs with their attempts, newest first.
    pub jobs: Vec<JobRecord>,
    /// Where to go on, if there may be more.
    pub next: Option<String>,
    /// Set when the time was over before the page was full or everything was looked at: jobs that were enqueued before
    /// this instant were not looked at.
    pub searched_to: Option<Timestamp>,
}

/// What a search has come to.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// What it has found, no more than was asked for.
    pub jobs: Vec<Stored>,
    /// How far it has looked, if that was not to the end.
    pub to: Option<Cursor>,
}

impl Looked {
    /// The answer but for the jobs.
    pub fn answer(&self, limit: usize) -> Found {
        let is_full = self.jobs.len() >= limit;
        let next = if is_full { self.jobs.last().map(|stored| stored.cursor) } else { self.to };
        let searched_to = self.to.filter(|_| !is_full).map(|to| to.enqueued_at);
        Found { jobs: Vec::new(), next: next.map(|cursor| cursor.to_string()), searched_to }
    }
}

/// What a search may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The first instant.
    pub from: Timestamp,
    /// Jobs before this place.
    pub before: Cursor,
}

impl Search<'_> {
    pub(super) fn limit(&self) -> Result<usize, Invalid> {
        if (1..=MAX_LIMIT).contains(&self.limit) {
            return Ok(self.limit as usize);
        }
        Err(Invalid::new("limit", format!("is {}", self.limit), format!("use 1 to {MAX_LIMIT}")))
    }

    /// Between which instants the jobs were enqueued that the filter may mean.
    pub(super) fn span(&self) -> Result<Span, Invalid> {
        let before = self.cursor.map_or(Ok(Cursor::END), str::parse)?;
        let mut span = Span { from: Timestamp::default(), before };
        for clause in self.filter.clauses.iter().filter(|clause| !clause.negated) {
            let Test::Created(ranges) = &clause.test else { continue };
            let from = ranges.iter().map(|range| range.from.unwrap_or_default()).min();
            let until = ranges.iter().map(|range| range.until.unwrap_or(Cursor::END.enqueued_at)).max();
            span.from = span.from.max(from.unwrap_or_default());
            if let Some(until) = until.filter(|until| *until <= span.before.enqueued_at) {
                span.before = Cursor { enqueued_at: until, key: i64::MIN };
            }
        }
        Ok(span)
    }
}

/// Whether the filter names ids, so that nothing else needs to be looked at.
pub(super) fn ids(filter: &Filter) -> Option<Vec<String>> {
    filter.clauses.iter().find_map(|clause| match clause {
        Clause { negated: false, test: Test::Id(ids) } => Some(ids.iter().map(ToString::to_string).collect()),
        _ => None,
    })
}
