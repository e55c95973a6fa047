//! One text to search the history of jobs with: `state:discarded kind:export.* error:"connection refused"`.
//!
//! Terms stand with spaces between and must all hold; `-` before a term turns it round; commas between values mean any of
//! them. This module reads the text ([`Filter::parse`]), writes it back (`Display`) and says what it means
//! ([`Filter::matches`]). Whoever keeps jobs turns the [`Filter`] into a query of their own and is held to that meaning;
//! [`leaves()`], [`words`] and [`canonical_number`] are what an index must be built with so that it can answer.

mod leaves;
mod lex;
mod matches;
mod number;
mod parse;
mod show;
mod value;

pub use leaves::{Leaf, leaves};
pub use matches::Facts;
pub use number::canonical_number;

use crate::clock::Timestamp;
use crate::error::Invalid;
use crate::fingerprint::Fingerprint;
use crate::id::JobId;
use crate::names::{Kind, QueueName, Tenant, WorkerId};
use crate::state::{DiscardReason, State};

/// The fields that a term may have, as they are written; `args` goes on with a path: `args.user.id`.
pub const FIELDS: [&str; 14] = [
    "state", "queue", "tenant", "kind", "tag", "id", "worker", "reason", "failure", "error", "attempt", "created",
    "ended", "args",
];
/// Longest text of a filter in bytes; its canonical text is held to the same.
pub const MAX_FILTER_BYTES: usize = 4 * 1024;
/// Most terms of a filter.
pub const MAX_TERMS: usize = 32;
/// Most values of a term.
pub const MAX_VALUES: usize = 64;
/// Longest scalar of a job's arguments that can be searched, in bytes.
pub const MAX_SCALAR_BYTES: usize = 256;
/// Deepest nesting of objects and arrays in which a job's arguments are searched.
pub const MAX_DEPTH: usize = 16;
/// Longest path into a job's arguments, in bytes of all its keys together.
pub const MAX_PATH_BYTES: usize = 512;

/// What a job must be like: all clauses hold. Without clauses every job is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// The terms in the order in which they were written.
    pub clauses: Vec<Clause>,
}

/// One term of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Clause {
    /// Whether the job must fail the test. It does so, too, where it has no such value: a job that has not ended passes
    /// `-ended:<1h`.
    pub negated: bool,
    /// What is asked.
    pub test: Test,
}

/// What is asked of a job: that any of the values fits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// Its state.
    State(Vec<State>),
    /// Its kind.
    Kind(Vec<KindPattern>),
    /// Its queue.
    Queue(Vec<QueueName>),
    /// Its tenant; `None` (written `none`) means a job without one.
    Tenant(Vec<Option<Tenant>>),
    /// One of its tags.
    Tag(Vec<String>),
    /// Its id.
    Id(Vec<JobId>),
    /// A worker that ran one of its attempts.
    Worker(Vec<WorkerId>),
    /// Why it was discarded.
    Reason(Vec<DiscardReason>),
    /// The fingerprint of one of its errors.
    Failure(Vec<Fingerprint>),
    /// Words of its errors, of all its attempts taken together.
    Error(Vec<ErrorWords>),
    /// The number of its last attempt; 0 before the first.
    Attempt(Vec<NumberRange>),
    /// When it was enqueued.
    Created(Vec<TimeRange>),
    /// When it came to its end; a job that has not ended is in no range.
    Ended(Vec<TimeRange>),
    /// A scalar of its arguments.
    Argument {
        /// The object keys on the way to the scalar, at least one; arrays take no step.
        path: Vec<String>,
        /// What the scalar may be.
        values: Vec<ArgumentValue>,
    },
}

/// A kind, or how it begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KindPattern {
    /// Exactly this kind.
    Exact(Kind),
    /// Every kind that begins so: `export.` for `export.*`. Only characters of a [`Kind`]; empty for any kind.
    Prefix(String),
}

/// Words that must all stand in a job's errors, in any order: as [`words`] gives them, at least one, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ErrorWords(Vec<String>);

