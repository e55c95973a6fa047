//! Schedules: which job is enqueued when, and what becomes of ticks that were missed or meet a run that has not ended.
//!
//! All of it is decided here and pure: [`due()`] says which ticks of a schedule are to run now, [`Overlap::decide`] what
//! the run before means for one, [`ScheduleSpec::job`] which job a tick enqueues. The scheduler asks, enqueues and remembers.

mod due;
mod overlap;
mod render;
mod spec;
mod text;

pub use due::{Due, GRACE, due, undecided};
pub use overlap::{Before, Decision, Overlap};
pub use spec::{FIELDS, Missed, ScheduleSpec};

use std::time::Duration;

/// Longest jitter.
pub const MAX_JITTER: Duration = Duration::from_hours(1);
/// Longest time without a success that may be asked for.
pub const MAX_DEADLINE: Duration = Duration::from_hours(24 * 3_650);
/// Most missed ticks that are made up for at once.
pub const MAX_CATCH_UP: u32 = 1_000;
/// Longest description.
pub const MAX_DESCRIPTION_CHARS: usize = 1_000;
/// Longest expression's zone name.
pub(crate) const MAX_ZONE_CHARS: usize = 64;
