//! What can go wrong while records are encoded.

use std::io;

use lovage_core::Invalid;

/// An error of an encoder.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The output cannot take more; whoever reads it knows why.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A value that this format cannot hold in this column. No attempt can mend it.
    #[error("column {column:?} of record {record}: {problem}")]
    Cell {
        /// The column's name.
        column: String,
        /// The record's number, from 1.
        record: u64,
        /// What is wrong and what would help.
        problem: String,
    },
    /// The format cannot hold these columns, or so much. No attempt can mend it.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}
