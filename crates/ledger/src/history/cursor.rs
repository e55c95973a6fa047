//! The place of a job among all: when it was enqueued, and its number among those of that millisecond.

use std::fmt;
use std::str::FromStr;

use lovage_core::{Invalid, Timestamp};

/// Between two jobs in the order of their enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cursor {
    pub enqueued_at: Timestamp,
    pub key: i64,
}

impl Cursor {
    /// After all that may be.
    pub const END: Self = Self { enqueued_at: Timestamp::from_millis(253_402_300_799_999), key: i64::MAX };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.enqueued_at.as_millis(), self.key)
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts = text.split_once('_').and_then(|(at, key)| Some((at.parse().ok()?, key.parse().ok()?)));
        let cursor = parts.map(|(at, key)| Self { enqueued_at: Timestamp::from_millis(at), key });
        cursor.filter(|cursor| *cursor <= Self::END && cursor.to_string() == text).ok_or_else(|| {
            let problem = format!("{text:?} is no cursor of a search");
            Invalid::new("cursor", problem, "use the one that the page before has answered")
        })
    }
}
