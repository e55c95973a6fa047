//! The ledger: what must outlive the queue, in PostgreSQL or, embedded, in one SQLite file.
//!
//! That is the audit trail ([`Ledger::append`] and what reads it) and the history of jobs ([`Ledger::record`], [`Ledger::search`]).
//! The schema is that of `migrations/postgres` and
//! `migrations/sqlite`, which have the same numbered names; a ledger whose schema is not the one that this release knows
//! is not opened ([`LedgerError::Pending`], [`LedgerError::Newer`]).

mod address;
mod audit;
mod error;
mod history;
mod ledger;
mod migrations;
mod schedules;

pub use address::LedgerAddress;
pub use audit::{
    AuditWriter, Chain, Kept, LastAnchor, MAX_APPEND, Pruned, Range, Redaction, SigningKey, Verified, is_signature,
    is_signed,
};
pub use error::LedgerError;
pub use history::{Failure, FailureQuery, Found, MAX_FIND, Page, Position, PrunedJobs, Recorded, Search};
pub use ledger::Ledger;
pub use migrations::{Migration, migrate, status};
pub use schedules::{
    Advance, Change, Deadlines, MAX_SCHEDULES, ManagedBy, Outcome as RunOutcome, Put, Run, Schedule, SchedulePage,
    Synced,
};
