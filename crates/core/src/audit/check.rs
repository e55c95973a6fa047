//! Checking the file of a trail line by line, with nothing but the file: memory does not grow with it. Whoever writes one
//! lets the same checker see each line, so what is handed out can be verified.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::anchor::{ANCHOR_VERSION, AnchorProof, Hex32};
use super::event::Moment;
use super::file::{BatchLine, EndLine, FILE_FORMAT, FILE_VERSION, FileHeader, FileLine, HeadLine, RecordLine};
use super::flaw::{Flaw, FlawAt};
use super::hash::{Digest, Head, batch_hash, hex, leaf, record_hash};
use super::merkle::{root, root_from};

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

/// Where it stands behind the first line.
#[derive(Debug)]
struct State {
    header: FileHeader,
    /// Up to where batches were followed.
    head: Head,
    open: Option<Open>,
    records: u64,
    removed: u64,
}

/// A batch whose records follow.
#[derive(Debug)]
struct Open {
    batch: BatchLine,
    /// The hash of the record before the next one.
    record: Digest,
    leaves: Vec<Digest>,
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

impl State {
    fn begin(header: FileHeader, expected: Option<Digest>, is_signed: IsSigned) -> Result<Self, Flaw> {
        let HeadLine { seq, record, batch } = header.before;
        let whole = header.record.is_none();
        let fits = header.record.is_none_or(|record| seq < record && record <= header.after.seq);
        // Of a single record the one before it is not in the file, and nothing would prove its hash.
        if seq >= header.after.seq || record.is_some() != whole || header.after.record.is_none() || !fits {
            return Err(Flaw::HeadChanged { seq });
        }
        let start = Head::before_first(&header.tenant);
        let record = record.map_or(start.record, |record| record.0);
        let head = Head { seq, record, batch: batch.0 };
        if seq == 0 && head != start {
            return Err(Flaw::HeadChanged { seq });
        }
        match (&header.anchor, expected) {
            (Some(anchor), expected) => check(anchor, &header, expected, is_signed)?,
            (None, Some(_)) => return Err(Flaw::Unsigned),
            (None, None) => {}
        }
        Ok(Self { header, head, open: None, records: 0, removed: 0 })
    }

    fn batch(&mut self, batch: BatchLine) -> Result<(), Flaw> {
        self.closed()?;
        if batch.last > self.header.after.seq {
            return Err(self.missing_or(batch.first, Flaw::Inserted { seq: batch.first }));
        }
        self.follows(&batch)?;
        if batch.removed && self.header.record.is_none() {
            self.removed += batch.last - batch.first + 1;
            return self.close(&batch);
        }
        self.open = Some(Open { batch, record: self.head.record, leaves: Vec::new() });
        Ok(())
    }

    /// A batch that carries the chain to the anchor.
    fn link(&mut self, batch: &BatchLine) -> Result<(), Flaw> {
        self.closed()?;
        let after = self.header.after.seq;
        if self.head.seq < after {
            return Err(Flaw::Missing { first: self.head.seq + 1, last: after });
        }
        if self.header.anchor.as_ref().is_none_or(|anchor| batch.last > anchor.chain.seq) {
            return Err(self.missing_or(batch.first, Flaw::Inserted { seq: batch.first }));
        }
        self.follows(batch)?;
        self.head = Head { seq: batch.last, record: batch.record.0, batch: batch.hash.0 };
        Ok(())
    }

    fn record(&mut self, line: &RecordLine) -> Result<(), Flaw> {
        let seq = line.seq;
        let single = self.header.record;
        if line.hash.is_some() == single.is_some() || line.path.is_some() != single.is_some() {
            let reason = "a record has a hash, or else, where it is the only one, a path".to_owned();
            return Err(Flaw::Unreadable { reason });
        }
        let Some(open) = &mut self.open else {
            return Err(self.missing_or(seq, Flaw::Outside { seq }));
        };
        let expected = single.unwrap_or(open.batch.first + open.leaves.len() as u64);
        if seq > expected {
            return Err(Flaw::Missing { first: expected, last: seq - 1 });
        }
        if seq < expected {
            return Err(Flaw::Inserted { seq });
        }
        let leaf = leaf(&line.event(&self.header.tenant));
        let done = match &line.path {
            Some(path) => open.only(seq, &leaf, path)?,
            None => open.add(seq, leaf, line.hash)?,
        };
        self.records += 1;
        if done {
            let batch = open.batch;
            self.close(&batch)?;
        }
        Ok(())
    }

