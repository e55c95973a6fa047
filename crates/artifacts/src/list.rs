//! Lists what was published, newest first.
//!
//! Stores list by key, and a job's id may be anything, so the order comes from the time at which a manifest was
//! written, as the store keeps it (S3 to the second, a folder by the file's time of change, which a copy may lose).
//! One call reads the whole listing of the queue, 1,000 objects a request on S3, and holds no more than a page of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use lovage_core::{Invalid, QueueName, Timestamp};

use crate::deletion::Deletion;
use crate::error::ArtifactError;
use crate::expire::READS;
use crate::keys::{JOBS, MANIFEST, parse_job_key, path};
use crate::manifest::Manifest;
use crate::store::ArtifactStore;

/// Most entries of a page.
const MAX_PAGE: usize = 500;

/// Which manifests.
#[derive(Debug, Clone)]
pub struct ListOptions {
    /// Only those of this queue.
    pub queue: Option<QueueName>,
    /// Most entries, 1 to 500.
    pub limit: usize,
    /// Only what comes after this [`ManifestPage::next`].
    pub after: Option<String>,
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManifestPage {
    /// The manifests, newest first.
    pub items: Vec<Listed>,
    /// Manifests that this release cannot read, with the problem.
    pub unreadable: Vec<String>,
    /// For the next call, if there are more.
    pub next: Option<String>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// When it was published, by the store's clock.
    pub published_at: Timestamp,
    /// The manifest.
    pub manifest: Manifest,
    /// The record that its files were deleted, if they were.
    pub deleted: Option<Deletion>,
}

/// A place in the list: the time and the key of a manifest.
type Place = (u64, String);

impl ArtifactStore {
    /// Manifests, newest first.
    pub async fn list(&self, options: &ListOptions) -> Result<ManifestPage, ArtifactError> {
        if !(1..=MAX_PAGE).contains(&options.limit) {
            return Err(Invalid::new("limit", format!("is {}", options.limit), format!("use 1 to {MAX_PAGE}")).into());
        }
        let after = options.after.as_deref().map(parse_place).transpose()?;
        let mut places = self.newest(options, after.as_ref()).await?;
        let more = places.len() > options.limit;
        places.truncate(options.limit);
        let next = more.then(|| places.last().map(|(at, key)| format!("{at}:{key}"))).flatten();
        let mut page = ManifestPage { next, ..ManifestPage::default() };
        let mut read = stream::iter(places.into_iter().map(|place| read(self.clone(), place))).buffered(READS);
        while let Some(entry) = read.next().await {
            match entry {
                Ok(listed) => page.items.push(listed),
                Err(error @ ArtifactError::Unreadable { .. }) => page.unreadable.push(error.to_string()),
                // Somebody has removed it by hand since it was listed.
                Err(ArtifactError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    /// One place more than a page has, newest first.
    async fn newest(&self, options: &ListOptions, after: Option<&Place>) -> Result<Vec<Place>, ArtifactError> {
        let prefix = options.queue.as_ref().map_or_else(|| JOBS.to_owned(), |queue| format!("{JOBS}/{queue}"));
        let mut objects = self.objects().list(Some(&path(&prefix)?));
        let failed = |error| ArtifactError::from_store("list the store", &error);
        let mut newest = BinaryHeap::with_capacity(options.limit + 2);
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            let key = object.location.as_ref();
            if parse_job_key(key).is_none_or(|(_, _, rest)| rest != MANIFEST) {
                continue;
            }
            let place = (object.last_modified.timestamp_millis().max(0) as u64, key.to_owned());
            if after.is_none_or(|after| place < *after) {
                newest.push(Reverse(place));
                if newest.len() > options.limit + 1 {
                    newest.pop();
                }
            }
        }
        // Sorted by the reverse is newest first.
        Ok(newest.into_sorted_vec().into_iter().map(|Reverse(place)| place).collect())
    }
}

async fn read(store: ArtifactStore, (at, key): Place) -> Result<Listed, ArtifactError> {
    let manifest = store.manifest(&key).await?;
    let deleted = store.deleted(&manifest.queue, &manifest.job).await?;
    Ok(Listed { published_at: Timestamp::from_millis(at), manifest, deleted })
}

fn parse_place(text: &str) -> Result<Place, Invalid> {
    let place = text.split_once(':').and_then(|(at, key)| Some((at.parse().ok()?, key.to_owned())));
    place.ok_or_else(|| {
        Invalid::new("after", format!("{text:?} is no place in this list"), "pass on what the list said")
    })
}
