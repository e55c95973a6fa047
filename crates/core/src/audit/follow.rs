//! Where the check of a file stands, and what each line does to it. `check.rs` reads the lines.

use super::anchor::{ANCHOR_VERSION, AnchorProof, Hex32};
use super::check::IsSigned;
use super::file::{BatchLine, FileHeader, HeadLine, RecordLine};
use super::flaw::Flaw;
use super::hash::{Digest, Head, batch_hash, hex, leaf, record_hash};
use super::merkle::{root, root_from};

/// Where it stands behind the first line.
#[derive(Debug)]
pub(super) struct State {
    pub header: FileHeader,
    /// Up to where batches were followed.
    head: Head,
    open: Option<Open>,
    pub records: u64,
    pub removed: u64,
}

/// A batch whose records follow.
#[derive(Debug)]
struct Open {
    batch: BatchLine,
    /// The hash of the record before the next one.
    record: Digest,
    leaves: Vec<Digest>,
}

impl State {
    /// Behind the first line.
    pub fn begin(header: FileHeader, expected: Option<Digest>, is_signed: IsSigned) -> Result<Self, Flaw> {
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

    /// Goes on to a batch.
    pub fn batch(&mut self, batch: BatchLine) -> Result<(), Flaw> {
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
    pub fn link(&mut self, batch: &BatchLine) -> Result<(), Flaw> {
        self.closed()?;
        let after = self.header.after.seq;
        if self.head.seq < after {
            return Err(Flaw::Missing { first: self.head.seq + 1, last: after });
        }
        if self.header.anchor.as_ref().is_none_or(|anchor| batch.last > anchor.chain.seq) {
            return Err(self.missing_or(batch.first, Flaw::Inserted { seq: batch.first }));
        }
        self.follows(batch)?;
        self.head = batch.head();
        Ok(())
    }

    /// Goes on over a record.
    pub fn record(&mut self, line: &RecordLine) -> Result<(), Flaw> {
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
        self.head = batch.head();
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

    /// Ends before the last line.
    pub fn end(&self) -> Result<(), Flaw> {
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
    pub fn cut(&self) -> Flaw {
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
