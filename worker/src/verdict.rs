//! What the end of an attempt means: from (how it ended, why it was stopped, policy) to what the broker is told. Pure.

use std::time::Duration;

use lovage_core::{
    Attempt, AttemptError, DiscardReason, ErrorClass, Kind, RetryPolicy, Transition, Verdict, WireError, WorkerId,
    decide,
};

use crate::attempt::Cause;
use crate::handler::JobError;
use crate::registry::Ended;

/// How an attempt came to its end.
#[derive(Debug)]
pub(crate) enum End {
    /// Its stored form cannot be read.
    Unreadable(WireError),
    /// This worker has no handler for it.
    NoHandler(Kind),
    /// All slots of its kind are taken.
    KindFull,
    /// The handler returned.
    Returned(Ended),
    /// The handler panicked.
    Panicked(String),
    /// It was dropped because it did not return within the grace after it was asked to stop, or did not begin because
    /// the worker ends.
    Dropped,
}

/// Under which conditions an attempt runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Terms {
    pub policy: RetryPolicy,
    pub timeout: Duration,
}

/// What the judge has to know beside the end itself.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub cause: Option<Cause>,
    /// Absent when it ended before they were known.
    pub terms: Option<&'a Terms>,
    pub failed_before: u32,
    pub worker: &'a WorkerId,
}

/// Another worker may know the kind; coming back sooner would only make noise.
const NO_HANDLER_DELAY: Duration = Duration::from_secs(30);
const KIND_FULL_DELAY: Duration = Duration::from_millis(500);

/// What the broker is told; nothing if the lease is lost. `fraction` is drawn from `0.0..1.0` for the jitter.
pub(crate) fn judge(end: End, case: &Case<'_>, fraction: f64) -> Option<Transition> {
    if case.cause == Some(Cause::LeaseLost) {
        return None;
    }
    let verdict = match end {
        End::Unreadable(WireError::Corrupt(problem)) => {
            let error = AttemptError::new(ErrorClass::Rejected, &format!("the stored job cannot be read: {problem}"));
            return Some(Transition::Discard { reason: DiscardReason::Corrupt, error });
        }
        End::Unreadable(error @ WireError::Newer(_)) => {
            Verdict::Released(NO_HANDLER_DELAY, Some(format!("{error} (worker {})", case.worker)))
        }
        End::NoHandler(kind) => {
            Verdict::Released(NO_HANDLER_DELAY, Some(format!("no handler for kind {kind} on worker {}", case.worker)))
        }
        // Spread, so that those who wait do not come back together.
        End::KindFull => Verdict::Released(KIND_FULL_DELAY.mul_f64(1.0 + fraction), None),
        End::Returned(Ok(result)) => Verdict::Completed(result),
        End::Returned(Err(error)) => failed(error, case),
        End::Panicked(message) => stopped(case).unwrap_or_else(|| {
            Verdict::Failed(AttemptError::new(ErrorClass::Panicked, &format!("the handler panicked: {message}")))
        }),
        // Without a cause it has not begun.
        End::Dropped => stopped(case).unwrap_or(Verdict::Released(Duration::ZERO, None)),
    };
    let default = RetryPolicy::default();
    let policy = case.terms.map_or(&default, |terms| &terms.policy);
    Some(decide(verdict, Attempt { failed_before: case.failed_before, policy }, fraction))
}

/// What an error means. An attempt that was asked to stop did not fail of itself, unless it says that another attempt
/// cannot help.
fn failed(error: JobError, case: &Case<'_>) -> Verdict {
    match (error, stopped(case)) {
        (JobError::Discard(error), _) => Verdict::Rejected(AttemptError::new(ErrorClass::Rejected, &chain(&error))),
        (_, Some(stopped)) => stopped,
        (JobError::Retry(error), None) => Verdict::Failed(AttemptError::new(ErrorClass::Failed, &chain(&error))),
        (JobError::RetryIn(delay, error), None) => {
            Verdict::RetryIn(delay, AttemptError::new(ErrorClass::Failed, &chain(&error)))
        }
        (JobError::Snooze(delay), None) => Verdict::Snooze(delay),
        (JobError::Cancelled, None) => Verdict::Cancelled,
    }
}

/// What it means that the attempt was asked to stop, if it was.
fn stopped(case: &Case<'_>) -> Option<Verdict> {
    match case.cause? {
        Cause::Cancel => Some(Verdict::Cancelled),
        Cause::Shutdown => Some(Verdict::Released(Duration::ZERO, None)),
        Cause::TimedOut => {
            let limit = case.terms.map_or_else(String::new, |terms| format!(" of {:?}", terms.timeout));
            let message = format!("the attempt ran longer than its timeout{limit}");
            Some(Verdict::Failed(AttemptError::new(ErrorClass::TimedOut, &message)))
        }
        Cause::LeaseLost => None,
    }
}

