//! What can be wrong with a stored trail, in words and for programs.

use std::fmt;

use serde::Serialize;

/// What is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Finding {
    /// The record is not what was written.
    Changed {
        /// Its number.
        seq: u64,
    },
    /// Records are not there.
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// The record was not written by the trail.
    Inserted {
        /// Its number.
        seq: u64,
    },
    /// Records that are said to have been removed by retention are there.
    NotPruned {
        /// The first of their batch.
        first: u64,
        /// The last of their batch.
        last: u64,
    },
    /// Two records have changed places.
    Reordered {
        /// The number of the first.
        seq: u64,
        /// The number of the second.
        with: u64,
    },
    /// What is kept of a batch is not what was written.
    BatchChanged {
        /// Its first record.
        first: u64,
        /// Its last record.
        last: u64,
    },
    /// The end of the trail is not there.
    Truncated {
        /// The last record that is there.
        after: u64,
        /// The last record that there was.
        last: u64,
    },
    /// The trail was written anew: it does not lead to what was anchored.
    Rewritten {
        /// The last record that still fits; 0 if none does.
        after: u64,
        /// The last record of the anchor.
        anchored: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { seq } => {
                write!(f, "record {seq} was changed, or the one before it together with its hash")
            }
            Self::Missing { first, last } if first == last => write!(f, "record {first} is missing"),
            Self::Missing { first, last } => write!(f, "records {first} to {last} are missing"),
            Self::Inserted { seq } => write!(f, "record {seq} was inserted"),
            Self::NotPruned { first, last } => {
                write!(
                    f,
                    "of records {first} to {last} some are there although the ledger says that retention removed them"
                )
            }
            Self::Reordered { seq, with } => write!(f, "records {seq} and {with} have changed places"),
            Self::BatchChanged { first, last } => write!(f, "the seal of records {first} to {last} was changed"),
            Self::Truncated { after, last } => {
                write!(f, "the trail ends after record {after}, and went on to record {last}")
            }
            Self::Rewritten { after, anchored } => {
                write!(
                    f,
                    "records after {after} were written anew: they do not lead to what was anchored at {anchored}"
                )
            }
        }
    }
}
