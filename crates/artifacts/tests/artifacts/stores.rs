//! The stores that the tests run on, and short ways to write to them.

use bytes::Bytes;
use lovage_artifacts::{
    ArtifactError, ArtifactStore, AttemptKey, LeaseCheck, LeaseLost, MANIFEST_VERSION, Manifest, Published, Staged,
    StoreConfig,
};
use lovage_core::Timestamp;
use lovage_testkit::S3Server;
use tempfile::TempDir;

/// Runs a check on each kind of store.
macro_rules! on_every_store {
    ($($(#[$doc:meta])* $check:ident),+ $(,)?) => {
        mod memory { $( $(#[$doc])* #[tokio::test] async fn $check() { super::$check(crate::stores::memory()).await; } )+ }
        mod folder { $( $(#[$doc])* #[tokio::test] async fn $check() {
            let folder = tempfile::tempdir().unwrap();
            super::$check(crate::stores::folder(&folder)).await;
        } )+ }
        mod s3 { #[tokio::test] async fn every_check() {
            let server = lovage_testkit::S3Server::start("files");
            $( super::$check(crate::stores::s3(&server, stringify!($check))).await; )+
            assert_eq!(server.unfinished_uploads(), 0, "no part is left of all this");
        } }
    };
}

pub(crate) use on_every_store;

pub fn memory() -> ArtifactStore {
    ArtifactStore::open(&StoreConfig::new("memory:")).unwrap()
}

pub fn folder(folder: &TempDir) -> ArtifactStore {
    ArtifactStore::open(&StoreConfig::new(folder.path().to_str().unwrap())).unwrap()
}

pub fn s3_config(server: &S3Server, prefix: &str) -> StoreConfig {
    let config = StoreConfig::new(format!("s3://files/{prefix}"));
    server.settings().into_iter().fold(config, |config, (name, value)| config.with(name, value))
}

pub fn s3(server: &S3Server, prefix: &str) -> ArtifactStore {
    ArtifactStore::open(&s3_config(server, prefix)).unwrap()
}

pub fn attempt(job: &str, attempt: u32, token: u64) -> AttemptKey {
    AttemptKey { queue: "exports".parse().unwrap(), job: job.parse().unwrap(), attempt, token }
}

/// Writes a file in these pieces.
pub async fn stage(store: &ArtifactStore, owner: &AttemptKey, name: &str, pieces: &[&[u8]]) -> Staged {
    let mut writer = store.create(owner, &name.parse().unwrap(), "text/csv").unwrap();
    for piece in pieces {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    writer.finish().await.unwrap()
}

pub fn manifest(owner: &AttemptKey, files: Vec<Staged>) -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        queue: owner.queue.clone(),
        job: owner.job.clone(),
        kind: "test.file".parse().unwrap(),
        attempt: owner.attempt,
        token: owner.token,
        producer: "test".to_owned(),
        created_at: Timestamp::from_millis(1_700_000_000_000),
        expires_at: None,
        tenant: None,
        dataset: None,
        files: files.into_iter().map(|staged| staged.into_file(Some(1), Vec::new(), None)).collect(),
    }
}

/// Publishes one file as the attempt that its key names.
pub async fn publish(store: &ArtifactStore, staged: Staged, lease: Lease) -> Result<Published, ArtifactError> {
    let mut parts = staged.key.split('/').skip(2);
    let job = parts.next().unwrap().to_owned();
    let (number, token) = parts.next().unwrap().split_once('-').unwrap();
    let owner = attempt(&job, number.parse().unwrap(), token.parse().unwrap());
    store.publish(manifest(&owner, vec![staged]), &lease).await
}

/// A lease that answers always the same.
pub struct Lease(bool);

impl Lease {
    pub fn held() -> Self {
        Self(true)
    }

    pub fn lost() -> Self {
        Self(false)
    }
}

#[async_trait::async_trait]
impl LeaseCheck for Lease {
    async fn confirm(&self) -> Result<(), LeaseLost> {
        if self.0 { Ok(()) } else { Err(LeaseLost("a test took it".into())) }
    }
}
