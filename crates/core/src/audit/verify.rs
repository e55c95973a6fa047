//! Following a chain: each batch with its records, from the first to the head, until something does not fit.
//!
//! What is found is the first thing that is wrong. A hash tells that a record, or the one before it together with its own
//! hash, is not what was written; what happened to it is told from where its neighbours fit.

use super::event::AuditEvent;
use super::finding::Finding;
use super::hash::{BatchSeal, Digest, Head, batch_hash, leaf, record_hash};
use super::merkle::root;
use crate::clock::Timestamp;

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number in its tenant's chain, from 1.
    pub seq: u64,
    /// What it says.
    pub event: AuditEvent,
    /// Its hash.
    pub hash: Digest,
}

/// A stored batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What its hash covers.
    pub seal: BatchSeal,
    /// Its hash.
    pub hash: Digest,
    /// When it was committed, by the database's clock. Nothing proves it.
    pub written_at: Timestamp,
}

impl Batch {
    /// Where the chain stands behind it.
    pub fn head(&self) -> Head {
        Head { seq: self.seal.last, record: self.seal.record, batch: self.hash }
    }
}

/// Follows one tenant's chain.
#[derive(Debug)]
pub struct Verifier {
    head: Head,
    /// Heads that are known from elsewhere, the next one last.
    anchored: Vec<Head>,
    /// The last head that was known from elsewhere and fitted.
    fitted: u64,
    records: u64,
}

impl Verifier {
    /// Begins before the first record. `anchored` are heads that are known from elsewhere, in any order.
    pub fn new(tenant: &str, anchored: Vec<Head>) -> Self {
        Self::from(Head::before_first(tenant), anchored)
    }

    /// Begins behind a head that is known to be right.
    pub fn from(head: Head, mut anchored: Vec<Head>) -> Self {
        anchored.retain(|anchor| anchor.seq > head.seq);
        anchored.sort_by_key(|anchor| std::cmp::Reverse(anchor.seq));
        Self { head, anchored, fitted: 0, records: 0 }
    }

    /// Where it stands.
    pub fn head(&self) -> Head {
        self.head
    }

    /// How many records were followed.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Whether this batch comes next and its hash is right, so that what its seal says can be believed.
    pub fn expects(&self, batch: &Batch) -> bool {
        batch.seal.first == self.head.seq + 1 && batch_hash(&self.head.batch, &batch.seal) == batch.hash
    }

    /// Goes on over a batch with its records, in the order of their numbers. `pruned` says that retention has removed them.
    pub fn batch(&mut self, batch: &Batch, records: &[Record], pruned: bool) -> Result<(), Finding> {
        let BatchSeal { first, last, .. } = batch.seal;
        let next = self.head.seq + 1;
        if first > next {
            return Err(Finding::Missing { first: next, last: first - 1 });
        }
        if last < first || !self.expects(batch) {
            return Err(Finding::BatchChanged { first, last });
        }
        let record = match (pruned, records) {
            (true, []) => batch.seal.record,
            (true, _) => return Err(Finding::NotPruned { first, last }),
            (false, _) => self.records_of(batch, records)?,
        };
        if record != batch.seal.record {
            return Err(Finding::BatchChanged { first, last });
        }
        self.head = batch.head();
        self.compare()
    }

