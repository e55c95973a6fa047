//! A finished export, for people and programs: what the file is and how it can be fetched.

use std::fmt::Write as _;

use lovage_artifacts::{Link, LinkOptions};
use lovage_core::{JobId, JobView, QueueName};
use lovage_payloads::ExportResult;
use serde::Serialize;

use crate::commands::Context;
use crate::config::Config;
use crate::error::{Failure, Outcome};
use crate::instant::Instant;
use crate::rooms;

/// A finished export.
#[derive(Debug, Serialize)]
pub struct Made {
    job: JobId,
    queue: QueueName,
    /// What the handler answered.
    #[serde(flatten)]
    result: ExportResult,
    /// A path, or a signed address: a secret while it works. None if there are several files.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// When the address stops working; a path does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    link_expires_at: Option<Instant>,
}

impl Made {
    /// The export that a completed job made.
    pub async fn of(config: &Config, view: &JobView) -> Outcome<Self> {
        let result = view.result.as_ref().and_then(|result| serde_json::from_str::<ExportResult>(result.get()).ok());
        let result =
            result.ok_or_else(|| Failure::Failed(format!("job {} completed without saying what it wrote", view.id)))?;
        let store = rooms::store(config)?;
        let manifest = store.published(&view.queue, &view.id).await?;
        let (link, link_expires_at) = if manifest.chunked {
            (None, None)
        } else {
            match store.link(manifest.file(None)?, &LinkOptions::at(Context::now())).await? {
                Link::Path(path) => (Some(path.display().to_string()), None),
                Link::Signed(signed) => (Some(signed.reveal().to_owned()), Some(Instant(signed.expires_at))),
            }
        };
        Ok(Self { job: view.id.clone(), queue: view.queue.clone(), result, link, link_expires_at })
    }

    /// In lines.
    pub fn text(&self) -> String {
        let ExportResult { name, rows, bytes, sha256, notes, files, location, .. } = &self.result;
        let mut text = match self.link {
            Some(_) => format!("file      {name}"),
            None => format!("files     {files}, the first is {name}\nmanifest  {location}"),
        };
        let _ = write!(text, "\nrows      {rows}\nbytes     {bytes}\nsha256    {sha256}");
        for note in notes {
            let _ = write!(text, "\nnote      {note}");
        }
        match &self.link {
            Some(link) => drop(write!(text, "\nlink      {link}")),
            None => drop(write!(text, "\nlinks     lovage export link {} --file NAME", self.job)),
        }
        if let Some(at) = &self.link_expires_at {
            let _ = write!(text, "\nuntil     {at}");
        }
        text
    }
}
