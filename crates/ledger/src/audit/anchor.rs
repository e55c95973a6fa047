//! Signing anchors, and what the ledger remembers of them: the last one's number and digest, so that taking the newest away
//! is noticed, and how far each chain is anchored.

use std::fmt;

use lovage_core::audit::{
    ANCHOR_VERSION, Anchor, AnchoredChain, Digest, Hex32, Moment, digest_from_hex, from_hex, hex,
};
use lovage_core::{Invalid, Timestamp};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::{Chain, postgres, sqlite};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Store};

/// Signs anchors. It shows itself as its public key.
pub struct SigningKey(Ed25519KeyPair);

/// The last anchor that the ledger knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAnchor {
    /// Its number; 0 if there is none yet.
    pub number: u64,
    /// Its digest; zeros if there is none yet.
    pub digest: Digest,
}

impl SigningKey {
    /// A key from its 64 hexadecimal digits, which are the seed of RFC 8032. The text is never repeated in an error.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let help = "use 64 hexadecimal digits, e.g. what `openssl rand -hex 32` writes";
        let seed = digest_from_hex(text.trim());
        let pair = seed.and_then(|seed| Ed25519KeyPair::from_seed_unchecked(&seed).ok());
        pair.map(Self).ok_or_else(|| Invalid::new("audit.signing_key", "is not a key", help))
    }

    /// The public half.
    pub fn public(&self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        bytes
    }

    /// An anchor of these chains.
    pub fn anchor(&self, last: LastAnchor, chains: &[Chain], now: Timestamp) -> Anchor {
        let anchored = |chain: &Chain| AnchoredChain {
            tenant: chain.tenant.clone(),
            seq: chain.head.seq,
            record: Hex32(chain.head.record),
            batch: Hex32(chain.head.batch),
        };
        let mut anchor = Anchor {
            version: ANCHOR_VERSION,
            number: last.number + 1,
            made_at: Moment(now),
            previous: Hex32(last.digest),
            chains: chains.iter().map(anchored).collect(),
            public_key: Hex32(self.public()),
            signature: String::new(),
        };
        let signature = self.0.sign(&anchor.signed_bytes());
        anchor.signature = hex(signature.as_ref());
        anchor
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", hex(&self.public()))
    }
}

/// Whether the key that an anchor names has signed it.
pub fn is_signed(anchor: &Anchor) -> bool {
    is_signature(&anchor.public_key.0, &anchor.signed_bytes(), &anchor.signature)
}

/// Whether a key has signed these bytes (Ed25519); the signature is in hexadecimal digits.
pub fn is_signature(key: &Digest, bytes: &[u8], signature: &str) -> bool {
    from_hex(signature).is_some_and(|signature| UnparsedPublicKey::new(&ED25519, key).verify(bytes, &signature).is_ok())
}

impl Ledger {
    /// The last anchor that was recorded.
    pub async fn last_anchor(&self) -> Result<LastAnchor, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::last_anchor(pool).await,
            Store::Sqlite(pool) => sqlite::last_anchor(pool).await,
        }
    }

    /// Chains that have grown since they were anchored, at most `limit`.
    pub async fn chains_to_anchor(&self, limit: u32) -> Result<Vec<Chain>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::chains_to_anchor(pool, limit).await,
            Store::Sqlite(pool) => sqlite::chains_to_anchor(pool, limit).await,
        }
    }

    /// Remembers an anchor that lies in the store, after [`Ledger::last_anchor`]. Doing so twice changes nothing.
    pub async fn record_anchor(&self, anchor: &Anchor) -> Result<(), LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::record_anchor(pool, anchor).await,
            Store::Sqlite(pool) => sqlite::record_anchor(pool, anchor).await,
        }
    }
}
