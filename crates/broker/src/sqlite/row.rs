//! A job's row while a transaction works on it, and the change of state: [`lovage_core::transition`] decides, the row
//! follows.

use lovage_core::{Change, DiscardReason, Hold, IllegalChange, JobId, State, Timestamp, WorkerId, transition};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::fault::Fault;

/// The columns that [`Row::read`] expects, in its order.
macro_rules! row_columns {
    () => {
        "job.seq, job.id, job.state, job.sort, job.place, job.priority, job.attempt, job.failed, job.lost, job.token, \
         job.since, job.expires_at, job.worker, job.cancel_requested, job.digest, job.unique_ttl, job.hold_ttl, \
         job.reason, job.kind, job.tenant, job.flow_key, job.lane, job.slot"
    };
}
pub(super) use row_columns;
/// How many those are.
pub(super) const ROW_COLUMNS: usize = 23;

/// The part of a job that a change of state reads and writes.
#[derive(Debug)]
pub(super) struct Row {
    pub seq: i64,
    pub id: JobId,
    pub state: State,
    /// The state in which it was read.
    pub before: State,
    pub sort: i64,
    pub place: i64,
    pub priority: u8,
    pub attempt: u32,
    pub failed: u32,
    pub lost: u32,
    pub token: i64,
    pub since: i64,
    pub expires_at: Option<i64>,
    pub worker: Option<String>,
    pub cancel_requested: bool,
    pub reason: Option<DiscardReason>,
    pub lock: Option<Lock>,
    pub kind: Option<String>,
    pub tenant: Option<String>,
    pub key: Option<String>,
    /// The lane in which it was when it was read, or 0.
    pub lane: i64,
    /// Whether it was claimed and has a key.
    pub slot: bool,
    /// What its attempt says about the work, if it just ended.
    pub sign: Sign,
    /// Its item in a finish call.
    pub order: usize,
}

/// What the end of an attempt says about whether the work can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sign {
    #[default]
    Nothing,
    Success,
    Failure,
}

/// The unique key that a job asked for.
#[derive(Debug, Clone)]
pub(super) struct Lock {
    pub digest: String,
    pub ttl: i64,
    pub hold: Hold,
}

/// A state as it is stored for a job that is available in a lane.
pub(super) const LANED: i64 = 7;

/// A state as it is stored: its index in [`State::ALL`].
pub(super) const fn code(state: State) -> i64 {
    state as i64
}

/// The second number under which jobs of a state are stored, if there is one.
pub(super) const fn second_code(state: State) -> Option<i64> {
    match state {
        State::Available => Some(LANED),
        _ => None,
    }
}

pub(super) fn state_of(code: i64) -> Result<State, Fault> {
    if code == LANED {
        return Ok(State::Available);
    }
    let known = usize::try_from(code).ok().and_then(|index| State::ALL.get(index));
    known.copied().ok_or_else(|| Fault::Unreadable(format!("a job has state number {code}, which is none of ours")))
}

pub(super) fn id_of(text: &str) -> Result<JobId, Fault> {
    text.parse().map_err(|error| Fault::Unreadable(format!("a stored job id: {error}")))
}

impl Row {
    pub(super) fn read(row: &SqliteRow) -> Result<Self, Fault> {
        let state = state_of(row.try_get(2)?)?;
        let digest: Option<String> = row.try_get(14)?;
        let lock = match digest {
            Some(digest) => Some(Lock {
                digest,
                ttl: row.try_get(15)?,
                hold: if row.try_get(16)? { Hold::Ttl } else { Hold::Finished },
            }),
            None => None,
        };
        let reason: Option<String> = row.try_get(17)?;
        Ok(Self {
            seq: row.try_get(0)?,
            id: id_of(row.try_get(1)?)?,
            state,
            before: state,
            sort: row.try_get(3)?,
            place: row.try_get(4)?,
            priority: row.try_get(5)?,
            attempt: row.try_get(6)?,
            failed: row.try_get(7)?,
            lost: row.try_get(8)?,
            token: row.try_get(9)?,
            since: row.try_get(10)?,
            expires_at: row.try_get(11)?,
            worker: row.try_get(12)?,
            cancel_requested: row.try_get(13)?,
            reason: reason.as_deref().and_then(DiscardReason::from_name),
            lock,
            kind: row.try_get(18)?,
            tenant: row.try_get(19)?,
            key: row.try_get(20)?,
            lane: row.try_get(21)?,
            slot: row.try_get(22)?,
            sign: Sign::Nothing,
            order: 0,
        })
    }

    /// Moves the row into the state that follows from `change`. Where it stands in that state is the caller's next step.
    pub(super) fn enter(&mut self, change: Change, now: Timestamp) -> Result<(), IllegalChange> {
        self.state = transition(self.state, change)?;
        self.since = now.as_millis() as i64;
        self.cancel_requested = false;
        self.reason = match change {
            Change::Discard(reason) => Some(reason),
            _ => None,
        };
        Ok(())
    }

    /// Whether it waits: for its time, for a worker, or for a retry.
    pub(super) fn waits(state: State) -> bool {
        matches!(state, State::Scheduled | State::Available | State::Retryable)
    }

    /// The worker of the latest run.
    pub(super) fn worker(&self) -> Option<WorkerId> {
        self.worker.as_deref().and_then(|worker| worker.parse().ok())
    }
}
