//! From an error of polars or of the workbook to what follows: another attempt, or none because none can help.

use anyhow::anyhow;
use lovage_core::Invalid;
use lovage_worker::JobError;
use polars::error::PolarsError;
use rust_xlsxwriter::XlsxError;

/// An argument that no attempt can mend.
pub(crate) fn invalid(error: Invalid) -> JobError {
    JobError::Discard(error.into())
}

/// An error of polars while `doing`, e.g. `sheets[0].sql`. Its own words say what is wrong.
pub(crate) fn polars(doing: &str, error: &PolarsError) -> JobError {
    let text = anyhow!("{doing}: {}", one_line(&error.to_string()));
    // Files and disks may be better next time; SQL and data are the same then.
    if is_io(error) { JobError::Retry(text) } else { JobError::Discard(text) }
}

/// An error of this machine's disk.
pub(crate) fn disk(doing: &str, error: &std::io::Error) -> JobError {
    JobError::Retry(anyhow!("{doing}: {error}"))
}

/// An error of the writer of workbooks while writing a sheet.
pub(crate) fn workbook(doing: &str, error: XlsxError) -> JobError {
    match error {
        XlsxError::IoError(error) => disk(doing, &error),
        XlsxError::ZipError(error) => JobError::Retry(anyhow!("{doing}: {error}")),
        other => JobError::Discard(anyhow!("{doing}: {other}")),
    }
}

fn is_io(error: &PolarsError) -> bool {
    match error {
        PolarsError::IO { .. } => true,
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => is_io(error),
        _ => false,
    }
}

/// polars draws plans below some errors; a job shows one line.
fn one_line(text: &str) -> String {
    let first = text.split("\n\n").next().unwrap_or(text);
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A column that the arguments name and the result does not have.
pub(crate) fn no_column<'a>(field: &str, name: &str, columns: impl Iterator<Item = &'a str>) -> JobError {
    let columns: Vec<&str> = columns.take(50).collect();
    let problem = format!("the result has no column {name:?}");
    invalid(Invalid::new(field, problem, format!("its columns are: {}", columns.join(", "))))
}

/// An error of the writer of workbooks, met while polars was handing on rows.
pub(crate) fn inside_polars(error: XlsxError) -> PolarsError {
    match error {
        XlsxError::IoError(error) => error.into(),
        other => PolarsError::ComputeError(other.to_string().into()),
    }
}
