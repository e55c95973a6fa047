//! Checking the file of a trail line by line, with nothing but the file: memory does not grow with it. Whoever writes one
//! lets the same checker see each line, so what is handed out can be verified.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::anchor::Hex32;
use super::event::Moment;
use super::file::{EndLine, FILE_FORMAT, FILE_VERSION, FileHeader, FileLine};
use super::flaw::{Flaw, FlawAt};
use super::follow::State;
use super::hash::Digest;

/// Whether a key has signed these bytes: the signature is in hexadecimal digits (Ed25519 is not in this crate).
pub type IsSigned = fn(key: &Digest, bytes: &[u8], signature: &str) -> bool;

/// What a file was found to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// Whose trail it is of; empty for none.
    pub tenant: String,
    /// The first record of its batches.
    pub first: u64,
    /// The last record of its batches.
    pub last: u64,
    /// The one record that it holds, if it holds one.
    pub record: Option<u64>,
    /// How many records are in it.
    pub records: u64,
    /// How many are not, because retention has removed them, as whoever exported says.
    pub removed: u64,
    /// The anchor that covers it.
    pub anchor: Option<ProvedAnchor>,
}

/// The anchor that covers a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvedAnchor {
    /// Its number.
    pub number: u64,
    /// When it was made, as its signer says.
    pub made_at: Moment,
    /// The key that signed it.
    pub public_key: Digest,
    /// The last record that it covers.
    pub seq: u64,
}

/// Checks a file.
#[derive(Debug)]
pub struct FileChecker {
    expected: Option<Digest>,
    is_signed: IsSigned,
    line: u64,
    sha: Sha256,
    state: Option<State>,
    ended: bool,
    flaw: Option<FlawAt>,
    /// A record that is missing where it belongs; what stands there.
    sought: Option<(u64, u64)>,
}

impl FileChecker {
    /// Begins before the first line. With an `expected` key nothing else may have signed, and something must be signed.
    pub fn new(expected: Option<Digest>, is_signed: IsSigned) -> Self {
        let sha = Sha256::new();
        Self { expected, is_signed, line: 0, sha, state: None, ended: false, flaw: None, sought: None }
    }

    /// Takes the next line with its end. Answers whether what follows matters: behind something wrong it only does while the
    /// record that is missing may still turn up.
    pub fn push(&mut self, text: &str) -> bool {
        if let Some((sought, with)) = self.sought {
            self.seek(text, sought, with);
        } else if self.flaw.is_none() {
            self.line += 1;
            if let Err(flaw) = self.take(text) {
                if let Flaw::Missing { first, .. } = flaw
                    && let Some(with) = number(text)
                {
                    self.sought = Some((first, with));
                }
                self.flaw = Some(FlawAt { line: self.line, flaw });
            }
        }
        self.flaw.is_none() || self.sought.is_some()
    }

    /// Takes the next line and answers what is wrong, if something is: for whoever writes it.
    pub fn first_flaw(&mut self, text: &str) -> Option<FlawAt> {
        self.push(text);
        self.flaw.clone()
    }

    /// The last line for what was taken so far.
    pub fn end_line(&self) -> FileLine {
        FileLine::End(EndLine { sha256: Hex32(self.sha.clone().finalize().into()) })
    }

    /// Ends at the end of the file.
    pub fn end(self) -> Result<Proved, FlawAt> {
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        let at = |flaw| FlawAt { line: self.line.max(1), flaw };
        let state = self.state.ok_or_else(|| at(Flaw::NotAnExport))?;
        if !self.ended {
            return Err(at(state.cut()));
        }
        let FileHeader { tenant, record, before, after, anchor, .. } = state.header;
        let anchor = anchor.map(|anchor| ProvedAnchor {
            number: anchor.number,
            made_at: anchor.made_at,
            public_key: anchor.public_key.0,
            seq: anchor.chain.seq,
        });
        let (first, last) = (before.seq + 1, after.seq);
        Ok(Proved { tenant, first, last, record, records: state.records, removed: state.removed, anchor })
    }

    fn take(&mut self, text: &str) -> Result<(), Flaw> {
        if self.ended {
            return Err(Flaw::BehindEnd);
        }
        let Some(state) = &mut self.state else {
            let header = header(text)?;
            self.state = Some(State::begin(header, self.expected, self.is_signed)?);
            self.sha.update(text);
            return Ok(());
        };
        // A line without its end is the rest of one.
        if !text.ends_with('\n') {
            return Err(state.cut());
        }
        let line = serde_json::from_str(text).map_err(|error| Flaw::Unreadable { reason: error.to_string() })?;
        match line {
            FileLine::Batch(batch) => state.batch(batch)?,
            FileLine::Record(record) => state.record(&record)?,
            FileLine::Link(batch) => state.link(&batch)?,
            FileLine::End(_) => {
                state.end()?;
                // Byte for byte: nothing else covers this line.
                let expected = serde_json::to_string(&self.end_line()).map(|line| line + "\n");
                if expected.ok().as_deref() != Some(text) {
                    return Err(Flaw::Altered);
                }
                self.ended = true;
            }
        }
        self.sha.update(text);
        Ok(())
    }

    /// What is missing where it belongs has changed places if it stands further behind.
    fn seek(&mut self, text: &str, sought: u64, with: u64) {
        if number(text) != Some(sought) {
            return;
        }
        self.sought = None;
        if let Some(at) = &mut self.flaw {
            at.flaw = Flaw::Reordered { seq: sought, with };
        }
    }
}

/// The number of the record in a line, or of the first one of the batch in it.
fn number(text: &str) -> Option<u64> {
    match serde_json::from_str(text).ok()? {
        FileLine::Batch(batch) | FileLine::Link(batch) => Some(batch.first),
        FileLine::Record(record) => Some(record.seq),
        FileLine::End(_) => None,
    }
}

fn header(text: &str) -> Result<FileHeader, Flaw> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Any {
        format: String,
        version: u32,
    }
    let any: Any = serde_json::from_str(text).map_err(|_| Flaw::NotAnExport)?;
    match any {
        Any { format, .. } if format != FILE_FORMAT => Err(Flaw::NotAnExport),
        Any { version, .. } if version > FILE_VERSION => Err(Flaw::Newer { version }),
        Any { version: FILE_VERSION, .. } => {
            serde_json::from_str(text).map_err(|error| Flaw::Unreadable { reason: error.to_string() })
        }
        Any { .. } => Err(Flaw::NotAnExport),
    }
}
