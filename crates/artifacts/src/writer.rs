//! Streams one file into the store with bounded memory: parts are sent while the next one fills.
//!
//! At most [`IN_FLIGHT`] parts are on their way and one fills, so a writer holds 24 MiB (more only beyond 8 GiB, see
//! `parts.rs`). When the store is slower than the source, `write` waits, and so does everything before it. A file
//! that fits into one part is sent in a single put.

use bytes::Bytes;
use object_store::{Attribute, Attributes, MultipartUpload, PutMultipartOptions, PutOptions};
use tokio::task::JoinSet;

use crate::digest::RunningDigest;
use crate::error::ArtifactError;
use crate::keys::{FileName, path};
use crate::manifest::{Column, ManifestFile, Origin};
use crate::parts::{MAX_PARTS, PartBuffer, part_size};
use crate::store::ArtifactStore;

/// Parts on their way at a time.
const IN_FLIGHT: usize = 2;

/// A file being written. Ends with [`finish`](Self::finish) or [`abort`](Self::abort); a writer that is dropped
/// aborts in the background.
pub struct ArtifactWriter {
    store: ArtifactStore,
    key: String,
    name: FileName,
    content_type: String,
    digest: RunningDigest,
    buffer: PartBuffer,
    sent: u32,
    upload: Option<Upload>,
}

/// A multipart upload that has begun.
struct Upload {
    parts: Box<dyn MultipartUpload>,
    in_flight: JoinSet<object_store::Result<()>>,
}

/// A complete file that nobody sees yet: name it in a manifest and publish that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Its name.
    pub name: FileName,
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Its media type.
    pub content_type: String,
}

impl Staged {
    /// The file's entry in a manifest.
    pub fn into_file(self, rows: Option<u64>, columns: Vec<Column>, origin: Option<Origin>) -> ManifestFile {
        ManifestFile {
            name: self.name.as_str().to_owned(),
            key: self.key,
            bytes: self.bytes,
            sha256: self.sha256,
            content_type: self.content_type,
            rows,
            columns,
            origin,
            notes: Vec::new(),
        }
    }
}

impl ArtifactWriter {
    pub(crate) fn new(
        store: ArtifactStore,
        key: String,
        name: FileName,
        content_type: String,
    ) -> Result<Self, ArtifactError> {
        path(&key)?;
        let (digest, buffer) = (RunningDigest::default(), PartBuffer::default());
        Ok(Self { store, key, name, content_type, digest, buffer, sent: 0, upload: None })
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.digest.bytes()
    }

    /// Adds bytes; waits while the store is behind. After an error the writer can only be aborted.
    pub async fn write(&mut self, mut data: Bytes) -> Result<(), ArtifactError> {
        self.digest.update(&data).await;
        while !data.is_empty() {
            let limit = part_size(self.sent + 1);
            data = self.buffer.fill(data, limit);
            // A full part waits for the first byte after it: a file of exactly one part is still a single put.
            if self.buffer.len() == limit && !data.is_empty() {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Sends the rest and makes the object complete. It is still not visible to anybody who looks for the job's files.
    pub async fn finish(mut self) -> Result<Staged, ArtifactError> {
        if let Err(error) = self.complete().await {
            // Whether a failed completion took place is unknown; if it did, the sweeper finds the object.
            self.abort_upload().await;
            return Err(error);
        }
        Ok(Staged {
            name: self.name.clone(),
            key: std::mem::take(&mut self.key),
            bytes: self.digest.bytes(),
            sha256: std::mem::take(&mut self.digest).hex(),
            content_type: std::mem::take(&mut self.content_type),
        })
    }

    /// Gives up: removes the parts that were sent.
    pub async fn abort(mut self) {
        self.abort_upload().await;
    }

    async fn complete(&mut self) -> Result<(), ArtifactError> {
        if self.upload.is_none() {
            let options = PutOptions::from(self.attributes());
            let payload = self.buffer.take();
            let put = self.store.objects().put_opts(&path(&self.key)?, payload, options).await;
            return put.map(|_| ()).map_err(|error| self.failed(&error));
        }
        self.send_part().await?;
        self.wait_for_parts(0).await?;
        if let Some(upload) = &mut self.upload {
            let completed = upload.parts.complete().await;
            completed.map_err(|error| ArtifactError::from_store(&format!("write {}", self.key), &error))?;
        }
        self.upload = None;
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), ArtifactError> {
        if self.sent == MAX_PARTS {
            let largest = (1..=MAX_PARTS).map(|number| part_size(number) as u64).sum::<u64>() >> 30;
            return Err(lovage_core::Invalid::new(
                "file",
                format!("is larger than {largest} GiB"),
                "split the data over several jobs",
            )
            .into());
        }
        self.wait_for_parts(IN_FLIGHT - 1).await?;
        let payload = self.buffer.take();
        self.sent += 1;
        let upload = self.begin().await?;
        let part = upload.parts.put_part(payload);
        upload.in_flight.spawn(part);
        Ok(())
    }

    async fn begin(&mut self) -> Result<&mut Upload, ArtifactError> {
        let upload = match self.upload.take() {
            Some(upload) => upload,
            None => self.new_upload().await?,
        };
        Ok(self.upload.insert(upload))
    }

    // Takes `&mut`: an upload can be sent between threads, but not looked at by two.
    async fn new_upload(&mut self) -> Result<Upload, ArtifactError> {
        let options = PutMultipartOptions::from(self.attributes());
        let begun = self.store.objects().put_multipart_opts(&path(&self.key)?, options).await;
        let parts = begun.map_err(|error| self.failed(&error))?;
        Ok(Upload { parts, in_flight: JoinSet::new() })
    }

    /// Waits until at most `most` parts are on their way.
    async fn wait_for_parts(&mut self, most: usize) -> Result<(), ArtifactError> {
        while let Some(upload) = self.upload.as_mut().filter(|upload| upload.in_flight.len() > most) {
            match upload.in_flight.join_next().await {
                None | Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return Err(self.failed(&error)),
                Some(Err(error)) => return Err(ArtifactError::Unavailable(format!("write {}: {error}", self.key))),
            }
        }
        Ok(())
    }

    async fn abort_upload(&mut self) {
        if let Some(upload) = self.upload.take() {
            abort(upload, std::mem::take(&mut self.key)).await;
        }
    }

    fn attributes(&self) -> Attributes {
        if self.store.has_attributes() {
            Attributes::from_iter([(Attribute::ContentType, self.content_type.clone())])
        } else {
            Attributes::new()
        }
    }

    fn failed(&self, error: &object_store::Error) -> ArtifactError {
        ArtifactError::from_store(&format!("write {}", self.key), error)
    }
}

/// Parts first, then the upload: a part that is still on its way would outlive the abort.
async fn abort(mut upload: Upload, key: String) {
    upload.in_flight.shutdown().await;
    if let Err(error) = upload.parts.abort().await {
        tracing::warn!(key, %error, "an upload could not be aborted; the bucket's lifecycle rule has to remove its parts");
    }
}

impl Drop for ArtifactWriter {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        let key = std::mem::take(&mut self.key);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(abort(upload, key))),
            Err(_) => {
                tracing::warn!(key, "an upload was dropped outside the runtime; its parts are left to the sweeper");
            }
        }
    }
}
