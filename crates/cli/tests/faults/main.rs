//! What happens to jobs when processes die, freeze or are deployed: real `lovage worker` processes on a real Redis,
//! and a worker that kills itself at named points. Each test names its row of the thirty known failures.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod audit_kills;
mod export_kills;
mod history_kills;
mod kill_points;
mod network;
mod postgres;
mod processes;
mod redis_troubles;
mod slots;
mod stage;
mod stopping;
mod stores;
mod ticks;
mod twenty_points;
