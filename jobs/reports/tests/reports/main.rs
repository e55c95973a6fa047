//! `export.report` from end to end: files in a store, the handler, and what others read in the result.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
mod bench;
mod buckets;
mod datasets;
mod files;
mod hostile;
mod workbooks;
