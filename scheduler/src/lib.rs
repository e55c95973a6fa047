//! Everything periodic. Several schedulers may run; one leads, by a lease of the broker, and does the [`Duty`]s. Each duty may be
//! done twice without harm, so that a leader who was lost in the middle is simply followed by the next.
//!
//! One file a duty: [`Cron`] enqueues the jobs of schedules, [`Deadlines`] follows them to their ends, [`Recorder`] writes history,
//! [`Pruner`] removes what is old of it, [`Files`] removes files that are needed no longer, [`Sweeper`] does what is due in queues
//! that no worker looks after.

mod cron;
mod deadlines;
mod duty;
mod files;
mod health;
mod leader;
mod living;
mod metrics;
mod pruner;
mod recorder;
mod sweeper;

pub use cron::{Cron, Ticked, first_tick, zone};
pub use deadlines::Deadlines;
pub use duty::{Duty, DutyError};
pub use files::Files;
pub use health::Health;
pub use leader::Scheduler;
pub use living::Living;
pub use metrics::Metrics;
pub use pruner::Pruner;
pub use recorder::{Recorded, Recorder};
pub use sweeper::Sweeper;

/// What [`Metrics`] registers itself with.
pub use prometheus;
