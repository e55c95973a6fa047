//! From what a handler answered to what the broker writes: one pure decision.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::RawJson;
use crate::limits::{MAX_ERROR_BYTES, cut};
use crate::retry::RetryPolicy;
use crate::state::{Change, DiscardReason};

/// What kind of failure ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The handler returned an error.
    Failed,
    /// The handler panicked.
    Panicked,
    /// The attempt ran longer than its hard timeout.
    TimedOut,
    /// The handler returned an error that another attempt cannot mend.
    Rejected,
    /// The worker was lost with the attempt.
    WorkerLost,
    /// Nobody is to blame: the attempt was given back (no handler, shutdown); kept so that it shows.
    Released,
}

impl ErrorClass {
    /// All classes.
    pub const ALL: [Self; 6] =
        [Self::Failed, Self::Panicked, Self::TimedOut, Self::Rejected, Self::WorkerLost, Self::Released];

    /// The class' name as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Rejected => "rejected",
            Self::WorkerLost => "worker_lost",
            Self::Released => "released",
        }
    }

    /// The class with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// The error of one attempt, as it is kept with the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// What kind of failure it was.
    pub class: ErrorClass,
    /// The error's text with its causes, at most [`MAX_ERROR_BYTES`] long.
    pub message: String,
}

impl AttemptError {
    /// An error with its text cut to the limit.
    pub fn new(class: ErrorClass, message: &str) -> Self {
        Self { class, message: cut(message, MAX_ERROR_BYTES) }
    }
}

/// How a handler's run ended.
#[derive(Debug)]
pub enum Verdict {
    /// It succeeded, with a small result.
    Completed(Option<RawJson>),
    /// It failed; the policy decides what follows.
    Failed(AttemptError),
    /// It failed and knows when to try again; the attempt is spent.
    RetryIn(Duration, AttemptError),
    /// It failed and no further attempt can help.
    Rejected(AttemptError),
    /// It wants to be called again later; no attempt is spent.
    Snooze(Duration),
    /// It stopped because it was asked to.
    Cancelled,
    /// It was stopped before its end by the worker (shutdown, no handler, no free slot for the kind); no attempt is
    /// spent. Without a wait it goes back to its old place in the line.
    Released(Duration, Option<String>),
}

/// What the decision needs to know about the attempt.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Attempts that failed before this one.
    pub failed_before: u32,
    /// The job's own policy or its kind's.
    pub policy: &'a RetryPolicy,
}

/// What the broker is told to do with a running job.
#[derive(Debug, Clone)]
pub enum Transition {
    /// Running to completed.
    Complete {
        /// The handler's small result.
        result: Option<RawJson>,
    },
    /// Running to retryable; one attempt is spent.
    Retry {
        /// Wait before it is due.
        delay: Duration,
        /// Why.
        error: AttemptError,
    },
    /// Running to scheduled (or, without a wait, back to its old place); no attempt is spent.
    Release {
        /// Wait before it is due.
        delay: Duration,
        /// Why, where a person should see it.
        error: Option<AttemptError>,
    },
    /// Running to discarded.
    Discard {
        /// Why, as a word.
        reason: DiscardReason,
        /// Why, as a text.
        error: AttemptError,
    },
    /// Running to cancelled.
    Cancel,
}

impl Transition {
    /// The change of state that this is, for [`crate::transition`].
    pub fn change(&self) -> Change {
        match self {
            Self::Complete { .. } => Change::Complete,
            Self::Retry { .. } => Change::Retry,
            Self::Release { delay, .. } if delay.is_zero() => Change::Release,
            Self::Release { .. } => Change::Snooze,
            Self::Discard { reason, .. } => Change::Discard(*reason),
            Self::Cancel => Change::Cancel,
        }
    }
}

/// Decides what follows from how an attempt ended. `fraction` is drawn from `0.0..1.0` for the jitter.
pub fn decide(verdict: Verdict, attempt: Attempt<'_>, fraction: f64) -> Transition {
    let failed = attempt.failed_before.saturating_add(1);
    match verdict {
        Verdict::Completed(result) => Transition::Complete { result },
        Verdict::Cancelled => Transition::Cancel,
        Verdict::Snooze(delay) => {
            // A snooze of nothing would be a busy loop through the broker.
            Transition::Release { delay: delay.max(Duration::from_millis(1)), error: None }
        }
        Verdict::Released(delay, note) => {
            let error = note.map(|text| AttemptError::new(ErrorClass::Released, &text));
            Transition::Release { delay, error }
        }
        Verdict::Rejected(error) => Transition::Discard { reason: DiscardReason::Rejected, error },
        Verdict::Failed(error) | Verdict::RetryIn(_, error) if failed >= attempt.policy.max_attempts => {
            let reason = match error.class {
                ErrorClass::TimedOut => DiscardReason::TimedOut,
                _ => DiscardReason::AttemptsExhausted,
            };
            Transition::Discard { reason, error }
        }
        Verdict::Failed(error) => Transition::Retry { delay: attempt.policy.delay(failed, fraction), error },
        Verdict::RetryIn(delay, error) => Transition::Retry { delay, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: ErrorClass) -> AttemptError {
        AttemptError::new(class, "no luck")
    }

    fn after(verdict: Verdict, failed_before: u32) -> Transition {
        let policy = RetryPolicy { max_attempts: 3, ..RetryPolicy::default() };
        decide(verdict, Attempt { failed_before, policy: &policy }, 0.5)
    }

    #[test]
    fn a_failure_is_retried_until_the_attempts_are_spent() {
        let Transition::Retry { delay, .. } = after(Verdict::Failed(error(ErrorClass::Failed)), 1) else {
            panic!("the second of three attempts is retried");
        };
        assert_eq!(delay, Duration::from_secs(1), "half of the 2 s bound");
        let last = after(Verdict::Failed(error(ErrorClass::Failed)), 2);
        assert!(matches!(last, Transition::Discard { reason: DiscardReason::AttemptsExhausted, .. }));
    }

    #[test]
    fn a_last_attempt_out_of_time_says_so() {
        let last = after(Verdict::Failed(error(ErrorClass::TimedOut)), 2);
        assert!(matches!(last, Transition::Discard { reason: DiscardReason::TimedOut, .. }));
    }

    #[test]
    fn retry_in_spends_an_attempt_and_snooze_does_not() {
        let last = after(Verdict::RetryIn(Duration::from_secs(9), error(ErrorClass::Failed)), 2);
        assert!(matches!(last, Transition::Discard { .. }));
        let snoozed = after(Verdict::Snooze(Duration::ZERO), 2);
        assert_eq!(snoozed.change(), Change::Snooze, "even a snooze of nothing waits a moment");
        let released = after(Verdict::Released(Duration::ZERO, None), 2);
        assert_eq!(released.change(), Change::Release);
    }

    #[test]
    fn a_long_error_is_cut_at_a_character() {
        let error = AttemptError::new(ErrorClass::Failed, &"ü".repeat(MAX_ERROR_BYTES));
        assert!(error.message.len() <= MAX_ERROR_BYTES && error.message.ends_with("… (cut)"));
    }
}
