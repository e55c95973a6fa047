//! The version of what is stored in Redis: one key for all queues below a prefix. Written by the first process that
//! connects, looked at by all.

use super::Result;
use super::check::failed;
use super::fault::is_forbidden;
use super::keys::{Keys, slot};
use super::link::Link;
use super::reply::{count, text};
use crate::error::BrokerError;

/// What this release writes, and the newest that it reads. A higher one comes with the upgrade of what is below it:
/// `tests/golden/redis-v1.txt` must be read as long as there is a release that wrote it. Fields that older releases pass
/// over, behind a head or in a hash, need no new version.
const FORMAT: u64 = 1;

/// What releases stored that wrote no version yet.
const OLDEST: u64 = 1;

/// Refuses what a newer release wrote; leaves the version where there is none.
pub(super) async fn settle(link: &Link, keys: &Keys) -> Result<()> {
    if let Some(found) = read(link, keys).await? {
        return check(&found, &keys.format());
    }
    let version = unsaid(queues(link, keys).await?, FORMAT);
    let key = keys.format();
    match link.send(slot(&key), redis::cmd("SET").arg(&key).arg(version).arg("NX")).await {
        Err(error) if is_forbidden(&error) => return Err(forbidden(keys, error)),
        Err(error) => {
            // A server that is full or a replica takes no writes, and its jobs are to be worked on all the same.
            tracing::warn!(%error, "the version of the stored jobs could not be written; the next start tries again");
            return Ok(());
        }
        Ok(_) => {}
    }
    // Somebody else may have been first.
    read(link, keys).await?.map_or(Ok(()), |found| check(&found, &key))
}

/// The version of what is stored where none is written: queues that are there already are of a release that wrote none.
fn unsaid(queues: u64, current: u64) -> u64 {
    if queues > 0 { OLDEST } else { current }
}

/// For `lovage doctor`: name, finding, and whether it is fine.
pub(super) async fn diagnose(link: &Link, keys: &Keys) -> (String, String, bool) {
    const NAME: &str = "redis data";
    let looked = async {
        Ok(match read(link, keys).await? {
            Some(found) => (format!("version {found}"), check(&found, &keys.format()).is_ok()),
            None if queues(link, keys).await? > 0 => {
                (format!("version {OLDEST}, by its queues: none is written"), true)
            }
            None => ("no version yet".to_owned(), true),
        })
    };
    match looked.await {
        Ok((text, fine)) => (NAME.into(), format!("{text}; this release reads up to {FORMAT}"), fine),
        Err(error) => failed(NAME, &error),
    }
}

async fn read(link: &Link, keys: &Keys) -> Result<Option<String>> {
    let key = keys.format();
    match link.send(slot(&key), redis::cmd("GET").arg(&key)).await {
        Ok(redis::Value::Nil) => Ok(None),
        Ok(found) => text(found).map(Some),
        Err(error) if is_forbidden(&error) => Err(forbidden(keys, error)),
        Err(error) => Err(error),
    }
}

/// How many queues there are.
async fn queues(link: &Link, keys: &Keys) -> Result<u64> {
    let key = keys.queues();
    match link.send(slot(&key), redis::cmd("SCARD").arg(&key)).await {
        Ok(found) => count(&found),
        Err(error) if is_forbidden(&error) => Err(forbidden(keys, error)),
        Err(error) => Err(error),
    }
}

/// A user that may not see the version cannot know whether it would misread the jobs.
fn forbidden(keys: &Keys, error: BrokerError) -> BrokerError {
    let BrokerError::Misconfigured(reason) = error else { return error };
    let (key, all) = (keys.format(), keys.all());
    BrokerError::Misconfigured(format!(
        "the user may not read and leave the version of the stored jobs ({key}): {reason}; give it all keys of the prefix, \
         as the line `ACL SETUSER lovage on >secret ~{all} ...` of docs/guide/redis.md does"
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_without_a_version_are_the_oldest_whatever_this_release_writes() {
        assert_eq!((unsaid(3, 2), unsaid(0, 2)), (1, 2));
        assert_eq!((unsaid(1, FORMAT), unsaid(0, FORMAT)), (1, FORMAT));
    }
}
