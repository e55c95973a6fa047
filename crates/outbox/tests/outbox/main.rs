//! Rows that services insert with plain SQL become jobs: all that are committed, none that is not, each once by its id,
//! whatever breaks in between. What both tables promise is tested on both.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod breaking;
mod confirming;
mod inserting;
mod refusing;
mod spooling;
mod stage;
