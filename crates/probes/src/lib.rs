//! The HTTP door of a role: probes for whoever keeps it running, metrics for whoever watches it.
//!
//! A role says how it stands ([`lovage_core::Probed`]) and counts in a [`prometheus::Registry`]; this crate answers
//! `/livez`, `/readyz`, `/startupz`, `/healthz` and `/metrics` from that, on a thread of its own, so that a role that is
//! busy still answers and one that is stuck says so. Every answer keeps the same shape (`answer`), and every connection
//! the same bounds (`server`). It knows no broker and no job.

mod answer;
mod door;
mod error;
mod exposition;
mod server;
mod token;

pub use answer::{Problem, ok};
pub use door::Door;
pub use error::ProbesError;
pub use exposition::{Exposition, Gather};
pub use server::Server;
pub use token::Token;
