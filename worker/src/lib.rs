//! The worker: claims, runs and reports jobs. It knows no job kind.
//!
//! A handler is a struct and one async function ([`Handler`]); a [`Registry`] holds them by kind; a [`Worker`] claims
//! jobs from the broker, runs them in slots, keeps their leases and writes their outcomes. The walk of one job through
//! this crate: `fetcher` (claim) -> `apalis_adapter` (the engine that drives) -> `executor` (decode, look up, run) ->
//! `verdict` (what the end means) -> `finisher` (write it). Beside it `keeper` renews the leases on a thread of its
//! own, `reporter` writes progress and log lines, `sweeper` does what time does to queues, `stop` ends it all.
//! `metrics` counts and `health` answers probes; where and whether that is shown is up to the binary.

mod apalis_adapter;
#[cfg(feature = "artifacts")]
pub mod artifacts;
mod attempt;
mod config;
mod context;
mod engine;
mod error;
mod event;
mod executor;
mod fetcher;
mod finisher;
mod handler;
mod health;
mod intake;
mod keeper;
mod kind_slots;
mod leases;
mod line;
mod metrics;
mod outage;
mod registry;
mod reporter;
mod shares;
mod stop;
mod sweeper;
pub mod testing;
mod verdict;
mod waiting;
mod worker;

pub use attempt::Cause;
pub use config::{Shutdown, WorkerConfig, WorkerSummary};
pub use context::{JobContext, LeaseLost};
pub use error::WorkerError;
pub use event::WorkerEvent;
pub use handler::{Handler, JobError, KindOptions};
pub use health::WorkerHealth;
pub use prometheus;
pub use registry::Registry;
pub use tokio_util::sync::CancellationToken;
pub use worker::Worker;
