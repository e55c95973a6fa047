//! From what SQLite says to what the caller does about it. Every call of the embedded broker passes here on its way
//! out when it fails.

use lovage_core::{IllegalChange, Invalid};

use crate::error::BrokerError;

/// Why a command of the embedded broker did not do what it was asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// The request itself cannot be granted. Only said before the command's first write, so that the other commands of
    /// the same transaction stand.
    Refused(BrokerError),
    /// SQLite failed: the transaction is void.
    Store(sqlx::Error),
    /// A stored value that this release cannot read.
    Unreadable(String),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error)
    }
}

impl From<BrokerError> for Fault {
    fn from(error: BrokerError) -> Self {
        Self::Refused(error)
    }
}

impl From<Invalid> for Fault {
    fn from(error: Invalid) -> Self {
        Self::Refused(error.into())
    }
}

impl From<IllegalChange> for Fault {
    fn from(error: IllegalChange) -> Self {
        Self::Refused(error.into())
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<Fault> for BrokerError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => error,
            Fault::Store(error) => from_store(&error),
            Fault::Unreadable(what) => Self::Protocol(what),
        }
    }
}

// Primary result codes, https://www.sqlite.org/rescode.html
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const NOTADB: i32 = 26;

/// The primary result code, if the error is one of SQLite's own.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether somebody else has the lock that was needed.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(BUSY | LOCKED))
}

/// Whether the file is not what it should be; waiting does not help.
pub(super) fn is_damaged(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(CORRUPT | NOTADB))
}

fn from_store(error: &sqlx::Error) -> BrokerError {
    let help = match code(error) {
        Some(BUSY | LOCKED) => "another process holds the write lock for too long; is a tool or a backup at the file?",
        Some(READONLY) => "the file or its folder is read-only; give this user write access",
        Some(FULL) => "the disk or the file's size limit is full; free some space",
        Some(CORRUPT | NOTADB) => {
            return BrokerError::Misconfigured(format!(
                "the SQLite file is damaged ({error}); stop all processes and restore it from a backup"
            ));
        }
        Some(_) => "see SQLite's message",
        None if matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
            return BrokerError::Protocol(error.to_string());
        }
        None => "the store's connection is gone",
    };
    BrokerError::Unavailable(format!("{error}: {help}"))
}

/// The same error once more: one failed commit is the answer to every command in it.
pub(super) fn again(error: &BrokerError) -> BrokerError {
    match error {
        BrokerError::Misconfigured(text) => BrokerError::Misconfigured(text.clone()),
        BrokerError::Protocol(text) => BrokerError::Protocol(text.clone()),
        other => BrokerError::Unavailable(match other {
            BrokerError::Unavailable(text) => text.clone(),
            other => other.to_string(),
        }),
    }
}
