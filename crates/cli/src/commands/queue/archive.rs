//! The file of an exported queue: a head, a job a line, and a last line with the count and the SHA-256 of all bytes
//! before it, so that a file that was cut or changed is told from a whole one.

use std::fmt::Write as _;
use std::io::{BufRead, Read as _, Write};

use lovage_core::{Counts, DiscardReason, JobView, NewJob, PastError, QueueName, RawJson, State, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::error::{Failure, Outcome};
use crate::instant::Instant;

/// What the first line says of the file.
const FORMAT: &str = "lovage.queue";
/// The form that this release writes, and the newest that it reads.
const VERSION: u32 = 1;
/// Longest line: arguments as large as any broker takes, and a thousand errors beside them.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    format: String,
    version: u32,
    /// The queue that it is of.
    pub queue: QueueName,
    /// When the export began.
    pub exported_at: String,
    /// What was in the queue then.
    pub counts: Counts,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    /// Jobs in the file.
    count: u64,
    /// Of all bytes before this line.
    sha256: String,
}

/// One job. What an import needs is in `job`; the rest is for information.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// Where it stood.
    pub state: State,
    /// What to enqueue: the form of `lovage job enqueue --ndjson`.
    pub job: NewJob,
    /// Its arguments as a text, if they hold ends of lines and cannot stand in a line byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args_text: Option<String>,
    /// When it was enqueued.
    enqueued_at: Timestamp,
    /// Why it was discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<DiscardReason>,
    attempt: u32,
    failed: u32,
    lost: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<PastError>,
}

impl Head {
    /// The head of an export that begins at `now`.
    pub fn new(queue: QueueName, counts: Counts, now: Timestamp) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, queue, exported_at: Instant(now).to_string(), counts }
    }
}

impl Record {
    /// The record of a job; nothing if its stored form cannot be read.
    pub fn of(view: JobView) -> Option<Self> {
        let mut job = copy(&view)?;
        let args_text = job.args.get().contains(['\n', '\r']).then(|| job.args.get().to_owned());
        if args_text.is_some() {
            job.args = null();
        }
        let (state, enqueued_at, reason) = (view.state, view.enqueued_at, view.reason);
        let (attempt, failed, lost, errors) = (view.attempt, view.failed, view.lost, view.errors);
        Some(Self { state, job, args_text, enqueued_at, reason, attempt, failed, lost, errors })
    }

    /// Reads a line. The arguments are put back in their place.
    fn read(line: &[u8]) -> Result<Self, String> {
        let mut record: Self = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if let Some(text) = record.args_text.take() {
            record.job.args = RawValue::from_string(text).map_err(|error| format!("args_text: {error}"))?;
        }
        if record.job.id.is_none() {
            return Err("job.id is missing".to_owned());
        }
        Ok(record)
    }
}

/// A new job that is what this one is, with its id and when it is due; nothing if its stored form cannot be read. Its unique
/// key is not known.
pub fn copy(view: &JobView) -> Option<NewJob> {
    let (kind, args) = (view.kind.clone()?, view.args.clone()?);
    let mut job = NewJob::with_raw_args(view.queue.clone(), kind, args);
    job.id = Some(view.id.clone());
    job.run_at = view.due_at;
    job.expires_at = view.expires_at;
    job.priority = view.priority;
    job.timeout_ms = view.timeout_ms;
    job.retry.clone_from(&view.retry);
    job.tenant.clone_from(&view.tenant);
    job.key.clone_from(&view.key);
    job.tags.clone_from(&view.tags);
    job.metadata.clone_from(&view.metadata);
    Some(job)
}

fn null() -> RawJson {
    RawValue::NULL.to_owned()
}

/// Writes a file.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    hash: Sha256,
    count: u64,
}

impl<W: Write> Writer<W> {
    /// Begins with the head.
    pub fn begin(out: W, head: &Head) -> Outcome<Self> {
        let mut writer = Self { out, hash: Sha256::new(), count: 0 };
        writer.line(head)?;
        Ok(writer)
    }

    /// Adds a job.
    pub fn add(&mut self, record: &Record) -> Outcome {
        self.count += 1;
        self.line(record)
    }

    /// Jobs so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Writes the last line and answers what was written to.
    pub fn end(mut self) -> Outcome<W> {
        let tail = Tail { count: self.count, sha256: hex(self.hash.clone()) };
        self.line(&tail)?;
        self.out.flush().map_err(|error| unwritable(&error))?;
        Ok(self.out)
    }

    fn line(&mut self, value: &impl Serialize) -> Outcome {
        let written = serde_json::to_vec(value);
        let mut line = written.map_err(|error| Failure::Failed(format!("a job is not JSON: {error}")))?;
        line.push(b'\n');
        self.hash.update(&line);
        self.out.write_all(&line).map_err(|error| unwritable(&error))
    }
}

/// The failure of a file or a pipe that takes no more.
pub fn unwritable(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure::OutputClosed;
    }
    Failure::Failed(format!("the export cannot be written: {error}"))
}

/// Reads a file to its end, hands each job to `each` with the number of its line, and only then knows whether the file
/// is whole: do nothing for good in the first reading.
pub fn read(mut input: impl BufRead, mut each: impl FnMut(u64, Record) -> Outcome) -> Outcome<Head> {
    let first = next_line(&mut input)?;
    let head = head(&first)?;
    let mut hash = Sha256::new();
    hash.update(&first);
    let mut count = 0;
    let mut line = next_line(&mut input)?;
    // The last line is known by that none follows.
    loop {
        let next = next_line(&mut input)?;
        if next.is_empty() {
            break;
        }
        hash.update(&line);
        count += 1;
        let record = Record::read(&line).map_err(|problem| bad(&format!("line {}: {problem}", count + 1)))?;
        each(count + 1, record)?;
        line = next;
    }
    let whole = "take a whole copy, or export again";
    let Ok(tail) = serde_json::from_slice::<Tail>(&line) else {
        return Err(bad(&format!("its last line is missing: it was cut after {count} jobs; {whole}")));
    };
    if tail.count != count {
        return Err(bad(&format!("its last line says {} jobs but it has {count}; {whole}", tail.count)));
    }
    if tail.sha256 != hex(hash) {
        return Err(bad(&format!("its content is not what its last line says (SHA-256): it was changed; {whole}")));
    }
    Ok(head)
}

fn head(line: &[u8]) -> Outcome<Head> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Any {
        format: String,
        version: u32,
    }
    let any: Option<Any> = serde_json::from_slice(line).ok();
    match any.filter(|any| any.format == FORMAT) {
        None => Err(bad("its first line is not the head of an exported queue; name a file of `lovage queue export`")),
        Some(any) if any.version > VERSION => Err(bad(&format!(
            "it has version {}, which a newer release wrote; this one reads up to {VERSION}",
            any.version
        ))),
        Some(_) => serde_json::from_slice(line).map_err(|error| bad(&format!("its first line: {error}"))),
    }
}

/// The next line with its end; empty at the end of the file.
fn next_line(input: &mut impl BufRead) -> Outcome<Vec<u8>> {
    let mut line = Vec::new();
    let read = input.take(LONGEST_LINE).read_until(b'\n', &mut line);
    read.map_err(|error| Failure::Failed(format!("the file cannot be read: {error}")))?;
    if line.len() as u64 == LONGEST_LINE && line.last() != Some(&b'\n') {
        return Err(bad("it has a line that is longer than any job"));
    }
    Ok(line)
}

fn bad(problem: &str) -> Failure {
    Failure::usage("file", format!("file: {problem}"))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
