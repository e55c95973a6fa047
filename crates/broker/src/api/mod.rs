//! The contract. A broker is right when `tests/conformance` passes; what the suite checks is written here.
//!
//! Common to all calls: one call is one atomic step (a Lua script, an SQL transaction), every change of state follows
//! [`lovage_core::transition`] and appends one [`lovage_core::Event`] per job in the same step, all times are the
//! broker's own, and no call touches more than a bounded number of jobs.

mod operator;
mod producer;
mod reader;
mod worker;

use std::sync::Arc;

use futures::future::BoxFuture;

pub use operator::{BulkAction, BulkProgress, Cancelled, Edit, Leadership, NewPause, Operator};
pub use producer::{EnqueueOutcome, Producer, Refused};
pub(crate) use reader::wanted;
pub use reader::{EventPage, JobPage, ListQuery, LogPage, Reader};
pub use worker::{
    Claim, ClaimedJob, Control, Finish, HeldLease, LeaseStatus, NewLogLine, Report, Retention, Swept, Wake, WorkerSide,
};

use crate::error::BrokerError;

/// Result of a broker call.
type Result<T> = std::result::Result<T, BrokerError>;

/// Everything at once; what the binary hands around.
pub trait Broker: Producer + WorkerSide + Operator + Reader {}
impl<T: Producer + WorkerSide + Operator + Reader> Broker for T {}

/// Opens a further connection of the same broker. The lease keeper uses one on a runtime of its own.
pub type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Broker>>> + Send + Sync>;
