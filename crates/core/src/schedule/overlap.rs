//! What becomes of a tick whose predecessor has not ended.

use serde::{Deserialize, Serialize};

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Both may run at the same time.
    #[default]
    Allow,
    /// The tick is left out.
    Skip,
    /// It waits until the run before has ended; at most one does, the first of those that come meanwhile.
    QueueOne,
    /// The run before is cancelled.
    CancelPrevious,
}

/// How it stands with the run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// There is none, or it has ended.
    Ended,
    /// It has not ended.
    Unfinished,
    /// It has not ended, and a tick waits for that already.
    UnfinishedAndOneWaits,
}

/// What becomes of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is enqueued.
    Enqueue,
    /// It is left out.
    Skip,
    /// It waits.
    Wait,
    /// The run before is cancelled, then it is enqueued.
    CancelThenEnqueue,
}

impl Overlap {
    /// What becomes of a tick.
    pub const fn decide(self, before: Before) -> Decision {
        match (self, before) {
            (Self::Allow, _) | (_, Before::Ended) => Decision::Enqueue,
            (Self::Skip, _) | (Self::QueueOne, Before::UnfinishedAndOneWaits) => Decision::Skip,
            (Self::QueueOne, Before::Unfinished) => Decision::Wait,
            (Self::CancelPrevious, _) => Decision::CancelThenEnqueue,
        }
    }
}
