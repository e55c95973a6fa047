//! The audit trail: adding events in batches, each tenant's in a chain of its own, and reading them back.
//!
//! What is hashed is decided in `lovage_core::audit`; here it is stored. [`append`](Ledger::append) is one transaction: it
//! locks the chains, numbers and hashes what is new, and writes records, batches and heads. [`AuditWriter`] collects what
//! many callers send at once.

mod anchor;
mod draft;
mod postgres;
mod prune;
mod range;
mod redact;
mod sqlite;
mod verify;
mod writer;

use std::time::Duration;

use lovage_core::Invalid;
use lovage_core::audit::{AuditEvent, Batch, Head, Record};

pub use self::anchor::{LastAnchor, SigningKey, is_signature, is_signed};
pub use self::prune::Pruned;
pub use self::range::Range;
pub use self::redact::Redaction;
pub use self::verify::Verified;
pub use self::writer::AuditWriter;
use crate::error::LedgerError;
use crate::ledger::{Ledger, Store};

/// How long a commit is waited for.
const PATIENCE: Duration = Duration::from_secs(90);
/// Most events of one call.
pub const MAX_APPEND: usize = 5_000;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is new, and has this number in its tenant's chain.
    New(u64),
    /// It was there already, under this number.
    Duplicate(u64),
    /// Another event of the tenant has its id; that one stays.
    Conflict(u64),
}

/// A tenant's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The tenant; empty for none.
    pub tenant: String,
    /// Where it ends.
    pub head: Head,
    /// The last record that retention has removed; 0 if none was.
    pub pruned: u64,
}

impl Ledger {
    /// Adds events, all of them or none, in one commit. The answers are in their order.
    pub async fn append(&self, events: &[AuditEvent]) -> Result<Vec<Kept>, LedgerError> {
        if events.len() > MAX_APPEND {
            let help = format!("send at most {MAX_APPEND} in one call");
            return Err(Invalid::new("events", format!("are {}", events.len()), help).into());
        }
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let appended = async {
            match &self.store {
                Store::Postgres(pool) => postgres::append(pool, events).await,
                Store::Sqlite(pool) => sqlite::append(pool, events).await,
            }
        };
        // A server that has vanished without a word says nothing for very long. What it may have committed is there when
        // the same events come again.
        tokio::time::timeout(PATIENCE, appended)
            .await
            .unwrap_or_else(|_| Err(LedgerError::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()))))
    }

    /// Adds events, as many as can be added: if the database refuses the data, all but those that are at fault.
    pub async fn append_each(&self, events: &[AuditEvent]) -> Vec<Result<Kept, LedgerError>> {
        writer::commit(self, events).await
    }

    /// The chains of tenants after `after` in the order of their names, at most `limit`.
    pub async fn chains(&self, after: Option<&str>, limit: u32) -> Result<Vec<Chain>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::chains(pool, after, limit).await,
            Store::Sqlite(pool) => sqlite::chains(pool, after, limit).await,
        }
    }

    /// A tenant's chain, if it has one.
    pub async fn chain(&self, tenant: &str) -> Result<Option<Chain>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::chain(pool, tenant).await,
            Store::Sqlite(pool) => sqlite::chain(pool, tenant).await,
        }
    }

    /// The records of a tenant with numbers from `first` to `last`, in their order, at most `limit`.
    pub async fn records(&self, tenant: &str, first: u64, last: u64, limit: u32) -> Result<Vec<Record>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::records(pool, tenant, (first, last), limit).await,
            Store::Sqlite(pool) => sqlite::records(pool, tenant, (first, last), limit).await,
        }
    }

    /// The batches of a tenant that begin at record `from` or later, in their order, at most `limit`.
    pub async fn batches(&self, tenant: &str, from: u64, limit: u32) -> Result<Vec<Batch>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::batches(pool, tenant, from, limit).await,
            Store::Sqlite(pool) => sqlite::batches(pool, tenant, from, limit).await,
        }
    }
}
