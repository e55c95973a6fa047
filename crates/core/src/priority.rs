//! The place of a job inside its queue's line.

use serde::{Deserialize, Serialize};

use crate::error::Invalid;

/// 0 runs first, 9 last, 5 is the default; jobs of one priority run in the order in which they became available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Priority(u8);

impl Priority {
    /// How many priorities there are.
    pub const LEVELS: u8 = 10;

    /// The level, 0 to 9.
    pub const fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

impl TryFrom<i64> for Priority {
    type Error = Invalid;

    fn try_from(level: i64) -> Result<Self, Invalid> {
        match u8::try_from(level) {
            Ok(level) if level < Self::LEVELS => Ok(Self(level)),
            _ => Err(Invalid::new("priority", format!("is {level}"), "use 0 (first) to 9 (last); the default is 5")),
        }
    }
}

impl From<Priority> for i64 {
    fn from(priority: Priority) -> Self {
        priority.0.into()
    }
}
