//! The artifact store through its public face: on memory, on a folder and on a real S3 server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
mod links;
mod listing;
mod retention;
mod signature;
mod stores;
mod sweep;
