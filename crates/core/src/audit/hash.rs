//! What is hashed, byte for byte. Every number is big-endian; every hash is SHA-256.

use sha2::{Digest as _, Sha256};

use super::event::AuditEvent;

/// A SHA-256.
pub type Digest = [u8; 32];

/// First byte of what is hashed, so that no kind of hash can stand for another (as RFC 6962, section 2.1, does).
pub(super) const LEAF: u8 = 0;
pub(super) const NODE: u8 = 1;
const RECORD: u8 = 2;
const BATCH: u8 = 3;

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last record's number; 0 before the first.
    pub seq: u64,
    /// The last record's hash.
    pub record: Digest,
    /// The last batch's hash.
    pub batch: Digest,
}

/// What a batch's hash covers besides the hash of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSeal {
    /// Its first record's number.
    pub first: u64,
    /// Its last record's number.
    pub last: u64,
    /// The Merkle root of its records' leaves.
    pub root: Digest,
    /// Its last record's hash.
    pub record: Digest,
}

impl Head {
    /// The head of a chain without records. It depends on the tenant, so chains cannot be exchanged.
    pub fn before_first(tenant: &str) -> Self {
        let start = |label: &[u8]| Sha256::new().chain_update(label).chain_update(tenant).finalize().into();
        Self { seq: 0, record: start(b"lovage.audit.records.1\0"), batch: start(b"lovage.audit.batches.1\0") }
    }
}

/// Bytes as lower-case hexadecimal digits, 64 for a hash.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hash of an event's content, the leaf of Merkle trees. Each field is its length in four bytes (all ones if it is absent)
/// and its bytes, in the order below: UTF-8 as it was sent, JSON as it was written, addresses in their shortest form.
pub fn leaf(event: &AuditEvent) -> Digest {
    let mut hash = Sha256::new();
    hash.update([LEAF]);
    hash.update(b"lovage.audit.event.1\0");
    hash.update(event.id.as_bytes());
    hash.update(event.time_ms.to_be_bytes());
    for field in [
        Some(&event.actor),
        Some(&event.action),
        event.target.as_ref(),
        Some(&event.tenant),
        event.ip.as_ref(),
        event.user_agent.as_ref(),
        event.request_id.as_ref(),
        event.before.as_ref(),
        event.after.as_ref(),
        event.metadata.as_ref(),
    ] {
        // No field is as long as the mark: events are bounded.
        hash.update(field.map_or(u32::MAX, |field| field.len() as u32).to_be_bytes());
        hash.update(field.map_or("", String::as_str));
    }
    hash.finalize().into()
}

/// The hash of the record with this number and leaf, after the record with the hash `previous`.
pub fn record_hash(previous: &Digest, seq: u64, leaf: &Digest) -> Digest {
    let hash = Sha256::new().chain_update([RECORD]).chain_update(previous).chain_update(seq.to_be_bytes());
    hash.chain_update(leaf).finalize().into()
}

/// The hash of a batch after the batch with the hash `previous`.
pub fn batch_hash(previous: &Digest, seal: &BatchSeal) -> Digest {
    let hash = Sha256::new().chain_update([BATCH]).chain_update(previous).chain_update(seal.first.to_be_bytes());
    hash.chain_update(seal.last.to_be_bytes()).chain_update(seal.root).chain_update(seal.record).finalize().into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::EventDraft;
    use crate::clock::Timestamp;

    fn event(draft: EventDraft) -> AuditEvent {
        draft.complete(Uuid::from_u128(1), Timestamp::from_millis(1_700_000_000_000)).unwrap()
    }

    #[test]
    fn a_text_that_moves_from_one_field_to_the_next_changes_the_hash() {
        let plain = EventDraft::new("a", "b");
        let target = EventDraft { target: Some("c".into()), ..plain.clone() };
        let agent = EventDraft { user_agent: Some("c".into()), ..plain.clone() };
        let empty = EventDraft { target: Some(String::new()), ..plain.clone() };
        let joined = EventDraft::new("ab", "");
        let mut leaves: Vec<Digest> =
            [plain, target, agent, empty].into_iter().map(|draft| leaf(&event(draft))).collect();
        leaves.push(leaf(&AuditEvent {
            actor: joined.actor,
            action: joined.action,
            ..event(EventDraft::new("a", "b"))
        }));
        leaves.sort_unstable();
        leaves.dedup();
        assert_eq!(leaves.len(), 5);
    }

    /// The stored hashes of every release hang on these: they are never edited. Computed by hand with Python's hashlib
    /// (`docs/guide/audit.md` has the program).
    #[test]
    fn the_form_is_the_one_that_is_written_down() {
        let full = r#"{"actor":"user:42","action":"order.refund","target":"order:1","tenant":"acme","ip":"2001:db8::1",
            "user_agent":"curl/8","request_id":"r-1","before":{"a": 1.0},"after":null,"metadata":[]}"#;
        let event = event(serde_json::from_str(full).unwrap());
        let start = Head::before_first("acme");
        let leaf = leaf(&event);
        let record = record_hash(&start.record, 1, &leaf);
        let batch = batch_hash(&start.batch, &BatchSeal { first: 1, last: 1, root: leaf, record });
        assert_eq!(hex(&leaf), "ddcf91eb09371630c56dc140d483538a5a2edda671557ef73b160c34bcb291a4");
        assert_eq!(hex(&record), "22086e8aec9d938334774bd5da372347cc1536cbb09da18c5d3f151780e1c444");
        assert_eq!(hex(&batch), "947f3e2e281b0f3accbfc3fbd0adb171e3595a2fdfefb4202d13c3e8fc4e8723");
    }
}
