//! Anchors of the audit trail, `audit/anchors/NUMBER.json`: each put once and never changed. Give the bucket a retention lock
//! for this folder, and not even its owner changes them.

use lovage_core::audit::{ANCHOR_VERSION, Anchor};

use crate::error::ArtifactError;
use crate::store::ArtifactStore;

impl ArtifactStore {
    /// The key of the anchor with this number.
    pub fn anchor_key(number: u64) -> String {
        format!("audit/anchors/{number:010}.json")
    }

    /// The anchor with this number, if there is one.
    pub async fn anchor(&self, number: u64) -> Result<Option<Anchor>, ArtifactError> {
        self.record(&Self::anchor_key(number), ANCHOR_VERSION).await
    }

    /// Puts an anchor unless there is one with its number; answers the one that is there afterwards.
    pub async fn put_anchor(&self, anchor: Anchor) -> Result<Anchor, ArtifactError> {
        self.put_record(&Self::anchor_key(anchor.number), anchor, ANCHOR_VERSION).await
    }
}
