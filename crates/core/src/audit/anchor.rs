//! Anchors: where the chains end at some time, signed, to be kept where the owner of the database cannot write.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::event::Moment;
use super::hash::{Digest, Head, LEAF, hex};
use super::merkle::{proof, root, root_from};

/// The newest version of [`Anchor`].
pub const ANCHOR_VERSION: u32 = 1;

/// A hash or key that is written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex32(pub Digest);

/// The heads of chains at one time. It names those that have grown since the anchor before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The version of this form.
    pub version: u32,
    /// Its number, from 1 without gaps.
    pub number: u64,
    /// When it was made.
    pub made_at: Moment,
    /// The digest of the anchor before it; zeros for the first.
    pub previous: Hex32,
    /// Where chains end, by tenant.
    pub chains: Vec<AnchoredChain>,
    /// The Ed25519 key that signs it.
    pub public_key: Hex32,
    /// The Ed25519 signature (RFC 8032) of [`Anchor::signed_bytes`], 128 hexadecimal digits.
    pub signature: String,
}

/// Where one chain ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchoredChain {
    /// The tenant; empty for none.
    pub tenant: String,
    /// The last record's number.
    pub seq: u64,
    /// The last record's hash.
    pub record: Hex32,
    /// The last batch's hash.
    pub batch: Hex32,
}

/// An anchor with one of its chains: what shows to somebody else that the chain is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorProof {
    /// The version of the anchor.
    pub version: u32,
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub made_at: Moment,
    /// The digest of the anchor before it.
    pub previous: Hex32,
    /// The Ed25519 key that signs it.
    pub public_key: Hex32,
    /// The signature of [`AnchorProof::signed_bytes`].
    pub signature: String,
    /// How many chains it names.
    pub chains: u64,
    /// The place of this one among them, from 0.
    pub index: u64,
    /// What leads from this one to the Merkle root over all of them, from below.
    pub path: Vec<Hex32>,
    /// Where this one ends.
    pub chain: AnchoredChain,
}

impl Anchor {
    /// What is signed: everything but the signature, numbers in eight bytes. The chains are in it as their number and the
    /// Merkle root over them, so that one chain can be shown to be signed without naming the others.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let chains = self.chains.len() as u64;
        signed_bytes(self.number, self.made_at, &self.previous, &self.public_key, (chains, &root(&self.leaves())))
    }

    /// What shows that this anchor covers a tenant's chain, and names no other tenant. Nothing if it doesn't.
    pub fn proof(&self, tenant: &str) -> Option<AnchorProof> {
        let index = self.chains.iter().position(|chain| chain.tenant == tenant)?;
        Some(AnchorProof {
            version: self.version,
            number: self.number,
            made_at: self.made_at,
            previous: self.previous,
            public_key: self.public_key,
            signature: self.signature.clone(),
            chains: self.chains.len() as u64,
            index: index as u64,
            path: proof(&self.leaves(), index)?.into_iter().map(Hex32).collect(),
            chain: self.chains[index].clone(),
        })
    }

    fn leaves(&self) -> Vec<Digest> {
        self.chains.iter().map(AnchoredChain::leaf).collect()
    }

    /// What the next anchor calls its previous one: the hash of what is signed and of the signature.
    pub fn digest(&self) -> Digest {
        Sha256::new().chain_update(self.signed_bytes()).chain_update(&self.signature).finalize().into()
    }
}

impl AnchorProof {
    /// What is signed, as [`Anchor::signed_bytes`] has it. Nothing if the path does not fit the place.
    pub fn signed_bytes(&self) -> Option<Vec<u8>> {
        let path: Vec<Digest> = self.path.iter().map(|hash| hash.0).collect();
        let root = root_from(&self.chain.leaf(), self.index, self.chains, &path)?;
        Some(signed_bytes(self.number, self.made_at, &self.previous, &self.public_key, (self.chains, &root)))
    }
}

