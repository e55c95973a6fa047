//! A store for tests that misbehaves in chosen ways: answers get lost, conditions are ignored, parts hang.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::sync::Semaphore;

/// What a put of a manifest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// As asked.
    Honest,
    /// Done, but the answer gets lost.
    AnswerLost,
    /// Not done, and no clear answer.
    Timeout,
    /// Done although something is there.
    Overwrites,
    /// Refused as if something were there, although nothing is.
    Collides,
    /// As asked, but somebody holds the job `j` just before.
    HeldBefore,
}

/// The store.
#[derive(Debug)]
pub(crate) struct Awkward {
    inner: InMemory,
    /// What the puts of manifests and probes do, one after the other; then honest.
    plan: Vec<Put>,
    pub(crate) puts: AtomicUsize,
    /// Parts may only end with a permit.
    pub(crate) gate: Arc<Semaphore>,
    /// Parts that were begun.
    pub(crate) begun: Arc<AtomicUsize>,
    pub(crate) aborted: Arc<Semaphore>,
    /// How many objects may be removed before one removal fails.
    removals: AtomicUsize,
    /// What cannot be read.
    unreachable: Mutex<Option<Path>>,
}

impl Awkward {
    pub(crate) fn planned(plan: Vec<Put>) -> Arc<Self> {
        Arc::new(Self {
            inner: InMemory::new(),
            plan,
            puts: AtomicUsize::new(0),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            begun: Arc::default(),
            aborted: Arc::new(Semaphore::new(0)),
            removals: AtomicUsize::new(usize::MAX),
            unreachable: Mutex::default(),
        })
    }

    /// Reads of this key fail from now on.
    pub(crate) fn cut_off(&self, key: &str) {
        *self.unreachable.lock().unwrap() = Some(Path::from(key));
    }

    /// Lets this many removals succeed and the next one fail, and then none fails.
    pub(crate) fn fail_removal_after(&self, removals: usize) {
        self.removals.store(removals, Ordering::SeqCst);
    }

    pub(crate) fn with_closed_gate() -> Arc<Self> {
        let mut store = Self::planned(Vec::new());
        if let Some(store) = Arc::get_mut(&mut store) {
            store.gate = Arc::new(Semaphore::new(0));
        }
        store
    }
}

impl fmt::Display for Awkward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Awkward")
    }
}

fn unclear() -> Error {
    Error::Generic { store: "Awkward", source: "the connection was cut".into() }
}

#[async_trait]
impl ObjectStore for Awkward {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if opts.mode != PutMode::Create {
            return self.inner.put_opts(location, payload, opts).await;
        }
        let nth = self.puts.fetch_add(1, Ordering::SeqCst);
        match self.plan.get(nth).copied().unwrap_or(Put::Honest) {
            Put::Honest => self.inner.put_opts(location, payload, opts).await,
            Put::AnswerLost => self.inner.put_opts(location, payload, opts).await.and(Err(unclear())),
            Put::Timeout => Err(unclear()),
            Put::Overwrites => self.inner.put_opts(location, payload, PutOptions::default()).await,
            Put::HeldBefore => {
                let hold = PutPayload::from_static(br#"{"version":1,"since":5}"#);
                self.inner.put_opts(&Path::from("jobs/q/j/hold.json"), hold, PutOptions::default()).await?;
                self.inner.put_opts(location, payload, opts).await
            }
            Put::Collides => Err(Error::AlreadyExists { path: location.to_string(), source: "409".into() }),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        let (gate, begun, aborted) = (Arc::clone(&self.gate), Arc::clone(&self.begun), Arc::clone(&self.aborted));
        Ok(Box::new(GatedUpload { inner, gate, begun, aborted }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.unreachable.lock().unwrap().as_ref() == Some(location) {
            return Err(unclear());
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // The default of a wrapped zero is as good as never.
        if self.removals.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Box::pin(futures::stream::once(std::future::ready(Err(unclear()))));
        }
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct GatedUpload {
    inner: Box<dyn MultipartUpload>,
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
    aborted: Arc<Semaphore>,
}

#[async_trait]
impl MultipartUpload for GatedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let part = self.inner.put_part(data);
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            gate.acquire().await.map_err(|_| unclear())?.forget();
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.aborted.add_permits(1);
        self.inner.abort().await
    }
}
