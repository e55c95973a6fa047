//! What ends a command before its end, and the exit code that says so.
//!
//! One variant per thing that a calling script does about it; the numbers are in `docs/reference/cli.md`.

use lovage_broker::{BrokerError, Refused};
use lovage_core::{Change, IllegalChange, Invalid};
use serde_json::json;

/// Result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The caller wrote something unacceptable.
    #[error("{message}")]
    Usage {
        /// The field, option or setting, where there is one.
        field: Option<String>,
        /// One sentence: what is wrong and what to do.
        message: String,
    },
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// The state of things does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// A store or server cannot be reached; the same command may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// Too many jobs wait already; the same command may succeed after the time that it names.
    #[error(transparent)]
    Full(lovage_core::Full),
    /// It took longer than the caller wanted to wait.
    #[error("{0}")]
    Timeout(String),
    /// Anything else that went wrong.
    #[error("{0}")]
    Failed(String),
    /// The result is bad and has been shown already: only the exit code is left to say.
    #[error("")]
    Shown(u8),
    /// Whoever read our output has gone away (`| head`): nobody is left to tell.
    #[error("")]
    OutputClosed,
}

impl Failure {
    /// A usage failure about one field.
    pub fn usage(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Usage { field: Some(field.into()), message: message.into() }
    }

    /// The exit code of the process.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage { .. } => 2,
            Self::NotFound(_) => 3,
            Self::Conflict(_) => 5,
            Self::Unavailable(_) | Self::Full(_) => 6,
            Self::Timeout(_) => 124,
            Self::Shown(code) => *code,
            Self::OutputClosed => 0,
        }
    }

    /// The word for programs.
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::Usage { .. } => "invalid",
            Self::NotFound(_) => "not_found",
            Self::Conflict(_) => "conflict",
            Self::Unavailable(_) => "unavailable",
            Self::Full(_) => "full",
            Self::Timeout(_) => "timeout",
            Self::Failed(_) | Self::Shown(_) | Self::OutputClosed => "failed",
        }
    }

    /// The error for programs: `{"error": {"slug", "message", "field"?, "retry_after_ms"?}}`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut error = json!({ "slug": self.slug(), "message": self.to_string() });
        if let Self::Usage { field: Some(field), .. } = self {
            error["field"] = json!(field);
        }
        if let Self::Full(full) = self {
            error["subject"] = json!(full.subject);
            error["limit"] = json!(full.limit);
            error["retry_after_ms"] = json!(full.retry_after.as_millis() as u64);
        }
        json!({ "error": error })
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        let message = invalid.to_string();
        Self::Usage { field: Some(invalid.field), message }
    }
}

impl From<IllegalChange> for Failure {
    fn from(illegal: IllegalChange) -> Self {
        let wanted = match illegal.change {
            Change::Redrive => "be retried: it is waiting or running already",
            Change::Cancel => "be cancelled: it has already ended",
            Change::Discard(_) => "be discarded",
            _ => "be changed in this way",
        };
        Self::Conflict(format!("state: a job that is {} cannot {wanted}", illegal.from))
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Invalid(invalid) => invalid.into(),
            BrokerError::Illegal(illegal) => illegal.into(),
            BrokerError::NotFound { .. } => Self::NotFound(error.to_string()),
            BrokerError::Unavailable(_) => Self::Unavailable(error.to_string()),
            BrokerError::Misconfigured(_) | BrokerError::Protocol(_) => Self::Failed(error.to_string()),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(invalid) => invalid.into(),
            Refused::Conflict { .. } => Self::Conflict(refused.to_string()),
            Refused::Full(full) => Self::Full(full),
            Refused::UniqueTaken { .. } => Self::Conflict(format!(
                "{refused}; wait until that job has ended, or use --on-conflict return or replace"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use lovage_core::Subject;

    use super::*;

    #[test]
    fn a_refusal_names_its_field_for_programs_too() {
        let failure = Failure::from(Invalid::new("queue", "is empty", "use a name"));
        assert_eq!(failure.code(), 2);
        let told = serde_json::json!({"field": "queue", "message": "queue: is empty; use a name", "slug": "invalid"});
        assert_eq!(failure.to_json(), serde_json::json!({ "error": told }));
    }

    #[test]
    fn a_full_queue_says_when_to_try_again() {
        let retry_after = std::time::Duration::from_millis(2_500);
        let failure =
            Failure::from(Refused::Full(lovage_core::Full { subject: Subject::Queue, limit: 5, retry_after }));
        assert_eq!(failure.code(), 6);
        let error = &failure.to_json()["error"];
        assert_eq!((&error["slug"], &error["retry_after_ms"]), (&json!("full"), &json!(2_500)));
        assert_eq!(error["message"], "queue is full: 5 jobs may wait; try again in 3 s");
    }

    #[test]
    fn an_unreachable_broker_is_told_from_a_wrong_one() {
        assert_eq!(Failure::from(BrokerError::Unavailable("gone".into())).code(), 6);
        assert_eq!(Failure::from(BrokerError::Misconfigured("evicts".into())).code(), 1);
    }
}
