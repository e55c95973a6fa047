//! The broker: where jobs live, and the only place where a state changes.
//!
//! Four traits by who calls them: [`Producer`] hands jobs in, [`WorkerSide`] claims, renews and finishes them,
//! [`Operator`] steps in from outside, [`Reader`] looks. Two brokers keep the same promises: [`RedisBroker`] for
//! production and [`SqliteBroker`] as the embedded default; `tests/conformance` holds both to the contract, and
//! `tests/model.rs` drives both and an in-memory model with the same random commands.
//!
//! No type of redis or sqlx stands in a public signature.

mod api;
mod error;
mod redis;
mod sqlite;
mod system;

pub use api::{
    Broker, BulkAction, BulkProgress, Cancelled, Claim, ClaimedJob, Connect, Control, Edit, EnqueueOutcome, EventPage,
    Finish, HeldLease, JobPage, Leadership, LeaseStatus, ListQuery, LogPage, NewLogLine, NewPause, Operator, Producer,
    Reader, Refused, Report, Retention, Swept, Wake, WorkerSide,
};
pub use error::BrokerError;
pub use redis::{RedisBroker, RedisConfig, RedisTls};
pub use sqlite::{SqliteBroker, SqliteConfig};
pub use system::{OsEntropy, SystemClock};