    /// Whether the batch is the next one of the chain.
    fn follows(&self, batch: &BatchLine) -> Result<(), Flaw> {
        let BatchLine { first, last, .. } = *batch;
        let next = self.head.seq.saturating_add(1);
        if first != next {
            return Err(self.missing_or(first, Flaw::Inserted { seq: first }));
        }
        if last < first || batch_hash(&self.head.batch, &batch.seal()) != batch.hash.0 {
            return Err(Flaw::BatchChanged { first, last });
        }
        Ok(())
    }

    /// Goes on behind a batch.
    fn close(&mut self, batch: &BatchLine) -> Result<(), Flaw> {
        self.open = None;
        self.head = Head { seq: batch.last, record: batch.record.0, batch: batch.hash.0 };
        let after = &self.header.after;
        if self.head.seq == after.seq && HeadLine::from(self.head) != *after {
            return Err(Flaw::HeadChanged { seq: after.seq });
        }
        Ok(())
    }

    /// Nothing of the last batch is missing.
    fn closed(&self) -> Result<(), Flaw> {
        let Some(open) = &self.open else { return Ok(()) };
        let (first, last) = self
            .header
            .record
            .map_or_else(|| (open.batch.first + open.leaves.len() as u64, open.batch.last), |record| (record, record));
        Err(Flaw::Missing { first, last })
    }

    fn missing_or(&self, seq: u64, other: Flaw) -> Flaw {
        let next = self.head.seq.saturating_add(1);
        if seq > next { Flaw::Missing { first: next, last: seq - 1 } } else { other }
    }

    fn end(&self) -> Result<(), Flaw> {
        self.closed()?;
        let Head { seq, record, batch } = self.head;
        if seq < self.header.after.seq {
            return Err(Flaw::Missing { first: seq + 1, last: self.header.after.seq });
        }
        let Some(anchor) = &self.header.anchor else { return Ok(()) };
        if seq < anchor.chain.seq {
            return Err(Flaw::Missing { first: seq + 1, last: anchor.chain.seq });
        }
        if record != anchor.chain.record.0 || batch != anchor.chain.batch.0 {
            return Err(Flaw::AnchorChanged { number: anchor.number });
        }
        Ok(())
    }

    /// The file ends here.
    fn cut(&self) -> Flaw {
        let after = self.open.as_ref().map_or(self.head.seq, |open| self.head.seq + open.leaves.len() as u64);
        let last = self.header.anchor.as_ref().map_or(self.header.after.seq, |anchor| anchor.chain.seq);
        Flaw::Truncated { after, last }
    }
}

impl Open {
    /// The one record of the file: its path leads to the batch's root.
    fn only(&self, seq: u64, leaf: &Digest, path: &[Hex32]) -> Result<bool, Flaw> {
        let BatchLine { first, last, root, .. } = self.batch;
        let path: Vec<Digest> = path.iter().map(|hash| hash.0).collect();
        let reached = seq.checked_sub(first).and_then(|at| root_from(leaf, at, last - first + 1, &path));
        if reached == Some(root.0) { Ok(true) } else { Err(Flaw::Changed { seq }) }
    }

    /// The next record of the batch. Answers whether it was the last one.
    fn add(&mut self, seq: u64, leaf: Digest, hash: Option<Hex32>) -> Result<bool, Flaw> {
        let BatchLine { first, last, .. } = self.batch;
        self.record = record_hash(&self.record, seq, &leaf);
        if hash != Some(Hex32(self.record)) {
            return Err(Flaw::Changed { seq });
        }
        self.leaves.push(leaf);
        let done = seq == last;
        if done && (root(&self.leaves) != self.batch.root.0 || self.record != self.batch.record.0) {
            return Err(Flaw::BatchChanged { first, last });
        }
        Ok(done)
    }
}

fn check(anchor: &AnchorProof, header: &FileHeader, expected: Option<Digest>, is_signed: IsSigned) -> Result<(), Flaw> {
    let key = &anchor.public_key.0;
    let signed = anchor.signed_bytes().is_some_and(|bytes| is_signed(key, &bytes, &anchor.signature));
    let covers = anchor.chain.tenant == header.tenant && anchor.chain.seq >= header.after.seq;
    if anchor.version != ANCHOR_VERSION || !signed || !covers {
        return Err(Flaw::AnchorChanged { number: anchor.number });
    }
    if expected.is_some_and(|expected| expected != *key) {
        return Err(Flaw::OtherKey { public_key: hex(key) });
    }
    Ok(())
}
