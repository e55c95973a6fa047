//! `export.query`: the result of a query as a file.

use lovage_core::{Invalid, NewJob, QueueName};
use serde::{Deserialize, Serialize};

/// Arguments of `export.query`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// The configured name of the database: `default` is `DATABASE_URL`, others stand in `[sources.NAME]`. Never an
    /// address: arguments are shown to people.
    #[serde(default = "default_source")]
    pub source: String,
    /// One statement that only reads: `SELECT`, `WITH`, `VALUES` or, in Postgres, `TABLE`. It runs as the user of the
    /// source, in a read-only transaction; give that user no more than exports may read.
    pub sql: String,
    /// How the file is written.
    #[serde(default)]
    pub format: ExportFormat,
    /// The file's name as people see it; `export.csv` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// RFC 4180 with a header line, UTF-8 without a byte order mark, lines ended by LF. NULL is an empty field, an
    /// empty text is `""`, binary data is `\x` and hexadecimal digits.
    #[default]
    Csv,
}

/// The result of `export.query`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportResult {
    /// The file's key in the artifact store.
    pub key: String,
    /// Where it is: a path when the store is a folder, else a url.
    pub location: String,
    /// Its name.
    pub name: String,
    /// Records in it, the header not counted.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The attempt that wrote it. Differs from the attempt that answers when an earlier one was lost after it had
    /// published.
    pub attempt: u32,
}

fn default_source() -> String {
    "default".to_owned()
}

impl ExportQuery {
    /// The kind.
    pub const KIND: &str = "export.query";

    /// The query's result from the default source as CSV.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { source: default_source(), sql: sql.into(), format: ExportFormat::default(), name: None }
    }

    /// The job that runs it.
    pub fn into_job(self, queue: QueueName) -> Result<NewJob, Invalid> {
        crate::job(queue, Self::KIND, &self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_options_have_their_defaults_and_unknown_ones_are_refused() {
        let query: ExportQuery = serde_json::from_str(r#"{"sql": "select 1"}"#).unwrap();
        assert_eq!(query, ExportQuery::new("select 1"));
        let error = serde_json::from_str::<ExportQuery>(r#"{"sql": "select 1", "fromat": "csv"}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `fromat`"), "{error}");
    }

    #[test]
    fn a_job_carries_its_kind_and_arguments() {
        let job = ExportQuery::new("select 1").into_job("exports".parse().unwrap()).unwrap();
        assert_eq!(job.kind.as_str(), ExportQuery::KIND);
        assert_eq!(job.args.get(), r#"{"source":"default","sql":"select 1","format":"csv"}"#);
    }
}
