//! Reading the anchors back: each signed, by the key that is expected, each following the one before it.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};
use lovage_artifacts::{ArtifactError, ArtifactStore};
use lovage_core::audit::{Anchor, AnchorProof, Digest, Head, digest_from_hex};
use lovage_ledger::{LastAnchor, Ledger, is_signed};

use crate::config::Config;
use crate::error::{Failure, Outcome};
use crate::rooms;

/// Anchors that are read at the same time.
const AT_ONCE: usize = 16;

/// What the anchors say.
#[derive(Debug, Default)]
pub struct Anchors {
    /// How many there are.
    pub count: u64,
    /// Heads by tenant.
    pub heads: BTreeMap<String, Vec<Head>>,
    /// Their digests.
    pub digests: BTreeSet<Digest>,
    /// The key that signed them.
    pub public_key: Option<Digest>,
    /// The first thing that is wrong with them.
    pub problem: Option<String>,
}

impl Anchors {
    /// Whether anchors with these digests are among them, which somebody has kept where nobody here can write.
    pub fn expect(&mut self, digests: &[String]) -> Outcome {
        for digest in digests {
            let Some(wanted) = digest_from_hex(digest) else {
                let problem = format!(
                    "digest: {digest:?} is none; use the 64 hexadecimal digits that `lovage audit anchor` shows"
                );
                return Err(Failure::usage("digest", problem));
            };
            if !self.digests.contains(&wanted) && self.problem.is_none() {
                self.problem = Some(format!("no anchor has the digest {digest}: anchors were taken away or made anew"));
            }
        }
        Ok(())
    }
}

/// Reads all anchors, up to the first that is wrong.
pub async fn read(config: &Config, ledger: &Ledger) -> Outcome<Anchors> {
    let last = ledger.last_anchor().await?;
    let expected = expected_key(config)?;
    let store = rooms::store(config)?;
    // As far as there are some, whatever the ledger remembers: who cuts a trail off may also have it remember less.
    let mut found = futures::stream::iter(1_u64..).map(|number| {
        let store = store.clone();
        async move { (number, store.anchor(number).await) }
    });
    let mut reading = found.by_ref().buffered(AT_ONCE);
    let mut anchors = Anchors::default();
    let mut previous: Digest = [0; 32];
    while let Some((number, anchor)) = reading.next().await {
        let place = store.location(&ArtifactStore::anchor_key(number));
        let anchor = match anchor {
            Err(error @ ArtifactError::Unreadable { .. }) => {
                anchors.problem = Some(format!("anchor {number} is none: {error}"));
                break;
            }
            other => other?,
        };
        let Some(anchor) = anchor else {
            if number <= last.number {
                anchors.problem = Some(format!("anchor {number} is missing: {place}"));
            }
            break;
        };
        // Without a key that is expected they have one all the same.
        let key = expected.or(anchors.public_key);
        if let Err(problem) = check(&anchor, number, &previous, key, last) {
            anchors.problem = Some(format!("anchor {number} {problem}: {place}"));
            break;
        }
        previous = anchor.digest();
        anchors.count = number;
        anchors.digests.insert(previous);
        anchors.public_key = Some(anchor.public_key.0);
        for chain in &anchor.chains {
            anchors.heads.entry(chain.tenant.clone()).or_default().push(chain.head());
        }
    }
    Ok(anchors)
}

/// The first anchor that covers a tenant's chain up to record `seq`, if there is one. Looked for from the newest back, as what is
/// handed out is mostly new.
pub async fn covering(config: &Config, ledger: &Ledger, tenant: &str, seq: u64) -> Outcome<Option<AnchorProof>> {
    let last = ledger.last_anchor().await?.number;
    let expected = expected_key(config)?;
    let store = rooms::store(config)?;
    let mut found = futures::stream::iter((1..=last + 1).rev()).map(|number| {
        let store = store.clone();
        async move { store.anchor(number).await }
    });
    let mut reading = found.by_ref().buffered(AT_ONCE);
    let mut first = None;
    while let Some(anchor) = reading.try_next().await? {
        // What somebody else has put there is not handed out.
        let trusted =
            anchor.filter(|anchor| is_signed(anchor) && expected.is_none_or(|key| key == anchor.public_key.0));
        let Some(proof) = trusted.and_then(|anchor| anchor.proof(tenant)) else { continue };
        if proof.chain.seq < seq {
            break;
        }
        first = Some(proof);
    }
    Ok(first)
}

fn check(
    anchor: &Anchor,
    number: u64,
    previous: &Digest,
    expected: Option<Digest>,
    last: LastAnchor,
) -> Result<(), &'static str> {
    if !is_signed(anchor) {
        return Err("does not have the signature of its key");
    }
    if expected.is_some_and(|expected| expected != anchor.public_key.0) {
        return Err("is signed with another key");
    }
    if anchor.number != number {
        return Err("lies under another number");
    }
    if anchor.previous.0 != *previous {
        return Err("does not follow the one before it");
    }
    if number == last.number && anchor.digest() != last.digest {
        return Err("is not the one that the ledger remembers");
    }
    Ok(())
}

/// The key that must have signed: what the settings say, or that of the settings' signing key.
fn expected_key(config: &Config) -> Outcome<Option<Digest>> {
    if let Some(text) = &config.audit.public_key {
        return key("audit.public_key", text).map(Some);
    }
    // A key that is made for the occasion has signed nothing.
    let made = config.audit.signing_key.is_some() || config.data_dir.join("audit.key").exists();
    if made { super::anchor::signing_key(config).map(|key| Some(key.public())) } else { Ok(None) }
}

/// Reads a public key. `field` is the setting or the option in errors.
pub fn key(field: &str, text: &str) -> Outcome<Digest> {
    let key = digest_from_hex(text.trim());
    let help = "use the 64 hexadecimal digits that `lovage audit anchor --json` shows";
    key.ok_or_else(|| Failure::usage(field, format!("{field}: is not a key; {help}")))
}
