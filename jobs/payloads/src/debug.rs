//! `debug.*`: kinds without a purpose of their own, for people who try an installation, benchmarks and fault tests.

use lovage_core::{Invalid, NewJob, QueueName};
use serde::{Deserialize, Serialize};

macro_rules! kind {
    ($name:ident, $kind:literal) => {
        impl $name {
            /// The kind.
            pub const KIND: &str = $kind;

            /// The job that runs it.
            pub fn into_job(self, queue: QueueName) -> Result<NewJob, Invalid> {
                crate::job(queue, Self::KIND, &self)
            }
        }
    };
}

/// Arguments of `debug.noop`, which does nothing. Any other fields are accepted and ignored, so that a benchmark can
/// choose the size of its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DebugNoop {}

/// Arguments of `debug.sleep`, which waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebugSleep {
    /// For how long, in milliseconds.
    pub ms: u64,
}

/// Arguments of `debug.fail`, which fails a number of times and then succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebugFail {
    /// The error's text.
    #[serde(default = "default_message")]
    pub message: String,
    /// Attempts that fail; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// Arguments of `debug.abort`, which kills the worker's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebugAbort {}

/// Arguments of `debug.progress`, which reports every step that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebugProgress {
    /// How many.
    pub steps: u64,
    /// How long each takes, in milliseconds.
    pub ms: u64,
}

fn default_message() -> String {
    "failed as asked".to_owned()
}

kind!(DebugNoop, "debug.noop");
kind!(DebugSleep, "debug.sleep");
kind!(DebugFail, "debug.fail");
kind!(DebugAbort, "debug.abort");
kind!(DebugProgress, "debug.progress");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noop_takes_ballast_and_the_others_do_not() {
        assert!(serde_json::from_str::<DebugNoop>(r#"{"pad": "xxxx"}"#).is_ok());
        assert!(serde_json::from_str::<DebugSleep>(r#"{"ms": 1, "pad": "x"}"#).is_err());
        let fail: DebugFail = serde_json::from_str("{}").unwrap();
        assert_eq!((fail.message.as_str(), fail.times), ("failed as asked", None));
    }
}
