//! Inputs whose rows come from a database. This crate knows none: the binary gives it somebody who reads datasets, and what
//! may be read by whom is decided there, by the rules of exports.

use std::fmt;
use std::path::Path;

use futures::future::BoxFuture;
use lovage_artifacts::{ManifestFile, Origin};
use lovage_core::{Invalid, LogLevel};
use lovage_payloads::{DatasetInput, InputFormat};
use lovage_worker::{JobContext, JobError};

use crate::fault;
use crate::stage::{Budget, Staged};

/// Reads datasets of the configuration for jobs.
pub trait DatasetReader: fmt::Debug + Send + Sync {
    /// Writes the rows that the dataset has for this job into `file`, as Parquet, and answers how an export would describe
    /// it. Refuses more than `max_bytes` with the error `beyond`, while bytes come; refuses a dataset, a parameter or a
    /// tenant with an [`Invalid`] whose field is named as in `export.query`.
    ///
    /// Tells the job how far it is and ends by itself soon after the job is cancelled. What it leaves in the folder of `file`
    /// goes with the attempt.
    fn read<'a>(
        &'a self,
        job: &'a JobContext,
        input: &'a DatasetInput,
        file: &'a Path,
        max_bytes: u64,
        beyond: Invalid,
    ) -> BoxFuture<'a, Result<ManifestFile, JobError>>;
}

/// Rows of datasets on this machine.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub tables: Vec<Staged>,
    /// The configured names of the databases.
    pub sources: Vec<String>,
    /// What the manifest says of them.
    pub notes: Vec<String>,
}

/// Reads all of these datasets into `folder`.
pub(crate) async fn read_all(
    reader: Option<&dyn DatasetReader>,
    job: &JobContext,
    datasets: Vec<(String, DatasetInput)>,
    folder: &Path,
    budget: &mut Budget<'_>,
) -> Result<Read, JobError> {
    let mut all = Read::default();
    for (table, input) in datasets {
        let Some(reader) = reader else {
            let help = "run the report on a worker that has datasets, or read a published file";
            let field = format!("inputs.{table}.dataset");
            return Err(fault::invalid(Invalid::new(field, "is not read by this worker", help)));
        };
        let file = folder.join(format!("{table}-dataset.parquet"));
        let room = budget.room();
        let problem =
            format!("are more than {room}, and the inputs of one report have at most {} together", budget.max_bytes());
        let help = "narrow it with its parameters, or raise reports.max_input_bytes";
        let reading = reader.read(job, &input, &file, room, Invalid::new("bytes", problem, help)).await;
        let described = reading.map_err(|error| within(&table, error))?;
        budget.spend(described.bytes)?;
        for note in notes(&table, &input.dataset, &described) {
            job.log(LogLevel::Info, &note);
            all.notes.push(note);
        }
        all.sources.extend(described.origin.map(|origin| origin.source));
        all.tables.push(Staged { table, format: InputFormat::Parquet, types: Vec::new(), files: vec![file] });
    }
    Ok(all)
}

/// Which state the rows are of, by which query, and what is not in them as it was.
fn notes(table: &str, dataset: &str, file: &ManifestFile) -> Vec<String> {
    let rows = file.rows.unwrap_or_default();
    let mut first = format!("{table}: {rows} rows of dataset {dataset}");
    if let Some(Origin { source, engine, snapshot, query_sha256 }) = &file.origin {
        first = format!("{first}, source {source} ({engine})");
        for (what, value) in [("snapshot", snapshot), ("query SHA-256", query_sha256)] {
            if let Some(value) = value {
                first = format!("{first}, {what} {value}");
            }
        }
    }
    let others = file.notes.iter().map(|note| format!("{table}: {note}"));
    std::iter::once(first).chain(others).collect()
}

/// The same error with its place in the arguments; what follows from it stays.
fn within(table: &str, error: JobError) -> JobError {
    let place = format!("inputs.{table}");
    let named = |error: anyhow::Error| match error.downcast::<Invalid>() {
        // The job has it, not the input.
        Ok(invalid) if invalid.field == "tenant" => invalid.into(),
        Ok(invalid) => Invalid { field: format!("{place}.{}", invalid.field), ..invalid }.into(),
        Err(other) => other.context(place),
    };
    match error {
        JobError::Retry(error) => JobError::Retry(named(error)),
        JobError::RetryIn(delay, error) => JobError::RetryIn(delay, named(error)),
        JobError::Discard(error) => JobError::Discard(named(error)),
        other @ (JobError::Snooze(_) | JobError::Cancelled) => other,
    }
}
