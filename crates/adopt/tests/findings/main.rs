//! What ADR 002 says about apalis-redis 1.0.0 and apalis-core 1.0.0, each row of its table shown on the real thing.
//!
//! These tests hold the record to the truth, not our code. One that fails after an upgrade says that its row is out of
//! date: mend the record (`docs/adr/002-own-queue-under-apalis.md`), and take the test with it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acknowledging;
mod clocks;
mod cluster;
mod crashing;
mod ending;
mod idempotency;
mod order;
mod promoting;
mod retrying;
mod stage;
mod vacuuming;