/// The error with its causes on one line.
fn chain(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use lovage_core::Change;

    use super::*;

    fn judged(end: End, cause: Option<Cause>) -> Option<Transition> {
        let terms = Terms { policy: RetryPolicy::default(), timeout: Duration::from_secs(3) };
        let worker = "w1".parse().unwrap();
        judge(end, &Case { cause, terms: Some(&terms), failed_before: 0, worker: &worker }, 0.5)
    }

    fn change(end: End, cause: Option<Cause>) -> Option<Change> {
        judged(end, cause).map(|transition| transition.change())
    }

    fn err(error: JobError) -> End {
        End::Returned(Err(error))
    }

    #[test]
    fn a_result_counts_whatever_was_asked_meanwhile() {
        for cause in [None, Some(Cause::Cancel), Some(Cause::TimedOut), Some(Cause::Shutdown)] {
            assert_eq!(change(End::Returned(Ok(None)), cause), Some(Change::Complete), "{cause:?}");
        }
    }

    #[test]
    fn row_07_nothing_is_written_without_the_lease() {
        let ends = [
            End::Returned(Ok(None)),
            err(JobError::Cancelled),
            err(JobError::Discard(anyhow!("no"))),
            End::Panicked("oh".into()),
            End::Dropped,
            End::Unreadable(WireError::Corrupt("bad".into())),
        ];
        for end in ends {
            assert_eq!(change(end, Some(Cause::LeaseLost)), None);
        }
    }

    #[test]
    fn an_attempt_that_was_asked_to_stop_did_not_fail_of_itself() {
        let ends = || {
            [
                err(JobError::Cancelled),
                err(JobError::Retry(anyhow!("broken pipe"))),
                err(JobError::RetryIn(Duration::from_secs(1), anyhow!("broken pipe"))),
                err(JobError::Snooze(Duration::from_secs(1))),
                End::Panicked("oh".into()),
                End::Dropped,
            ]
        };
        for end in ends() {
            assert_eq!(change(end, Some(Cause::Cancel)), Some(Change::Cancel));
        }
        for end in ends() {
            assert_eq!(change(end, Some(Cause::Shutdown)), Some(Change::Release));
        }
        for end in ends() {
            let Some(Transition::Retry { error, .. }) = judged(end, Some(Cause::TimedOut)) else { panic!("a failure") };
            assert_eq!(error.class, ErrorClass::TimedOut);
            assert!(error.message.contains("timeout of 3s"), "{}", error.message);
        }
    }

    #[test]
    fn a_refusal_to_try_again_stands_whatever_was_asked() {
        for cause in [None, Some(Cause::Cancel), Some(Cause::TimedOut), Some(Cause::Shutdown)] {
            let refused = change(err(JobError::Discard(anyhow!("no such table"))), cause);
            assert_eq!(refused, Some(Change::Discard(DiscardReason::Rejected)));
        }
    }

    #[test]
    fn each_error_has_its_own_way() {
        assert_eq!(change(err(JobError::Retry(anyhow!("x"))), None), Some(Change::Retry));
        assert_eq!(change(err(JobError::Snooze(Duration::from_secs(1))), None), Some(Change::Snooze));
        assert_eq!(change(err(JobError::Cancelled), None), Some(Change::Cancel));
        let delay = Duration::from_secs(77);
        let again = judged(err(JobError::RetryIn(delay, anyhow!("x"))), None);
        assert!(matches!(again, Some(Transition::Retry { delay: wait, .. }) if wait == delay));
        let Some(Transition::Retry { error, .. }) = judged(End::Panicked("index 9".into()), None) else { panic!() };
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::Panicked, "the handler panicked: index 9"));
    }

    #[test]
    fn an_errors_causes_are_kept() {
        let error = anyhow!("connection refused").context("reading orders");
        let Some(Transition::Retry { error, .. }) = judged(err(JobError::Retry(error)), None) else { panic!() };
        assert_eq!(error.message, "reading orders: connection refused");
    }

    #[test]
    fn row_26_what_this_worker_cannot_run_is_left_to_others() {
        let newer = judged(End::Unreadable(WireError::Newer(9)), None);
        let unknown = judged(End::NoHandler("export.query".parse().unwrap()), None);
        for (released, word) in [(newer, "version 9"), (unknown, "no handler for kind export.query on worker w1")] {
            let Some(Transition::Release { delay, error: Some(note) }) = released else { panic!("a release") };
            assert_eq!(delay, NO_HANDLER_DELAY);
            assert!(note.message.contains(word), "{}", note.message);
        }
        let corrupt = change(End::Unreadable(WireError::Corrupt("eof".into())), None);
        assert_eq!(corrupt, Some(Change::Discard(DiscardReason::Corrupt)));
    }
}
