//! What a running job tells about itself.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How far a job is. Written at most four times a second a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Units done so far.
    pub done: u64,
    /// Units in all, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Whether the total is a guess, as a database's planner makes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
    /// Bytes written so far, where the unit is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The unit, e.g. `rows` or `bytes`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// What is going on now, e.g. `upload`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phase: String,
}

/// How serious a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For whoever debugs the handler.
    Debug,
    /// The normal course of things.
    Info,
    /// Something that a person should look at some day.
    Warn,
    /// Something that went wrong.
    Error,
}

/// One line of a job's log; the broker keeps the last [`crate::limits::MAX_LOG_LINES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the broker took the line in.
    pub at: Timestamp,
    /// The attempt that wrote it.
    pub attempt: u32,
    /// How serious it is.
    pub level: LogLevel,
    /// The text, at most [`crate::limits::MAX_LOG_LINE_BYTES`] long.
    pub text: String,
}
