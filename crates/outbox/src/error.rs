//! What can go wrong between a table and the broker, by what the caller does about it.

use lovage_broker::BrokerError;
use lovage_core::Invalid;
use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

use crate::address::Address;

/// An error of an outbox. Nothing is lost by any of them: what was not confirmed stays in the table.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The caller sent something unacceptable: mend it and call again.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The table is not there.
    #[error("there is no table lovage_outbox in {0}; create it with `lovage outbox init`")]
    Missing(String),
    /// The database cannot be reached, is busy or full: try again later. The text says why.
    #[error("outbox {place}: {reason}")]
    Store {
        /// Which outbox.
        place: String,
        /// In the database's words.
        reason: String,
    },
    /// The database refuses for good: a person has to grant a right or mend the table. The text says what.
    #[error("outbox {place} cannot be used: {reason}")]
    Refused {
        /// Which outbox.
        place: String,
        /// In the database's words.
        reason: String,
    },
    /// The broker refuses or cannot be reached.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl OutboxError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store { .. } => true,
            Self::Broker(error) => error.is_transient(),
            Self::Invalid(_) | Self::Missing(_) | Self::Refused { .. } => false,
        }
    }

    pub(crate) fn of(address: &Address, error: &Error) -> Self {
        let place = address.to_string();
        let Error::Database(inner) = error else {
            let reason = match error {
                Error::Io(error) => format!("cannot be reached: {error}"),
                Error::Tls(error) => format!("cannot be reached over TLS: {error}"),
                Error::PoolTimedOut => "gave no connection in time".to_owned(),
                other => other.to_string(),
            };
            return Self::Store { place, reason };
        };
        let code = inner.code().unwrap_or_default();
        let reason = format!("{} ({code})", inner.message());
        let (missing, helpless) = if inner.try_downcast_ref::<PgDatabaseError>().is_some() {
            // PostgreSQL manual, appendix A: undefined table; syntax or access rule, no such role or password, no such
            // database.
            (code == "42P01", matches!(code.get(..2), Some("42" | "28" | "3D")))
        } else {
            let class = code.parse::<i32>().unwrap_or_default() & 0xff;
            // SQLITE_ERROR, READONLY, CORRUPT and NOTADB.
            (inner.message().starts_with("no such table: lovage_outbox"), matches!(class, 1 | 8 | 11 | 26))
        };
        match (missing, helpless) {
            (true, _) => Self::Missing(place),
            (_, true) => Self::Refused { place, reason },
            _ => Self::Store { place, reason },
        }
    }
}
