//! What the text formats have in common: lines are collected in memory and handed on in pieces.

use std::io::{self, Write as _};

use crate::encoder::Output;

/// Bytes that are collected before they are handed on.
const FULL: usize = 64 * 1024;

/// An output with a buffer in front of it.
pub(crate) struct Lines {
    out: Output,
    /// Where to add bytes.
    pub(crate) buffer: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(out: Output) -> Self {
        Self { out, buffer: Vec::with_capacity(FULL + FULL / 8) }
    }

    /// Ends a record.
    pub(crate) fn end(&mut self, mark: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(mark);
        if self.buffer.len() >= FULL {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Hands on what is left.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        self.out.flush()
    }
}
