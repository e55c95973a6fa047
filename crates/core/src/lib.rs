//! Words and pure decisions of Lovage.
//!
//! Everything here is a plain value or a total function of its arguments: the states of a job and the one
//! transition function, names and limits, the retry policy, the outcome of an attempt, the wire format. This crate
//! does no I/O, is not async and never asks the clock: time and randomness come in as arguments ([`Clock`],
//! [`Entropy`]).

pub mod audit;
mod check;
mod clock;
pub mod cron;
pub mod duration;
mod error;
mod event;
pub mod filter;
mod fingerprint;
mod flow;
pub mod history;
mod id;
mod job;
pub mod limits;
mod names;
mod nearest;
mod outcome;
mod priority;
mod progress;
mod retry;
pub mod schedule;
mod state;
mod unique;
mod validate;
mod view;
mod wire;

pub use check::{Check, Probed};
pub use clock::{Clock, Entropy, ManualClock, Timestamp};
pub use error::Invalid;
pub use event::{Event, EventKind};
pub use fingerprint::{Fingerprint, MAX_TITLE_CHARS, fingerprint};
pub use flow::{Breaker, BreakerState, BreakerView, FlowView, Full, Limits, Rate, Subject};
pub use id::JobId;
pub use job::{JobSpec, NewJob};
pub use names::{FlowKey, Kind, QueueName, ScheduleName, Tenant, WorkerId};
pub use nearest::nearest;
pub use outcome::{Attempt, AttemptError, ErrorClass, Transition, Verdict, decide};
pub use priority::Priority;
pub use progress::{LogLevel, LogLine, Progress};
pub use retry::RetryPolicy;
pub use state::{Change, DiscardReason, IllegalChange, State, transition};
pub use unique::{Debounce, Hold, OnConflict, Unique};
pub use validate::batch as validate_batch;
pub use view::{Counts, JobView, PastError, Pause, QUEUE_VIEW_FLOWS, QueueView, WorkerState, WorkerView};
pub use wire::{WIRE_VERSION, WireError};

/// JSON text kept byte for byte: big integers, key order and `1.0` against `1` survive the way through the queue.
pub type RawJson = Box<serde_json::value::RawValue>;
