//! The real binary, driven as people and scripts drive it: arguments in, text and exit code out.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod artifacts;
mod audit;
mod audit_export;
mod backup;
mod configuration;
mod exports;
mod flow;
mod help;
mod history;
mod input;
mod jobs;
mod ndjson;
mod place;
mod probes;
mod queues;
#[cfg(feature = "reports")]
mod reports;
mod roles;
mod running;
mod schedules;
