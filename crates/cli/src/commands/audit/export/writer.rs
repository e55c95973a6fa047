//! Writes the lines of a file and checks each on the way, as whoever gets it will: what does not verify is not handed out.

use std::io::Write;

use lovage_core::audit::{FileChecker, FileHeader, FileLine, FlawAt, Proved};
use lovage_ledger::is_signature;
use serde::Serialize;

use crate::error::{Failure, Outcome};

/// A file that is being written.
pub struct Writer<W> {
    out: W,
    checker: FileChecker,
}

impl<W: Write> Writer<W> {
    /// Begins with the first line.
    pub fn begin(out: W, header: &FileHeader) -> Outcome<Self> {
        let mut writer = Self { out, checker: FileChecker::new(None, is_signature) };
        writer.put(header)?;
        Ok(writer)
    }

    /// Adds a line.
    pub fn line(&mut self, line: &FileLine) -> Outcome {
        self.put(line)
    }

    /// Writes the last line; answers what was written to, and what it proves.
    pub fn end(mut self) -> Outcome<(W, Proved)> {
        let end = self.checker.end_line();
        self.put(&end)?;
        self.out.flush().map_err(|error| unwritable(&error))?;
        let proved = self.checker.end().map_err(|at| wrong(&at))?;
        Ok((self.out, proved))
    }

    fn put(&mut self, value: &impl Serialize) -> Outcome {
        let written = serde_json::to_string(value);
        let line = written.map_err(|error| Failure::Failed(format!("a record is not JSON: {error}")))? + "\n";
        if let Some(at) = self.checker.first_flaw(&line) {
            return Err(wrong(&at));
        }
        self.out.write_all(line.as_bytes()).map_err(|error| unwritable(&error))
    }
}

fn wrong(at: &FlawAt) -> Failure {
    Failure::Failed(format!(
        "the trail is not handed out: {}; `lovage audit verify` says more, unless it was pruned just now: then export again",
        at.flaw
    ))
}

/// The failure of a file or a pipe that takes no more.
pub fn unwritable(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure::OutputClosed;
    }
    Failure::Failed(format!("the export cannot be written: {error}"))
}
