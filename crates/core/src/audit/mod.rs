//! The audit trail as pure functions: what an event is, what is hashed of it, and how hashes hang together.
//!
//! Each tenant has a chain of its own. A record's hash covers its content, its place and the hash of the record before
//! it; the records of one commit are a batch with a Merkle root, and batches form a second chain. Who has the head of both
//! chains at some time can tell later whether anything before it was changed. `docs/guide/audit.md` says the same for
//! somebody who wants to check it with a program of their own.

mod anchor;
mod check;
mod event;
mod file;
mod finding;
mod flaw;
mod follow;
mod hash;
mod merkle;
mod verify;

pub use anchor::{ANCHOR_VERSION, Anchor, AnchorProof, AnchoredChain, Hex32, digest_from_hex, from_hex};
pub use check::{FileChecker, IsSigned, Proved, ProvedAnchor};
pub use event::{AuditEvent, EventDraft, MAX_AUDIT_BYTES, MAX_AUDIT_LEAD, Moment, event_id};
pub use file::{BatchLine, EndLine, FILE_FORMAT, FILE_VERSION, FileHeader, FileLine, HeadLine, RecordLine};
pub use finding::Finding;
pub use flaw::{Flaw, FlawAt};
pub use hash::{BatchSeal, Digest, Head, batch_hash, hex, leaf, record_hash};
pub use merkle::{proof, root, root_from};
pub use verify::{Batch, Record, Verifier};
