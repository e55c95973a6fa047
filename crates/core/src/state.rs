//! The states of a job and the one function that says which may follow which.
//!
//! ```text
//!  enqueue ──> scheduled ──promote──> available ──claim──> running ──complete──> completed
//!     │                                ^   ^  ^              │ │ └──cancel─────> cancelled
//!     └────────────────────────────────┘   │  └─release,lose─┘ └──discard,lose──> discarded
//!                    retryable ──promote───┘ <──retry────────┘
//! ```
//!
//! Both brokers and the model of the random test are held to this function; nothing else decides.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a job stands. See [`transition`] for who may move it where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Due later.
    Scheduled,
    /// Waiting in line.
    Available,
    /// Leased to a worker.
    Running,
    /// Failed and due later.
    Retryable,
    /// Done.
    Completed,
    /// Stopped because somebody asked for it.
    Cancelled,
    /// Will not run again unless somebody redrives it; see [`DiscardReason`].
    Discarded,
}

impl State {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Available,
        Self::Running,
        Self::Retryable,
        Self::Completed,
        Self::Cancelled,
        Self::Discarded,
    ];

    /// The state's name as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Running => "running",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a job in this state has come to an end.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Discarded)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a job will not run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiscardReason {
    /// Every attempt that its policy allows has failed.
    AttemptsExhausted,
    /// The handler or an operator said that another attempt cannot help.
    Rejected,
    /// It was still waiting at its `expires_at`.
    Expired,
    /// Its last attempt ran out of time.
    TimedOut,
    /// Too many workers died while they ran it.
    WorkerLost,
    /// Its stored form cannot be read.
    Corrupt,
}

impl DiscardReason {
    /// All reasons.
    pub const ALL: [Self; 6] =
        [Self::AttemptsExhausted, Self::Rejected, Self::Expired, Self::TimedOut, Self::WorkerLost, Self::Corrupt];

    /// The reason's name as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::TimedOut => "timed_out",
            Self::WorkerLost => "worker_lost",
            Self::Corrupt => "corrupt",
        }
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for DiscardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Something that happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Its due time has come.
    Promote,
    /// A worker took it.
    Claim,
    /// The attempt succeeded.
    Complete,
    /// The attempt failed and another one follows later.
    Retry,
    /// The handler asked to be called again later; no attempt is spent.
    Snooze,
    /// The worker gives it back unfinished; no attempt is spent.
    Release,
    /// Its lease ran out: the worker is gone. Below the cap of lost workers it runs again.
    Lose,
    /// It will not run again.
    Discard(DiscardReason),
    /// Somebody asked it to stop; a running job ends so when its handler has noticed.
    Cancel,
    /// An operator runs it again (or now).
    Redrive,
}

/// A change that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {from} cannot {change:?}")]
pub struct IllegalChange {
    /// The state in which the job is.
    pub from: State,
    /// What was asked of it.
    pub change: Change,
}

/// The state after `change` in state `from`.
///
/// Total and closed: every pair has an answer, and no final state is left except by [`Change::Redrive`].
pub fn transition(from: State, change: Change) -> Result<State, IllegalChange> {
    use Change as C;
    use State as S;
    let waiting = matches!(from, S::Scheduled | S::Available | S::Retryable);
    match (from, change) {
        (S::Scheduled | S::Retryable, C::Promote) | (S::Running, C::Release | C::Lose) => Ok(S::Available),
        (S::Available, C::Claim) => Ok(S::Running),
        (S::Running, C::Complete) => Ok(S::Completed),
        (S::Running, C::Retry) => Ok(S::Retryable),
        (S::Running, C::Snooze) => Ok(S::Scheduled),
        (S::Running, C::Discard(reason)) if reason != DiscardReason::Expired => Ok(S::Discarded),
        (_, C::Discard(reason)) if waiting && reason != DiscardReason::TimedOut => Ok(S::Discarded),
        (S::Running, C::Cancel) => Ok(S::Cancelled),
        (_, C::Cancel) if waiting => Ok(S::Cancelled),
        (_, C::Redrive) if from != S::Running && from != S::Available => Ok(S::Available),
        _ => Err(IllegalChange { from, change }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Vec<Change> {
        let mut all = vec![
            Change::Promote,
            Change::Claim,
            Change::Complete,
            Change::Retry,
            Change::Snooze,
            Change::Release,
            Change::Lose,
            Change::Cancel,
            Change::Redrive,
        ];
        all.extend(DiscardReason::ALL.map(Change::Discard));
        all
    }

    #[test]
    fn a_final_state_is_left_only_by_redrive() {
        for state in State::ALL.into_iter().filter(|s| s.is_final()) {
            for change in changes() {
                assert_eq!(transition(state, change).is_ok(), change == Change::Redrive, "{state} {change:?}");
            }
        }
    }

    #[test]
    fn only_an_available_job_is_claimed_and_only_a_running_one_completes() {
        for state in State::ALL {
            assert_eq!(transition(state, Change::Claim).is_ok(), state == State::Available);
            assert_eq!(transition(state, Change::Complete).is_ok(), state == State::Running);
        }
    }

    #[test]
    fn every_state_is_reached_and_every_unfinished_one_can_reach_an_end() {
        for target in State::ALL {
            let entered = State::ALL
                .into_iter()
                .any(|from| from != target && changes().into_iter().any(|c| transition(from, c) == Ok(target)));
            // A job enters `scheduled` at enqueue, too; the others only by a change.
            assert!(entered, "{target} is never entered");
        }
        for from in State::ALL.into_iter().filter(|s| !s.is_final()) {
            assert!(changes().into_iter().any(|c| transition(from, c).is_ok_and(State::is_final)), "{from}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", state.name()));
        }
        for reason in DiscardReason::ALL {
            assert_eq!(DiscardReason::from_name(reason.name()), Some(reason));
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.name()));
        }
    }
}
