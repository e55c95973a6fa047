//! `lovage audit anchor`: signs where the chains end and puts that into the object storage.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use lovage_artifacts::ArtifactStore;
use lovage_broker::OsEntropy;
use lovage_core::Entropy as _;
use lovage_core::audit::{Anchor, hex};
use lovage_ledger::{Ledger, SigningKey, is_signed};
use serde_json::json;

use super::Context;
use crate::config::Config;
use crate::error::{Failure, Outcome};
use crate::rooms;

/// Most chains of one anchor.
const CHAINS: u32 = 20_000;

/// Anchors what has grown since the last time.
pub async fn run(context: &Context) -> Outcome {
    let config = context.config();
    let made = anchor(config, &rooms::required_ledger(config).await?).await?;
    let shown: Vec<_> = made
        .iter()
        .map(|anchor| {
            json!({
                "number": anchor.number, "chains": anchor.chains.len(), "key": ArtifactStore::anchor_key(anchor.number),
                "digest": hex(&anchor.digest()), "public_key": anchor.public_key,
            })
        })
        .collect();
    context.output.one(&shown, || match made.as_slice() {
        [] => "No trail has grown since the last anchor.".to_owned(),
        [first, .., last] => format!("Anchors {} to {} were put into the storage.", first.number, last.number),
        [only] => format!(
            "Anchor {} of {} trails was put into the storage. Keep its digest where nobody here can write:\n  {}",
            only.number,
            only.chains.len(),
            hex(&only.digest())
        ),
    })
}

/// Puts as many anchors as are needed to cover all chains; answers those of this call.
pub async fn anchor(config: &Config, ledger: &Ledger) -> Outcome<Vec<Anchor>> {
    let store = rooms::store(config)?;
    let key = signing_key(config)?;
    let mut made = Vec::new();
    let last = ledger.last_anchor().await?.number;
    if let Some(before) = store.anchor(last.max(1)).await?.filter(|before| before.public_key.0 != key.public()) {
        return Err(Failure::Conflict(format!(
            "{} is signed with another key than audit.signing_key; put that key back, or nobody can verify both",
            store.location(&ArtifactStore::anchor_key(before.number))
        )));
    }
    loop {
        let last = ledger.last_anchor().await?;
        let chains = ledger.chains_to_anchor(CHAINS).await?;
        if chains.is_empty() {
            return Ok(made);
        }
        let anchor = key.anchor(last, &chains, Context::now());
        let there = store.put_anchor(anchor.clone()).await?;
        // Somebody else was first, or this process died before it could record its own: that one counts.
        if there.previous != anchor.previous || there.public_key != anchor.public_key || !is_signed(&there) {
            return Err(Failure::Conflict(format!(
                "{} holds an anchor that does not follow the ledger's last one, or has another key; `lovage audit verify` says more",
                store.location(&ArtifactStore::anchor_key(there.number))
            )));
        }
        ledger.record_anchor(&there).await?;
        if there == anchor {
            made.push(anchor);
            // What grows meanwhile is for the next time, or this would go on for as long as somebody writes.
            if chains.len() < CHAINS as usize {
                return Ok(made);
            }
        }
    }
}

/// The key of the settings, or, with the embedded ledger, one that is made once and kept beside it.
pub fn signing_key(config: &Config) -> Outcome<SigningKey> {
    if let Some(key) = &config.audit.signing_key {
        return Ok(SigningKey::parse(key.reveal())?);
    }
    if config.ledger_url.is_some() || config.redis_url.is_some() {
        return Err(Failure::usage(
            "audit.signing_key",
            "audit.signing_key: is not set; write one with `openssl rand -hex 32 > audit.key` and name the file in \
             LOVAGE_AUDIT__SIGNING_KEY_FILE",
        ));
    }
    let path = config.data_dir.join("audit.key");
    let failed = |error: std::io::Error| Failure::Failed(format!("{} cannot be used: {error}", path.display()));
    match fs::read_to_string(&path) {
        Ok(text) => Ok(SigningKey::parse(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut seed = [0; 32];
            OsEntropy.fill(&mut seed);
            create(&path, &hex(&seed)).map_err(failed)?;
            Ok(SigningKey::parse(&fs::read_to_string(&path).map_err(failed)?)?)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Creates a file that only its owner reads. If another process was first, its file stays.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // A link fails where a rename would replace.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
