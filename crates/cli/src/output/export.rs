//! An export as it is shown: JSON with readable times, a line of a table, or a page.

use lovage_artifacts::{Column, DeletedBy, DeletedFile, Deletion, Hold, Manifest, ManifestFile};
use lovage_core::{JobId, JobView, Kind, QueueName, State, Tenant, Timestamp};
use serde::Serialize;

use super::page::Page;
use super::table::Table;
use crate::instant::{self, Instant};

/// An export for programs and people.
#[derive(Debug, Serialize)]
pub struct ExportLine {
    job: JobId,
    queue: QueueName,
    kind: Option<Kind>,
    tenant: Option<Tenant>,
    dataset: Option<String>,
    attempt: u32,
    producer: Option<String>,
    created_at: Option<Instant>,
    expires_at: Option<Instant>,
    deleted: Option<DeletionLine>,
    files: Vec<FileLine>,
}

/// A file of an export.
#[derive(Debug, Serialize)]
struct FileLine {
    name: String,
    key: String,
    location: String,
    bytes: u64,
    sha256: String,
    content_type: String,
    rows: Option<u64>,
    columns: Vec<Column>,
    source: Option<String>,
    engine: Option<String>,
    snapshot: Option<String>,
    query_sha256: Option<String>,
}

/// The record of a deletion.
#[derive(Debug, Serialize)]
pub struct DeletionLine {
    job: JobId,
    queue: QueueName,
    deleted_at: Instant,
    by: DeletedBy,
    reason: Option<String>,
    files: Vec<DeletedFile>,
}

/// An export with what only a look at the one export shows.
#[derive(Debug, Serialize)]
pub struct ExportPage {
    #[serde(flatten)]
    line: ExportLine,
    /// Nothing if the broker does not know the job any more.
    state: Option<State>,
    held: Option<HoldLine>,
}

/// A hold with a readable time.
#[derive(Debug, Serialize)]
struct HoldLine {
    since: Instant,
    reason: Option<String>,
}

impl FileLine {
    fn new(file: ManifestFile, location: String) -> Self {
        let origin = file.origin;
        Self {
            location,
            name: file.name,
            key: file.key,
            bytes: file.bytes,
            sha256: file.sha256,
            content_type: file.content_type,
            rows: file.rows,
            columns: file.columns,
            source: origin.as_ref().map(|origin| origin.source.clone()),
            engine: origin.as_ref().map(|origin| origin.engine.clone()),
            snapshot: origin.as_ref().and_then(|origin| origin.snapshot.clone()),
            query_sha256: origin.and_then(|origin| origin.query_sha256),
        }
    }
}

impl From<Deletion> for DeletionLine {
    fn from(deletion: Deletion) -> Self {
        Self {
            job: deletion.job,
            queue: deletion.queue,
            deleted_at: Instant(deletion.deleted_at),
            by: deletion.by,
            reason: deletion.note,
            files: deletion.files,
        }
    }
}

impl DeletionLine {
    /// `2026-11-24T03:00:00.000Z by retention`.
    pub fn sentence(&self) -> String {
        let why = match (self.by, &self.reason) {
            (DeletedBy::Retention, _) => "by retention".to_owned(),
            (DeletedBy::Request, Some(reason)) => format!("on request: {reason}"),
            (DeletedBy::Request, None) => "on request".to_owned(),
        };
        format!("{} {why}", self.deleted_at)
    }
}

impl ExportLine {
    /// An export that was published; `location` says where a key is.
    pub fn new(manifest: Manifest, deleted: Option<Deletion>, location: impl Fn(&str) -> String) -> Self {
        let files = manifest.files.into_iter().map(|file| {
            let location = location(&file.key);
            FileLine::new(file, location)
        });
        Self {
            job: manifest.job,
            queue: manifest.queue,
            kind: Some(manifest.kind),
            tenant: manifest.tenant,
            dataset: manifest.dataset,
            attempt: manifest.attempt,
            producer: Some(manifest.producer),
            created_at: Some(Instant(manifest.created_at)),
            expires_at: manifest.expires_at.map(Instant),
            deleted: deleted.map(DeletionLine::from),
            files: files.collect(),
        }
    }

    /// An export that has published nothing yet.
    pub fn of_job(view: &JobView) -> Self {
        Self {
            job: view.id.clone(),
            queue: view.queue.clone(),
            kind: view.kind.clone(),
            tenant: view.tenant.clone(),
            dataset: None,
            attempt: view.attempt,
            producer: None,
            created_at: None,
            expires_at: None,
            deleted: None,
            files: Vec::new(),
        }
    }

    /// Whether it was published.
    pub fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// The table of `lovage export list`.
    pub fn table(lines: &[Self], now: Timestamp) -> Table {
        let head = ["job", "published", "file", "rows", "bytes", "kept until"];
        let mut table = Table::new(&head, "No exports.");
        let short = |at: Option<Instant>| at.map_or_else(|| "-".to_owned(), |at| instant::short(at.0, now));
        for line in lines {
            let names: Vec<&str> = line.files.iter().map(|file| file.name.as_str()).collect();
            let rows: Option<u64> = line.files.iter().map(|file| file.rows).sum();
            let kept = match &line.deleted {
                Some(deleted) => format!("deleted {}", short(Some(deleted.deleted_at))),
                None => short(line.expires_at),
            };
            table.row(vec![
                line.job.to_string(),
                short(line.created_at),
                names.join(", "),
                rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string()),
                line.files.iter().map(|file| file.bytes).sum::<u64>().to_string(),
                kept,
            ]);
        }
        table
    }
}

impl ExportPage {
    /// The line with the state of its job and the hold on its files.
    pub fn new(line: ExportLine, state: Option<State>, hold: Option<Hold>) -> Self {
        let readable = |hold: Hold| HoldLine { since: Instant(hold.since), reason: hold.note };
        Self { line, state, held: hold.map(readable) }
    }

    /// The page of `lovage export get`.
    pub fn text(&self, now: Timestamp) -> String {
        let Self { line, state, held } = self;
        let mut page = Page::default();
        page.row("job", &line.job);
        page.row("queue", &line.queue);
        page.row("state", &state.map_or_else(|| "not known to the broker (any more)".to_owned(), |s| s.to_string()));
        page.option("kind", line.kind.as_ref());
        page.option("dataset", line.dataset.as_ref());
        page.option("tenant", line.tenant.as_ref());
        page.option("published", line.created_at);
        page.option(
            "kept until",
            line.expires_at.map(|at| if at.0 <= now { format!("{at} (over)") } else { at.to_string() }),
        );
        page.option(
            "held",
            held.as_ref().map(|hold| {
                let why = hold.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("since {}{why}", hold.since)
            }),
        );
        page.option("deleted", line.deleted.as_ref().map(DeletionLine::sentence));
        for file in &line.files {
            file.rows_of(&mut page);
        }
        if line.files.is_empty() {
            page.row("file", &"none yet");
        }
        page.text()
    }
}

impl FileLine {
    fn rows_of(&self, page: &mut Page) {
        page.row("file", &self.name);
        page.row("location", &self.location);
        page.option("rows", self.rows);
        page.row("bytes", &self.bytes);
        page.row("sha256", &self.sha256);
        page.row("type", &self.content_type);
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("{} {}", column.name, column.type_name)).collect();
        page.option("columns", (!columns.is_empty()).then(|| columns.join(", ")));
        let engine = self.engine.as_ref().map(|engine| format!(" ({engine})")).unwrap_or_default();
        page.option("source", self.source.as_ref().map(|source| format!("{source}{engine}")));
        page.option("snapshot", self.snapshot.as_ref());
    }
}