fn signed_bytes(number: u64, at: Moment, previous: &Hex32, key: &Hex32, (chains, root): (u64, &Digest)) -> Vec<u8> {
    let mut bytes = b"lovage.audit.anchor.1\0".to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.extend(at.0.as_millis().to_be_bytes());
    bytes.extend(previous.0);
    bytes.extend(key.0);
    bytes.extend(chains.to_be_bytes());
    bytes.extend(root);
    bytes
}

impl AnchoredChain {
    /// The leaf of the Merkle tree over the chains of an anchor. Nobody guesses a tenant from it: the hashes are in it.
    fn leaf(&self) -> Digest {
        let hash = Sha256::new().chain_update([LEAF]).chain_update(b"lovage.audit.chain.1\0");
        let hash = hash.chain_update((self.tenant.len() as u64).to_be_bytes()).chain_update(&self.tenant);
        hash.chain_update(self.seq.to_be_bytes())
            .chain_update(self.record.0)
            .chain_update(self.batch.0)
            .finalize()
            .into()
    }

    /// The head that it names.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, record: self.record.0, batch: self.batch.0 }
    }
}

/// The bytes of hexadecimal digits; nothing if the text is anything else.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// The 32 bytes of 64 hexadecimal digits, a hash or a key; nothing if the text is anything else.
pub fn digest_from_hex(text: &str) -> Option<Digest> {
    from_hex(text).and_then(|bytes| Digest::try_from(bytes).ok())
}

impl Serialize for Hex32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        digest_from_hex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("a hash has 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn anchor() -> Anchor {
        let chain = |tenant: &str| AnchoredChain {
            tenant: tenant.to_owned(),
            seq: 7,
            record: Hex32([1; 32]),
            batch: Hex32([2; 32]),
        };
        Anchor {
            version: ANCHOR_VERSION,
            number: 1,
            made_at: Moment(Timestamp::from_millis(1_700_000_000_000)),
            previous: Hex32([0; 32]),
            chains: vec![chain(""), chain("acme")],
            public_key: Hex32([3; 32]),
            signature: "ab".repeat(64),
        }
    }

    #[test]
    fn everything_that_an_anchor_says_is_signed() {
        let changes: [fn(&mut Anchor); 8] = [
            |anchor| anchor.number = 2,
            |anchor| anchor.made_at = Moment(Timestamp::from_millis(1)),
            |anchor| anchor.previous = Hex32([9; 32]),
            |anchor| anchor.public_key = Hex32([9; 32]),
            |anchor| anchor.chains[0].tenant = "a".into(),
            |anchor| anchor.chains[1].seq = 8,
            |anchor| anchor.chains[1].batch = Hex32([9; 32]),
            |anchor| drop(anchor.chains.pop()),
        ];
        for change in changes {
            let mut other = anchor();
            change(&mut other);
            assert_ne!(other.signed_bytes(), anchor().signed_bytes());
            assert_ne!(other.digest(), anchor().digest());
        }
    }

    #[test]
    fn one_chain_is_shown_to_be_signed_without_naming_the_others() {
        let anchor = anchor();
        let proof = anchor.proof("acme").unwrap();
        assert_eq!(proof.signed_bytes(), Some(anchor.signed_bytes()));
        assert_eq!(anchor.proof("globex"), None);
        let changes: [fn(&mut AnchorProof); 5] = [
            |proof| proof.index = 0,
            |proof| proof.chains = 3,
            |proof| proof.path[0] = Hex32([9; 32]),
            |proof| proof.chain.tenant = "acme2".into(),
            |proof| proof.chain.record = Hex32([9; 32]),
        ];
        for change in changes {
            let mut other = proof.clone();
            change(&mut other);
            assert_ne!(other.signed_bytes(), Some(anchor.signed_bytes()));
        }
    }

    #[test]
    fn an_anchor_is_read_back_as_it_was_written() {
        let text = serde_json::to_string(&anchor()).unwrap();
        assert_eq!(serde_json::from_str::<Anchor>(&text).unwrap(), anchor());
        assert!(serde_json::from_str::<Anchor>(&text.replace("0303", "03zz")).is_err());
        assert_eq!((from_hex("0g"), from_hex("abc"), from_hex("é")), (None, None, None));
    }
}
