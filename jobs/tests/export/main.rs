//! `export.query` from end to end: a real database, the handler, a real store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod chunks;
mod datasets;
mod postgres;
mod s3;
mod sqlite;
mod tables;
mod types;
