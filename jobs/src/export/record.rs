//! Between source and format: decoded records are counted, limited and handed to the encoder, on its thread.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lovage_core::Invalid;
use lovage_formats::{EncodeError, Encoder, Summary, Value};
use lovage_worker::JobError;

use super::fault;
use super::pipeline::Reading;
use super::plan::Query;

/// Turns what a reader sends into values. Runs on the encoder's thread.
pub(super) trait Decode: Send + 'static {
    type Batch: Send + 'static;

    fn decode(&mut self, batch: Self::Batch, records: &mut Recorder) -> Result<(), Stop>;
}

/// Why the encoder stopped early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The uploader takes no more, or the reader sends no more; they know why.
    Abandoned,
    /// This file cannot be made.
    Encode(EncodeError),
    /// More records than the dataset allows.
    Limit(u64),
    /// What came from the source cannot be understood.
    Broken(String),
}

/// What was recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) rows: u64,
    pub(super) summary: Summary,
    /// The value of [`Query::key`] in the last record.
    pub(super) last: Option<String>,
}

/// Where decoded records go.
pub(super) struct Recorder {
    encoder: Box<dyn Encoder>,
    names: Vec<String>,
    done: Arc<AtomicU64>,
    rows: u64,
    limit: Option<u64>,
    /// Records that other files of the job hold; they count for the limit.
    before: u64,
    /// The column whose last value is remembered, and the value.
    key: Option<usize>,
    last: String,
}

impl Recorder {
    /// A recorder that tells `done` how many records it has, once it has its encoder.
    pub(super) fn prepare(
        query: &Query,
        reading: &Reading,
        before: u64,
        done: Arc<AtomicU64>,
    ) -> Result<impl FnOnce(Box<dyn Encoder>) -> Self + Send + use<>, JobError> {
        let names = reading.columns.iter().map(|column| column.name.clone()).collect();
        let (limit, key) = (query.row_limit, key(query, reading)?);
        Ok(move |encoder| Self { encoder, names, done, rows: 0, limit, before, key, last: String::new() })
    }

    /// Says how many records there are; once a batch, because others read it.
    pub(super) fn tell(&self) {
        self.done.store(self.rows, Ordering::Relaxed);
    }

    /// Completes the file.
    pub(super) fn finish(self) -> Result<Recorded, Stop> {
        let last = (self.key.is_some() && self.rows > 0).then_some(self.last);
        Ok(Recorded { rows: self.rows, summary: self.encoder.finish()?, last })
    }

    /// Adds a record.
    pub(super) fn record(&mut self, values: &[Value<'_>]) -> Result<(), Stop> {
        if let Some(limit) = self.limit.filter(|limit| self.before + self.rows >= *limit) {
            return Err(Stop::Limit(limit));
        }
        if let Some(key) = self.key {
            self.remember(key, values.get(key))?;
        }
        self.encoder.record(values)?;
        self.rows += 1;
        Ok(())
    }

    /// Keeps the key of the record that comes next.
    fn remember(&mut self, key: usize, value: Option<&Value<'_>>) -> Result<(), Stop> {
        let before = std::mem::take(&mut self.last);
        match value {
            // Writing to a text cannot fail.
            Some(Value::Int(number)) => drop(write!(self.last, "{number}")),
            Some(Value::Text(text)) => self.last.push_str(text),
            Some(Value::Uuid(id)) => drop(write!(self.last, "{}", uuid::Uuid::from_bytes(*id))),
            _ => {
                let problem = "a chunk cannot end at this value; name a column of integers, texts or UUIDs";
                return Err(self.cell(key, problem));
            }
        }
        if self.rows > 0 && self.last == before {
            let problem = "has the value of the record before it; chunks need a column whose values are unique";
            return Err(self.cell(key, problem));
        }
        Ok(())
    }

    /// That a field of the record that comes next cannot be read.
    pub(super) fn cell(&self, column: usize, problem: impl Into<String>) -> Stop {
        let column = self.names.get(column).cloned().unwrap_or_default();
        Stop::Encode(EncodeError::Cell { column, record: self.rows + 1, problem: problem.into() })
    }
}

impl From<EncodeError> for Stop {
    fn from(error: EncodeError) -> Self {
        match error {
            // The output is the channel to the uploader, which breaks when that goes away.
            EncodeError::Io(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Self::Abandoned,
            EncodeError::Io(error) => Self::Broken(format!("the file cannot be written: {error}")),
            other => Self::Encode(other),
        }
    }
}

/// The place of the column whose last value is to be remembered.
fn key(query: &Query, reading: &Reading) -> Result<Option<usize>, JobError> {
    let Some(key) = &query.key else { return Ok(None) };
    let place = reading.names.iter().position(|name| name == key);
    place.map(Some).ok_or_else(|| {
        let help = "name a column that the query answers";
        fault::invalid(Invalid::new("chunks.key", format!("{key:?} is not a column of the query"), help))
    })
}

impl From<Stop> for JobError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Abandoned => Self::Cancelled,
            Stop::Encode(error) => Self::Discard(error.into()),
            Stop::Limit(limit) => {
                let help = "narrow it with the parameters, or raise row_limit of the dataset";
                fault::invalid(Invalid::new("rows", format!("are more than {limit}, the dataset's row_limit"), help))
            }
            Stop::Broken(problem) => Self::Retry(anyhow::anyhow!(problem)),
        }
    }
}