impl ErrorWords {
    /// The words of `text`; `None` if there is no letter or digit in it.
    pub fn new(text: &str) -> Option<Self> {
        let mut found: Vec<String> = Vec::new();
        for word in words(text) {
            if !found.contains(&word) {
                found.push(word);
            }
        }
        (!found.is_empty()).then_some(Self(found))
    }

    /// The words, in small letters.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// The words of an error text: runs of letters and digits (of any script), in small letters.
///
/// ```
/// let words: Vec<String> = lovage_core::filter::words("Connection refused (os error 111)").collect();
/// assert_eq!(words, ["connection", "refused", "os", "error", "111"]);
/// ```
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let mut small = text.chars().flat_map(char::to_lowercase);
    std::iter::from_fn(move || {
        let first = small.find(|c| c.is_alphanumeric())?;
        Some(std::iter::once(first).chain(small.by_ref().take_while(|c| c.is_alphanumeric())).collect())
    })
}

/// Whole numbers from `from` to `to`, both included; without an end it is open there. At least one end is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NumberRange {
    /// The smallest.
    pub from: Option<u32>,
    /// The largest.
    pub to: Option<u32>,
}

impl NumberRange {
    /// Whether `number` lies in it.
    pub fn contains(self, number: u32) -> bool {
        self.from.is_none_or(|from| from <= number) && self.to.is_none_or(|to| number <= to)
    }
}

/// Instants from `from` (included) until `until` (not included); without an end it is open there. At least one end is
/// given. Ages are resolved: nothing here moves with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub until: Option<Timestamp>,
}

impl TimeRange {
    /// Whether `instant` lies in it.
    pub fn contains(self, instant: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= instant) && self.until.is_none_or(|until| instant < until)
    }
}

/// What a scalar of the arguments may be. [`ArgumentValue::leaves`] gives the same as a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ArgumentValue {
    /// This string only: it was quoted, or is nothing else.
    Text(String),
    /// This number, or the string as it was written.
    Number {
        /// As it was written: a number of JSON.
        written: String,
        /// The same as [`canonical_number`] writes it.
        canonical: String,
    },
    /// `true` or `false`, or the string of that name.
    Bool(bool),
    /// `null`, or the string of that name.
    Null,
}

impl ArgumentValue {
    /// The one or two leaves that fit: a leaf fits if and only if it equals one of them.
    pub fn leaves(&self) -> Vec<Leaf> {
        match self {
            Self::Text(text) => vec![Leaf::Text(text.clone())],
            Self::Number { written, canonical } => vec![Leaf::Number(canonical.clone()), Leaf::Text(written.clone())],
            Self::Bool(value) => vec![Leaf::Bool(*value), Leaf::Text(value.to_string())],
            Self::Null => vec![Leaf::Null, Leaf::Text("null".to_owned())],
        }
    }
}

impl Filter {
    /// Reads a filter. Ages (`created:<1h`) are counted back from `now`. The empty text means every job.
    ///
    /// The error's field is `filter`; its problem begins with the column, counted in characters from 1.
    ///
    /// ```
    /// use lovage_core::{Timestamp, filter::Filter};
    ///
    /// let now = Timestamp::from_millis(1_795_651_200_000); // 2026-11-26T00:00:00Z
    /// let filter = Filter::parse(r#"state:discarded,cancelled -tenant:none created:<1h args.user.id:42"#, now)?;
    /// assert_eq!(
    ///     filter.to_string(),
    ///     "state:discarded,cancelled -tenant:none created:>=2026-11-25T23:00:00.001Z args.user.id:42"
    /// );
    /// # Ok::<(), lovage_core::Invalid>(())
    /// ```
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, Invalid> {
        parse::filter(text, now)
    }

    /// Whether a job is meant. This is the meaning of a filter; a query must give the same answer.
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        self.clauses.iter().all(|clause| matches::test(&clause.test, facts) != clause.negated)
    }
}
