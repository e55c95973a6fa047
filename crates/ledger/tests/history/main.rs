//! The history of jobs on both databases: what is recorded, what is found again, and what goes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failures;
mod jobs;
mod meaning;
mod months;
#[expect(dead_code, reason = "each file of tests uses a part of it")]
#[path = "../place/mod.rs"]
mod place;
mod prune;
mod record;
mod search;
