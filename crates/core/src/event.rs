//! What a broker tells the world: one event for every change of state, appended in the same step as the change.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::JobId;
use crate::names::{QueueName, WorkerId};
use crate::state::{DiscardReason, State};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The job entered the queue.
    Enqueued,
    /// A unique key replaced the content of a waiting job, or an operator edited it.
    Edited,
    /// Its due time came.
    Promoted,
    /// A worker took it.
    Claimed,
    /// An attempt ended in the state that the event carries.
    Finished,
    /// Its worker was lost.
    Lost,
    /// It was still waiting at its `expires_at`.
    Expired,
    /// Somebody asked a running job to stop.
    CancelRequested,
    /// Somebody cancelled a waiting job.
    Cancelled,
    /// An operator ran it again.
    Redriven,
    /// An operator discarded it.
    Discarded,
    /// It was removed, by an operator.
    Deleted,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Enqueued,
        Self::Edited,
        Self::Promoted,
        Self::Claimed,
        Self::Finished,
        Self::Lost,
        Self::Expired,
        Self::CancelRequested,
        Self::Cancelled,
        Self::Redriven,
        Self::Discarded,
        Self::Deleted,
    ];

    /// The kind's name as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Edited => "edited",
            Self::Promoted => "promoted",
            Self::Claimed => "claimed",
            Self::Finished => "finished",
            Self::Lost => "lost",
            Self::Expired => "expired",
            Self::CancelRequested => "cancel_requested",
            Self::Cancelled => "cancelled",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
            Self::Deleted => "deleted",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One change of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the queue's stream; opaque, ordered, to resume after.
    pub cursor: String,
    /// When, by the broker's clock.
    pub at: Timestamp,
    /// The queue.
    pub queue: QueueName,
    /// The job.
    pub id: JobId,
    /// What happened.
    pub kind: EventKind,
    /// The state after it; absent when the job is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The attempt that it is about; 0 before the first.
    pub attempt: u32,
    /// The worker that did it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// Why the job was discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DiscardReason>,
}
