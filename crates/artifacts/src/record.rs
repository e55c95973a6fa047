//! Small JSON documents of a job (its manifest, the record of a deletion, a hold): read with their version, put if absent.

use bytes::Bytes;
use lovage_core::Invalid;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ArtifactError;
use crate::keys::path;
use crate::publish::COLLISIONS;
use crate::store::ArtifactStore;

/// Reads a stored document; `newest` is the newest version that this release knows.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, text: &[u8], newest: u32) -> Result<T, ArtifactError> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let unreadable = |problem: String| ArtifactError::Unreadable { key: key.to_owned(), problem };
    let head: Head = serde_json::from_slice(text).map_err(|error| unreadable(error.to_string()))?;
    if head.version > newest {
        let problem = format!("it has version {}; this release reads up to {newest}", head.version);
        return Err(unreadable(problem));
    }
    serde_json::from_slice(text).map_err(|error| unreadable(error.to_string()))
}

/// The stored form.
pub(crate) fn encode(document: &impl Serialize) -> Result<Bytes, ArtifactError> {
    let mut text = serde_json::to_vec_pretty(document)
        .map_err(|error| Invalid::new("document", error.to_string(), "use values that JSON can express"))?;
    text.push(b'\n');
    Ok(text.into())
}

impl ArtifactStore {
    /// The document at this key, if there is one.
    pub(crate) async fn record<T: DeserializeOwned>(&self, key: &str, newest: u32) -> Result<Option<T>, ArtifactError> {
        let failed = |error| ArtifactError::from_store(&format!("read {key}"), &error);
        let object = match self.objects().get(&path(key)?).await.map_err(failed) {
            Err(ArtifactError::NotFound(_)) => return Ok(None),
            other => other?,
        };
        decode(key, &object.bytes().await.map_err(failed)?, newest).map(Some)
    }

    /// Puts a document unless one is there; answers the one that is there afterwards.
    pub(crate) async fn put_record<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        document: T,
        newest: u32,
    ) -> Result<T, ArtifactError> {
        self.check_once().await?;
        let text = encode(&document)?;
        for _ in 0..COLLISIONS {
            let options = PutOptions::from(PutMode::Create);
            let put = self.objects().put_opts(&path(key)?, PutPayload::from(text.clone()), options).await;
            let unclear = match put {
                Ok(_) => return Ok(document),
                Err(object_store::Error::AlreadyExists { .. }) => None,
                // The answer may have been lost after the put was done.
                Err(error) => Some(ArtifactError::from_store(&format!("write {key}"), &error)),
            };
            match (self.record(key, newest).await?, unclear) {
                (Some(found), _) => return Ok(found),
                (None, Some(error)) => return Err(error),
                // Two puts collided, and neither may have taken place.
                (None, None) => tokio::task::yield_now().await,
            }
        }
        Err(ArtifactError::Unavailable(format!("write {key}: the store answered {COLLISIONS} times with a conflict")))
    }
}
