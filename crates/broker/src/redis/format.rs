//! The version of what is stored in Redis: one key for all queues below a prefix. Written by the first process that
//! connects, looked at by all.

use super::Result;
use super::keys::{Keys, slot};
use super::link::Link;
use super::reply::text;
use crate::error::BrokerError;

/// What this release writes, and the newest that it reads. A higher one comes with the upgrade of what is below it:
/// `tests/golden/redis-v1.txt` must be read as long as there is a release that wrote it. Fields that older releases pass
/// over, behind a head or in a hash, need no new version.
const FORMAT: u64 = 1;

/// Refuses what a newer release wrote; leaves the version where there is none.
pub(super) async fn settle(link: &Link, keys: &Keys) -> Result<()> {
    if let Some(found) = read(link, keys).await? {
        return check(&found, &keys.format());
    }
    let key = keys.format();
    if let Err(error) = link.send(slot(&key), redis::cmd("SET").arg(&key).arg(FORMAT).arg("NX")).await {
        // A server that is full or a replica takes no writes, and its jobs are to be worked on all the same.
        tracing::warn!(%error, "the version of the stored jobs could not be written; the next start tries again");
        return Ok(());
    }
    // Somebody else may have been first.
    read(link, keys).await?.map_or(Ok(()), |found| check(&found, &key))
}

/// For `lovage doctor`: name, finding, and whether it is fine.
pub(super) async fn diagnose(link: &Link, keys: &Keys) -> Result<(String, String, bool)> {
    let found = read(link, keys).await?;
    let fine = found.as_ref().is_none_or(|found| check(found, &keys.format()).is_ok());
    let text = found.map_or_else(|| "no version yet".to_owned(), |found| format!("version {found}"));
    Ok(("redis data".into(), format!("{text}; this release reads up to {FORMAT}"), fine))
}

async fn read(link: &Link, keys: &Keys) -> Result<Option<String>> {
    let key = keys.format();
    match link.send(slot(&key), redis::cmd("GET").arg(&key)).await? {
        redis::Value::Nil => Ok(None),
        found => text(found).map(Some),
    }
}

fn check(found: &str, key: &str) -> Result<()> {
    let help = "start the newer release again, or choose another redis_prefix";
    match found.parse() {
        Ok(0..=FORMAT) => Ok(()),
        Ok(newer) => Err(BrokerError::Misconfigured(format!(
            "the jobs in Redis have data version {newer} ({key}); this release reads up to {FORMAT}: {help}"
        ))),
        Err(_) => Err(BrokerError::Misconfigured(format!(
            "{key} in Redis is {found:?} and no data version: is another program using this prefix? {help}"
        ))),
    }
}
