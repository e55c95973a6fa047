//! What can be wrong with a file of a trail, in words and for programs.

use std::fmt;

use serde::Serialize;

/// The first thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlawAt {
    /// The line where it shows, from 1.
    pub line: u64,
    /// What it is.
    #[serde(flatten)]
    pub flaw: Flaw,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Flaw {
    /// It is no such file.
    NotAnExport,
    /// A newer release wrote it.
    Newer {
        /// Its version.
        version: u32,
    },
    /// The line is not one that an export has.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// The record is not what was written.
    Changed {
        /// Its number.
        seq: u64,
    },
    /// Records are not in the file, and not behind where they belong.
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// The record, or the batch that begins with it, does not belong where it stands.
    Inserted {
        /// Its number.
        seq: u64,
    },
    /// The record does not stand behind the seal of its batch.
    Outside {
        /// Its number.
        seq: u64,
    },
    /// A record, or the batch that begins with it, stands behind its place.
    Reordered {
        /// Its number.
        seq: u64,
        /// What stands in its place.
        with: u64,
    },
    /// The seal of a batch is not the one that was written, or not that of its records.
    BatchChanged {
        /// The batch's first record.
        first: u64,
        /// The batch's last record.
        last: u64,
    },
    /// The file ends too early.
    Truncated {
        /// The last record that could be followed.
        after: u64,
        /// The last record, or that of the last batch, which there should be.
        last: u64,
    },
    /// The chain does not begin or end where the first line says.
    HeadChanged {
        /// The record after which that is.
        seq: u64,
    },
    /// The anchor is not one of this chain's end, or does not have the signature of its key.
    AnchorChanged {
        /// The anchor's number.
        number: u64,
    },
    /// It is signed with another key than the one that is expected.
    OtherKey {
        /// The key that signed.
        public_key: String,
    },
    /// A key is expected, and nothing is signed.
    Unsigned,
    /// There are lines behind the last one.
    BehindEnd,
    /// Something was changed that the chain does not cover.
    Altered,
}

impl fmt::Display for FlawAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.flaw)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnExport => {
                write!(f, "this is not the head of an exported trail; take a file of `lovage audit export`")
            }
            Self::Newer { version } => {
                write!(f, "the file has version {version}, which a newer release wrote; verify it with that one")
            }
            Self::Unreadable { reason } => write!(f, "this is no line of an exported trail ({reason})"),
            Self::Changed { seq } => write!(f, "record {seq} was changed"),
            Self::Missing { first, last } if first == last => write!(f, "record {first} is missing"),
            Self::Missing { first, last } => write!(f, "records {first} to {last} are missing"),
            Self::Inserted { seq } => write!(f, "record {seq} was inserted: it does not belong here"),
            Self::Outside { seq } => write!(f, "record {seq} does not stand behind the seal of its batch"),
            Self::Reordered { seq, with } => {
                write!(f, "record {with} stands where {seq} belongs: they have changed places")
            }
            Self::BatchChanged { first, last } => {
                write!(f, "the seal of records {first} to {last} is not that of what was written")
            }
            Self::Truncated { after, last } => {
                write!(f, "the file was cut: it ends after record {after}, and went on to record {last}")
            }
            Self::HeadChanged { seq } => {
                write!(f, "after record {seq} the chain does not stand where the first line says")
            }
            Self::AnchorChanged { number } => {
                write!(f, "anchor {number} does not have the signature of its key, or is not one of this trail's end")
            }
            Self::OtherKey { public_key } => write!(f, "the anchor is signed with another key, {public_key}"),
            Self::Unsigned => write!(f, "no anchor is in the file, so no key has signed it"),
            Self::BehindEnd => write!(f, "the file goes on behind its last line"),
            Self::Altered => write!(
                f,
                "the bytes before are not those that this last line has the SHA-256 of: something was changed that the \
                 chain does not cover, as times of export and commit"
            ),
        }
    }
}
