//! Why the ledger cannot do what was asked, by what the caller does next.

use lovage_core::Invalid;

/// An error of the ledger.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// What was sent cannot be accepted: mend it.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The data cannot be stored, whatever is done: the database refuses it.
    #[error("the database refuses the data: {0}")]
    Refused(String),
    /// The database cannot be reached or does not answer: try again later.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// Another leader's term has begun: stop.
    #[error("somebody else leads now")]
    Deposed,
    /// The schema is older than this release's: run the command.
    #[error("{place} has {pending} pending migrations (next: {next}); run `lovage migrate up`")]
    Pending {
        /// Where the ledger is.
        place: String,
        /// How many there are.
        pending: usize,
        /// The name of the first.
        next: String,
    },
    /// The schema is newer than this release's: update.
    #[error("{place} was migrated by a newer release (to {version}); run that release, or restore a backup")]
    Newer {
        /// Where the ledger is.
        place: String,
        /// The newest version that the ledger has.
        version: i64,
    },
    /// The schema was changed by hand or a migration broke off.
    #[error("the schema of {place} cannot be used: {problem}")]
    Broken {
        /// Where the ledger is.
        place: String,
        /// What is wrong.
        problem: String,
    },
}

impl LedgerError {
    /// What a statement's failure means.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(database) if is_own_key(database) => Self::Unavailable(format!(
                "a chain's head does not fit its records ({}); `lovage audit verify` names what is wrong",
                database.message()
            )),
            Some(database) if is_data(database) => Self::Refused(database.message().to_owned()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Whether a record's number is taken: its chain's head was set back or removed. That is no event's fault.
fn is_own_key(error: &dyn sqlx::error::DatabaseError) -> bool {
    let keys = ["audit_events_pkey", "audit_batches_pkey", "audit_chains_pkey"];
    error.constraint().is_some_and(|name| keys.contains(&name)) || error.code().as_deref() == Some("1555")
}

/// Whether another try may succeed at once: a deadlock or a serialization failure.
pub(crate) fn is_collision(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(code.as_ref(), "40P01" | "40001"))
}

/// Whether the data is at fault: SQLSTATE classes 22 and 23, 54 (JSON that is nested too deeply for the server), what a
/// trigger raises (P0001), SQLite's constraint (19), too big (18) and mismatch (20).
fn is_data(error: &dyn sqlx::error::DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    let sqlite = code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 18..=20)) && code.len() < 5;
    sqlite || (code.len() == 5 && (["22", "23", "54"].iter().any(|class| code.starts_with(class)) || code == "P0001"))
}
