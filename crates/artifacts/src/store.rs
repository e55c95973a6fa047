//! The store as everybody holds it: cheap to clone, reads and removes by key.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lovage_core::{JobId, QueueName};
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use tokio::sync::OnceCell;

use crate::config::{Address, Scheme, StoreConfig};
use crate::error::ArtifactError;
use crate::expire::READS;
use crate::keys::{AttemptKey, FileName, job_folder, manifest_key, path};
use crate::manifest::Manifest;
use crate::open::{self, Opened};
use crate::sign::Signs;
use crate::writer::ArtifactWriter;

/// An object whose only purpose is that it exists: see [`ArtifactStore::check`].
const PROBE: &str = "lovage-probe";

/// Where artifacts live.
#[derive(Clone)]
pub struct ArtifactStore(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    signer: Option<Signs>,
    address: Address,
    /// Filled once the service has shown that it honours put-if-absent.
    keeps_first: OnceCell<()>,
}

impl fmt::Debug for ArtifactStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArtifactStore").field(&self.location("")).finish()
    }
}

impl ArtifactStore {
    /// Opens a store. A local folder is created; a bucket is not contacted until it is used ([`Self::check`] does).
    pub fn open(config: &StoreConfig) -> Result<Self, ArtifactError> {
        Ok(Self::from_opened(open::open(config)?))
    }

    pub(crate) fn from_opened(opened: Opened) -> Self {
        Self(Arc::new(Inner {
            store: opened.objects.store,
            signer: opened.objects.signer,
            address: opened.address,
            keeps_first: OnceCell::new(),
        }))
    }

    pub(crate) fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.0.store
    }

    /// What signs links, for a bucket with credentials.
    pub(crate) fn signer(&self) -> Option<&Signs> {
        self.0.signer.as_ref()
    }

    pub(crate) fn address(&self) -> &Address {
        &self.0.address
    }

    /// The folder of a local store.
    pub fn local_root(&self) -> Option<&FilePath> {
        match &self.0.address {
            Address::Local(folder) => Some(folder),
            Address::Memory | Address::Bucket { .. } => None,
        }
    }

    /// Whether objects carry attributes such as their media type.
    pub(crate) fn has_attributes(&self) -> bool {
        self.local_root().is_none()
    }

    /// Where the object with this key is, for people: a path for a local store, else a url.
    pub fn location(&self, key: &str) -> String {
        match &self.0.address {
            Address::Local(folder) => folder.join(key).display().to_string(),
            Address::Memory => format!("memory:{key}"),
            Address::Bucket { scheme, bucket, prefix } => {
                let scheme = match scheme {
                    Scheme::S3 => "s3",
                    Scheme::Gcs => "gs",
                    Scheme::Azure => "az",
                };
                let slash = if prefix.is_empty() { "" } else { "/" };
                format!("{scheme}://{bucket}/{prefix}{slash}{key}")
            }
        }
    }

    /// The key of a job's manifest.
    pub fn manifest_key(&self, queue: &QueueName, job: &JobId) -> String {
        manifest_key(queue, job)
    }

    /// The file behind a key of a local store.
    pub fn local_path(&self, key: &str) -> Option<PathBuf> {
        self.local_root().map(|folder| folder.join(key))
    }

    /// Begins a file of this attempt. Nothing is sent before the first full part or [`ArtifactWriter::finish`].
    pub fn create(
        &self,
        attempt: &AttemptKey,
        name: &FileName,
        content_type: &str,
    ) -> Result<ArtifactWriter, ArtifactError> {
        ArtifactWriter::new(self.clone(), attempt.data_key(name), name.clone(), content_type.to_owned())
    }

    /// The job's manifest, if an attempt has published. A handler asks first: whoever finds one need not do the work.
    pub async fn existing(&self, queue: &QueueName, job: &JobId) -> Result<Option<Manifest>, ArtifactError> {
        match self.manifest(&manifest_key(queue, job)).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(ArtifactError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The manifest at this key.
    pub async fn manifest(&self, key: &str) -> Result<Manifest, ArtifactError> {
        let failed = |error| ArtifactError::from_store(&format!("read {key}"), &error);
        let object = self.0.store.get(&path(key)?).await.map_err(failed)?;
        Manifest::decode(key, &object.bytes().await.map_err(failed)?)
    }

    /// The bytes of an object, in pieces as they arrive.
    pub async fn read(&self, key: &str) -> Result<BoxStream<'static, Result<Bytes, ArtifactError>>, ArtifactError> {
        let doing = format!("read {key}");
        let object = self.0.store.get(&path(key)?).await.map_err(|error| ArtifactError::from_store(&doing, &error))?;
        let pieces = object.into_stream();
        Ok(pieces.map_err(move |error| ArtifactError::from_store(&doing, &error)).boxed())
    }

    /// Removes an object. One that is not there is fine.
    pub async fn remove(&self, key: &str) -> Result<(), ArtifactError> {
        match self.0.store.delete(&path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ArtifactError::from_store(&format!("remove {key}"), &error)),
        }
    }

    /// Removes objects, some at a time.
    pub(crate) async fn remove_all(&self, keys: Vec<String>) -> Result<(), ArtifactError> {
        let removed =
            stream::iter(keys.into_iter().map(|key| async move { self.remove(&key).await })).buffer_unordered(READS);
        removed.try_collect().await
    }

    /// The keys and lengths of everything that lies in a job's folder.
    pub(crate) async fn job_objects(
        &self,
        queue: &QueueName,
        job: &JobId,
    ) -> Result<Vec<(String, u64)>, ArtifactError> {
        let folder = job_folder(queue, job);
        let failed = |error| ArtifactError::from_store(&format!("list {folder}"), &error);
        let objects = self.0.store.list(Some(&path(folder.trim_end_matches('/'))?)).map_err(failed);
        objects.map_ok(|object| (object.location.to_string(), object.size)).try_collect().await
    }

    /// Whether the store can be reached, written, and keeps the first of two objects put under one key, on which
    /// [`Self::publish`] rests. Some S3 look-alikes accept `If-None-Match` and overwrite all the same. Leaves one
    /// object called `lovage-probe` behind: finding it again is the test.
    pub async fn check(&self) -> Result<(), ArtifactError> {
        let probe = path(PROBE)?;
        for _ in 0..2 {
            let payload = PutPayload::from_static(b"Lovage tests here whether this store keeps the first object.\n");
            match self.0.store.put_opts(&probe, payload, PutOptions::from(PutMode::Create)).await {
                // Refused because it is there: what we want. The first of two puts may have made it.
                Err(object_store::Error::AlreadyExists { .. }) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(ArtifactError::from_store("test put-if-absent", &error)),
            }
        }
        Err(ArtifactError::Misconfigured(
            "the service overwrites an object although it was asked to put it only if absent (`If-None-Match: *`); \
             without that two runs of a job could both publish. Use a service or a version that supports conditional puts"
                .to_owned(),
        ))
    }

    /// [`Self::check`], once in the life of this store, and only where it can fail.
    pub(crate) async fn check_once(&self) -> Result<(), ArtifactError> {
        match self.0.address {
            Address::Local(_) | Address::Memory => Ok(()),
            Address::Bucket { .. } => self.0.keeps_first.get_or_try_init(|| self.check()).await.copied(),
        }
    }
}
