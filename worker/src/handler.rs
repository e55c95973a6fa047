//! What a user of Lovage writes: a handler for one kind of job, its options and its errors.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use lovage_core::RetryPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::JobContext;

/// Runs the jobs of one kind.
///
/// ```
/// use lovage_worker::{Handler, JobContext, JobError};
///
/// #[derive(serde::Deserialize)]
/// struct Greeting {
///     name: String,
/// }
///
/// struct Greet;
///
/// impl Handler for Greet {
///     type Args = Greeting;
///     type Output = String;
///     const KIND: &'static str = "greet";
///
///     async fn run(&self, args: Greeting, _job: JobContext) -> Result<String, JobError> {
///         Ok(format!("hello {}", args.name))
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// The job's arguments. Arguments that do not fit are no reason to try again: the job is discarded with the path
    /// of the field that does not fit.
    type Args: DeserializeOwned + Send;

    /// The job's small result, at most [`lovage_core::limits::MAX_RESULT_BYTES`] of JSON; `()` for none. What is
    /// larger belongs into an artifact.
    type Output: Serialize;

    /// The kind that callers enqueue, e.g. `export.query`.
    const KIND: &'static str;

    /// Limits and retry policy of the kind. Asked once, when the handler is registered.
    fn options(&self) -> KindOptions {
        KindOptions::default()
    }

    /// Runs one attempt; write it as `async fn run`.
    ///
    /// It may run more than once for one job, so its effects must bear repetition. It should look at
    /// [`JobContext::cancelled`] at every step that takes long; it is dropped at an await point some seconds after the
    /// token has fired. Work that blocks the thread belongs into [`JobContext::blocking`].
    fn run(&self, args: Self::Args, job: JobContext) -> impl Future<Output = Result<Self::Output, JobError>> + Send;
}

/// Limits and retry policy of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct KindOptions {
    /// Longest time that one attempt may run, unless the job says otherwise; then its token fires, and after a grace
    /// it is dropped and counts as timed out. One hour by default.
    pub timeout: Duration,
    /// After this time the handler is asked to come to an end by itself ([`JobContext::soft_timeout`]).
    pub soft_timeout: Option<Duration>,
    /// What follows a failed attempt, unless the job says otherwise.
    pub retry: RetryPolicy,
    /// Most jobs of this kind that one worker runs at once; as many as it has slots when absent.
    pub max_running: Option<usize>,
}

impl Default for KindOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_hours(1), soft_timeout: None, retry: RetryPolicy::default(), max_running: None }
    }
}

/// Why an attempt ended without a result, by what should follow. `?` on any error makes a [`JobError::Retry`].
///
/// It does not implement [`std::error::Error`], as `anyhow::Error` does not: that is what allows the conversion.
#[derive(Debug)]
pub enum JobError {
    /// The attempt failed; the retry policy decides what follows.
    Retry(anyhow::Error),
    /// The attempt failed and knows when to try again. It counts as a failure.
    RetryIn(Duration, anyhow::Error),
    /// The attempt failed and another one cannot help.
    Discard(anyhow::Error),
    /// It is too early: call again later. No attempt is spent.
    Snooze(Duration),
    /// The attempt stopped because its token fired (see [`JobContext::cancelled`]). What follows depends on why: a
    /// cancelled job is cancelled, one that ran out of time has failed, a stopping worker gives it back. A handler
    /// that returns this without having been asked cancels its own job.
    Cancelled,
}

impl<E: Into<anyhow::Error>> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::Retry(error.into())
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(error) => write!(f, "{error:#}"),
            Self::RetryIn(delay, error) => write!(f, "{error:#} (again in {delay:?})"),
            Self::Discard(error) => write!(f, "{error:#} (not to be tried again)"),
            Self::Snooze(delay) => write!(f, "called too early (again in {delay:?})"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}
