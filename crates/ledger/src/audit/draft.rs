//! What a commit is to write, worked out from the heads of the chains. No database is asked here.

use std::collections::{BTreeMap, HashMap, HashSet};

use lovage_core::audit::{AuditEvent, BatchSeal, Digest, Head, batch_hash, leaf, record_hash, root};
use uuid::Uuid;

use super::Kept;

/// Events that are there already, by tenant and id: their number and the leaf of what is stored.
pub(super) type Known = HashMap<(String, Uuid), (u64, Digest)>;

/// A record to be written.
#[derive(Debug)]
pub(super) struct NewRecord<'a> {
    pub event: &'a AuditEvent,
    pub seq: u64,
    pub hash: Digest,
}

/// A batch to be written, and with it the chain's new head.
#[derive(Debug)]
pub(super) struct NewBatch<'a> {
    pub tenant: &'a str,
    pub seal: BatchSeal,
    pub hash: Digest,
}

/// What one commit writes, and what it answers.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub records: Vec<NewRecord<'a>>,
    pub batches: Vec<NewBatch<'a>>,
    pub kept: Vec<Kept>,
}

/// The tenants of these events, each once, in the order in which their chains are locked: the same for everybody, so that
/// nobody waits for one who waits for him.
pub(super) fn tenants(events: &[AuditEvent]) -> Vec<&str> {
    let mut tenants: Vec<&str> = events.iter().map(|event| event.tenant.as_str()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    tenants
}

/// Whether two of the events have the same tenant and id.
pub(super) fn repeats(events: &[AuditEvent]) -> bool {
    let mut seen = HashSet::with_capacity(events.len());
    events.iter().any(|event| !seen.insert((event.tenant.as_str(), event.id)))
}

impl<'a> Draft<'a> {
    /// Numbers and hashes what is new. `heads` has a head for each tenant.
    pub fn new(events: &'a [AuditEvent], heads: &BTreeMap<String, Head>, known: &Known) -> Self {
        let mut chains: BTreeMap<&str, (Head, Vec<Digest>)> = BTreeMap::new();
        let mut known = known.clone();
        let mut records = Vec::with_capacity(events.len());
        let mut kept = Vec::with_capacity(events.len());
        let check_repeats = !known.is_empty() || repeats(events);
        for event in events {
            let leaf = leaf(event);
            if check_repeats && let Some((seq, stored)) = known.get(&(event.tenant.clone(), event.id)) {
                kept.push(if *stored == leaf { Kept::Duplicate(*seq) } else { Kept::Conflict(*seq) });
                continue;
            }
            let tenant = event.tenant.as_str();
            let (head, leaves) = chains.entry(tenant).or_insert_with(|| {
                let head = heads.get(tenant).copied().unwrap_or_else(|| Head::before_first(tenant));
                (head, Vec::new())
            });
            head.seq += 1;
            head.record = record_hash(&head.record, head.seq, &leaf);
            leaves.push(leaf);
            records.push(NewRecord { event, seq: head.seq, hash: head.record });
            kept.push(Kept::New(head.seq));
            if check_repeats {
                known.insert((event.tenant.clone(), event.id), (head.seq, leaf));
            }
        }
        let batches = chains.into_iter().map(|(tenant, (head, leaves))| {
            let first = head.seq + 1 - leaves.len() as u64;
            let seal = BatchSeal { first, last: head.seq, root: root(&leaves), record: head.record };
            NewBatch { tenant, seal, hash: batch_hash(&head.batch, &seal) }
        });
        Self { records, batches: batches.collect(), kept }
    }
}