    /// Ends at the head that the trail says it has.
    pub fn end(self, stored: Head) -> Result<(), Finding> {
        let after = self.head.seq;
        if stored.seq > after {
            return Err(Finding::Truncated { after, last: stored.seq });
        }
        // Whoever cuts the end off and moves the head cannot move what is anchored.
        if let Some(anchor) = self.anchored.first() {
            return Err(Finding::Truncated { after, last: anchor.seq });
        }
        if stored.seq < after {
            return Err(Finding::Inserted { seq: stored.seq + 1 });
        }
        if stored != self.head {
            return Err(Finding::Rewritten { after: self.fitted, anchored: after });
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), Finding> {
        while let Some(anchor) = self.anchored.pop_if(|anchor| anchor.seq <= self.head.seq) {
            if anchor != self.head {
                return Err(Finding::Rewritten { after: self.fitted, anchored: anchor.seq });
            }
            self.fitted = anchor.seq;
        }
        Ok(())
    }

    /// Follows the records; answers the hash of the last one.
    fn records_of(&mut self, batch: &Batch, records: &[Record]) -> Result<Digest, Finding> {
        let BatchSeal { first, last, .. } = batch.seal;
        let mut previous = self.head.record;
        let mut leaves = Vec::with_capacity(records.len());
        let mut expected = first;
        for (index, record) in records.iter().enumerate() {
            if record.seq > expected {
                return Err(Finding::Missing { first: expected, last: record.seq - 1 });
            }
            if record.seq < expected {
                return Err(Finding::Inserted { seq: record.seq });
            }
            let leaf = leaf(&record.event);
            let hash = record_hash(&previous, record.seq, &leaf);
            if hash != record.hash {
                return Err(what_happened(&previous, records, index));
            }
            previous = hash;
            leaves.push(leaf);
            expected += 1;
            self.records += 1;
        }
        if expected <= last {
            return Err(Finding::Missing { first: expected, last });
        }
        if root(&leaves) != batch.seal.root {
            return Err(Finding::BatchChanged { first, last });
        }
        Ok(previous)
    }
}

/// What happened to the record at `at`, which does not follow from `previous`.
fn what_happened(previous: &Digest, records: &[Record], at: usize) -> Finding {
    let wrong = &records[at];
    let seq = wrong.seq;
    // Whose content belongs here? Its hash is the one that stands here, or came along with it.
    let belongs = records.iter().enumerate().skip(at + 1).find(|(_, other)| {
        let hash = record_hash(previous, seq, &leaf(&other.event));
        hash == wrong.hash || hash == other.hash
    });
    let Some((place, other)) = belongs else { return Finding::Changed { seq } };
    let here = record_hash(previous, seq, &leaf(&other.event));
    let before = if place == at + 1 { here } else { records[place - 1].hash };
    let there = record_hash(&before, other.seq, &leaf(&wrong.event));
    if there == other.hash || there == wrong.hash {
        Finding::Reordered { seq, with: other.seq }
    } else {
        Finding::Inserted { seq }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::EventDraft;

    const SIZES: [u64; 4] = [1, 5, 1, 4];

    /// A trail of eleven records in four batches.
    fn trail() -> (Vec<(Batch, Vec<Record>)>, Head) {
        let mut head = Head::before_first("acme");
        let mut batches = Vec::new();
        for size in SIZES {
            let mut records = Vec::new();
            let first = head.seq + 1;
            for _ in 0..size {
                head.seq += 1;
                let draft = EventDraft::new(format!("user:{}", head.seq), "order.refund");
                let draft = EventDraft { tenant: "acme".parse().ok(), ..draft };
                let event = draft.complete(Uuid::from_u128(head.seq.into()), Timestamp::from_millis(head.seq)).unwrap();
                head.record = record_hash(&head.record, head.seq, &leaf(&event));
                records.push(Record { seq: head.seq, event, hash: head.record });
            }
            let leaves: Vec<Digest> = records.iter().map(|record| leaf(&record.event)).collect();
            let seal = BatchSeal { first, last: head.seq, root: root(&leaves), record: head.record };
            head.batch = batch_hash(&head.batch, &seal);
            batches.push((Batch { seal, hash: head.batch, written_at: Timestamp::default() }, records));
        }
        (batches, head)
    }

    fn follow(batches: &[(Batch, Vec<Record>)], head: Head, anchored: Vec<Head>) -> Result<u64, Finding> {
        let mut verifier = Verifier::new("acme", anchored);
        for (batch, records) in batches {
            verifier.batch(batch, records, false)?;
        }
        let records = verifier.records();
        verifier.end(head).map(|()| records)
    }

    /// Everything hashed anew, as the owner of the database could.
    fn rewrite(batches: &mut [(Batch, Vec<Record>)]) -> Head {
        let mut head = Head::before_first("acme");
        for (batch, records) in batches {
            for record in records.iter_mut() {
                record.hash = record_hash(&head.record, record.seq, &leaf(&record.event));
                head = Head { seq: record.seq, record: record.hash, ..head };
            }
            let leaves: Vec<Digest> = records.iter().map(|record| leaf(&record.event)).collect();
            batch.seal.root = root(&leaves);
            batch.seal.record = head.record;
            head.batch = batch_hash(&head.batch, &batch.seal);
            batch.hash = head.batch;
        }
        head
    }

    #[test]
    fn a_trail_that_nobody_touched_is_followed_to_its_head() {
        let (batches, head) = trail();
        let anchors = vec![head, batches[1].0.head()];
        assert_eq!(follow(&batches, head, anchors), Ok(11));
        assert_eq!(follow(&[], Head::before_first("acme"), Vec::new()), Ok(0));
        assert!(follow(&[], Head::before_first("other"), Vec::new()).is_err(), "chains belong to their tenants");
    }

    #[test]
    fn each_record_that_is_changed_is_named() {
        for at in 0..11 {
            let (mut batches, head) = trail();
            let record = batches.iter_mut().flat_map(|(_, records)| records).nth(at).unwrap();
            record.event.actor.push('!');
            assert_eq!(follow(&batches, head, Vec::new()), Err(Finding::Changed { seq: at as u64 + 1 }));
        }
    }

    #[test]
    fn a_record_that_is_taken_away_is_named_wherever_it_was() {
        for at in 1..=11 {
            let (mut batches, head) = trail();
            for (_, records) in &mut batches {
                records.retain(|record| record.seq != at);
            }
            assert_eq!(follow(&batches, head, Vec::new()), Err(Finding::Missing { first: at, last: at }));
        }
        let (mut batches, head) = trail();
        batches.remove(1);
        assert_eq!(follow(&batches, head, Vec::new()), Err(Finding::Missing { first: 2, last: 6 }), "with their batch");
    }

    #[test]
    fn two_records_that_changed_places_are_named_both() {
        for (a, b) in [(0, 1), (1, 3), (0, 4)] {
            let expected = Err(Finding::Reordered { seq: a as u64 + 2, with: b as u64 + 2 });
            let (mut batches, head) = trail();
            let records = &mut batches[1].1;
            // Their numbers are exchanged.
            let (first, second) = (records[a].seq, records[b].seq);
            (records[a].seq, records[b].seq) = (second, first);
            records.sort_by_key(|record| record.seq);
            assert_eq!(follow(&batches, head, Vec::new()), expected);
            // Their contents are exchanged, and the hashes stay.
            let (mut batches, head) = trail();
            let (first, second) = (batches[1].1[a].event.clone(), batches[1].1[b].event.clone());
            (batches[1].1[a].event, batches[1].1[b].event) = (second, first);
            assert_eq!(follow(&batches, head, Vec::new()), expected);
        }
    }

    #[test]
    fn a_record_that_is_put_in_between_or_at_the_end_is_named() {
        let (mut batches, head) = trail();
        let mut alien = batches[1].1[1].clone();
        alien.event.actor = "nobody".into();
        for record in &mut batches[1].1[1..] {
            record.seq += 1;
        }
        batches[1].1.insert(1, alien);
        assert_eq!(follow(&batches, head, Vec::new()), Err(Finding::Inserted { seq: 3 }));

        let (batches, _) = trail();
        let shorter = Head { seq: 10, ..Head::before_first("acme") };
        assert_eq!(follow(&batches, shorter, Vec::new()), Err(Finding::Inserted { seq: 11 }));
    }

    #[test]
    fn an_end_that_was_cut_off_is_noticed() {
        let (mut batches, head) = trail();
        batches.pop();
        assert_eq!(follow(&batches, head, Vec::new()), Err(Finding::Truncated { after: 7, last: 11 }));
        // With the head moved back nothing in the database tells, but an anchor does.
        let moved = rewrite(&mut batches);
        assert_eq!(follow(&batches, moved, Vec::new()), Ok(7));
        assert_eq!(follow(&batches, moved, vec![head]), Err(Finding::Truncated { after: 7, last: 11 }));
    }

    #[test]
    fn a_trail_that_is_hashed_anew_does_not_lead_to_what_was_anchored() {
        let (mut batches, head) = trail();
        let anchors = vec![batches[1].0.head(), batches[2].0.head(), head];
        batches[2].1[0].event.actor = "nobody".into();
        let rewritten = rewrite(&mut batches);
        assert_eq!(follow(&batches, rewritten, Vec::new()), Ok(11));
        assert_eq!(follow(&batches, rewritten, anchors), Err(Finding::Rewritten { after: 6, anchored: 7 }));
    }

    #[test]
    fn what_is_kept_of_a_batch_cannot_be_changed_either() {
        let changes: [fn(&mut Batch); 4] = [
            |batch| batch.seal.root = [0; 32],
            |batch| batch.seal.record = [0; 32],
            |batch| batch.hash = [0; 32],
            |batch| batch.seal.last = 0,
        ];
        for change in changes {
            let (mut batches, head) = trail();
            change(&mut batches[1].0);
            let found = follow(&batches, head, Vec::new()).unwrap_err();
            assert!(matches!(found, Finding::BatchChanged { first: 2, .. }), "{found:?}");
        }
    }

    #[test]
    fn what_retention_removed_leaves_a_chain_that_can_be_followed() {
        let (mut batches, head) = trail();
        let mut verifier = Verifier::new("acme", vec![head]);
        batches[0].1.clear();
        batches[1].1.clear();
        for (batch, records) in &batches {
            verifier.batch(batch, records, batch.seal.last <= 6).unwrap();
        }
        assert_eq!(verifier.records(), 5);
        // Whoever moves the mark to hide single batches leaves others that would have gone before.
        let mut verifier = Verifier::new("acme", Vec::new());
        let whole = &trail().0[0];
        assert_eq!(verifier.batch(&whole.0, &whole.1, true), Err(Finding::NotPruned { first: 1, last: 1 }));
        let mut verifier = Verifier::new("acme", vec![head]);
        for (batch, records) in &batches {
            verifier.batch(batch, records, batch.seal.last <= 6).unwrap();
        }
        verifier.end(head).unwrap();
        // Where nothing was to be removed it is missing.
        let mut verifier = Verifier::new("acme", Vec::new());
        assert_eq!(verifier.batch(&batches[0].0, &[], false), Err(Finding::Missing { first: 1, last: 1 }));
    }
}
