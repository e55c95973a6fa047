//! The file of a trail that is handed out: a line each for its head, its batches, their records, the batches from there to
//! the anchor, and its end. `docs/guide/audit.md` says the same for programs of others.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::anchor::{AnchorProof, Hex32};
use super::event::{AuditEvent, Moment};
use super::hash::{BatchSeal, Head};
use super::verify::{Batch, Record};
use crate::clock::Timestamp;
use crate::error::Invalid;

/// What the first line says of the file.
pub const FILE_FORMAT: &str = "lovage.audit";
/// The version that this release writes, and the newest that it reads.
pub const FILE_VERSION: u32 = 1;

/// The first line. What nothing proves is said by whoever exported: `exported_at`, `from` and `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHeader {
    /// [`FILE_FORMAT`].
    pub format: String,
    /// The version of the form.
    pub version: u32,
    /// Whose trail it is of; empty for none.
    pub tenant: String,
    /// When the file was written.
    pub exported_at: Moment,
    /// Batches that were committed then or later were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// Batches that were committed before then were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Moment>,
    /// The one record that the file holds; when absent it holds all of its batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// Where the chain stands before the first batch.
    pub before: HeadLine,
    /// Where it stands after the last one, so that a file that was cut is told from a whole one.
    pub after: HeadLine,
    /// The first anchor that covers all of it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<AnchorProof>,
}

/// A head in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadLine {
    /// The last record's number; 0 before the first.
    pub seq: u64,
    /// The last record's hash. Absent before a single record, where nothing would prove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Hex32>,
    /// The last batch's hash.
    pub batch: Hex32,
}

/// Any other line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileLine {
    /// A batch, whose records follow.
    Batch(BatchLine),
    /// A record.
    Record(Box<RecordLine>),
    /// A batch between the last one and the anchor. It stands without its records.
    Link(BatchLine),
    /// The last line.
    End(EndLine),
}

/// A batch in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchLine {
    /// Its first record's number.
    pub first: u64,
    /// Its last record's number.
    pub last: u64,
    /// The Merkle root of its records' leaves.
    pub root: Hex32,
    /// Its last record's hash.
    pub record: Hex32,
    /// Its hash.
    pub hash: Hex32,
    /// When it was committed, by the database's clock. Nothing proves it.
    pub written_at: Moment,
    /// Whether retention has removed its records; then none follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// A record in the file. JSON stands in texts, because every byte of it is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of the event")]
pub struct RecordLine {
    /// Its number.
    pub seq: u64,
    /// Its hash. Absent in the file of one record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Hex32>,
    /// What leads from its leaf to its batch's root, from below. Only in the file of one record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<Hex32>>,
    pub id: Uuid,
    pub time: Moment,
    pub actor: String,
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
}

/// The last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndLine {
    /// The SHA-256 of all bytes before this line.
    pub sha256: Hex32,
}

impl From<Head> for HeadLine {
    fn from(head: Head) -> Self {
        Self { seq: head.seq, record: Some(Hex32(head.record)), batch: Hex32(head.batch) }
    }
}

impl BatchLine {
    /// The line of a batch. `pruned` is the last record that retention has removed.
    pub fn new(batch: &Batch, pruned: u64) -> Self {
        Self {
            first: batch.seal.first,
            last: batch.seal.last,
            root: Hex32(batch.seal.root),
            record: Hex32(batch.seal.record),
            hash: Hex32(batch.hash),
            written_at: Moment(batch.written_at),
            removed: batch.seal.last <= pruned,
        }
    }

    /// Where the chain stands behind it.
    pub fn head(&self) -> Head {
        Head { seq: self.last, record: self.record.0, batch: self.hash.0 }
    }

    /// What its hash covers.
    pub fn seal(&self) -> BatchSeal {
        BatchSeal { first: self.first, last: self.last, root: self.root.0, record: self.record.0 }
    }
}

impl RecordLine {
    /// The line of a record. An error if the store gave back what can't have been written.
    pub fn new(record: Record) -> Result<Self, Invalid> {
        let Record { seq, event, hash } = record;
        let time = u64::try_from(event.time_ms).map_err(|_| {
            Invalid::new(format!("time of record {seq}"), "is not what can have been stored", "verify the audit trail")
        })?;
        Ok(Self {
            seq,
            hash: Some(Hex32(hash)),
            path: None,
            id: event.id,
            time: Moment(Timestamp::from_millis(time)),
            actor: event.actor,
            action: event.action,
            target: event.target,
            ip: event.ip,
            user_agent: event.user_agent,
            request_id: event.request_id,
            before: event.before,
            after: event.after,
            metadata: event.metadata,
        })
    }

    /// What it says, as an event of this tenant.
    pub fn event(&self, tenant: &str) -> AuditEvent {
        AuditEvent {
            id: self.id,
            time_ms: i64::try_from(self.time.0.as_millis()).unwrap_or(i64::MAX),
            tenant: tenant.to_owned(),
            actor: self.actor.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            ip: self.ip.clone(),
            user_agent: self.user_agent.clone(),
            request_id: self.request_id.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            metadata: self.metadata.clone(),
        }
    }
}
