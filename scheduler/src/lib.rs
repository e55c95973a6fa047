//! Everything periodic. Several schedulers may run; one leads, by a lease of the broker, and does the [`Duty`]s. Each duty may be
//! done twice without harm, so that a leader who was lost in the middle is simply followed by the next.
//!
//! Today the duties here are the recorder of history and the pruner; cron has its place here, too.

mod cron;
mod deadlines;
mod duty;
mod health;
mod leader;
mod metrics;
mod pruner;
mod recorder;

pub use cron::{Cron, Ticked, zone};
pub use deadlines::Deadlines;
pub use duty::{Duty, DutyError};
pub use health::Health;
pub use leader::Scheduler;
pub use metrics::Metrics;
pub use pruner::Pruner;
pub use recorder::{Recorded, Recorder};

/// What [`Metrics`] registers itself with.
pub use prometheus;
