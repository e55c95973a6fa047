//! `export.query`: the result of a query as a file.

use lovage_core::{Invalid, NewJob, QueueName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Arguments of `export.query`. What is exported is named in one of two ways: a `dataset` of the worker's configuration
/// with `params`, which is the normal one, or `sql` with a `source`, which workers refuse unless they are set up to
/// take it (`LOVAGE_ALLOW_RAW_SQL`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// The dataset, as it stands in `[datasets.NAME]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Values of the dataset's parameters, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// One statement that only reads: `SELECT`, `WITH`, `VALUES` or, in Postgres, `TABLE`. It runs as the user of the
    /// source, in a read-only transaction; give that user no more than exports may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// The configured name of the database that `sql` is for: `default`, also when absent, is `DATABASE_URL`, others
    /// stand in `[sources.NAME]`. Never an address: arguments are shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How the file is written; when absent, as the first of the dataset's formats, or CSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ExportFormat>,
    /// How a text format is packed.
    #[serde(default, skip_serializing_if = "ExportCompression::is_none")]
    pub compression: ExportCompression,
    /// The file's name as people see it; the dataset's name, or `export`, with the format's extension when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The IANA time zone in which instants are written, e.g. `Asia/Shanghai`; the dataset's, or UTC, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Between the fields of `csv` and `excel_csv`: `,`, `;` or a tab; a comma when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// With compression `zip`: how many records go into each of the archive's files; all into one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_file: Option<u64>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// RFC 4180 with a header line, as Postgres' `COPY` writes it: UTF-8 without a byte order mark, lines ended by LF.
    /// NULL is an empty field, an empty text is `""`, binary data is `\x` and hexadecimal digits. For programs.
    #[default]
    Csv,
    /// CSV for people with a spreadsheet: byte order mark, CRLF, local times, formulas defused.
    ExcelCsv,
    /// One JSON object a line.
    Jsonl,
    /// A workbook.
    Xlsx,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow's IPC file (Feather).
    Arrow,
}

/// How a text format is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportCompression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// A zip archive.
    Zip,
}

impl ExportCompression {
    /// Whether the file is not packed.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
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
    /// What was changed to fit the format, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl ExportQuery {
    /// The kind.
    pub const KIND: &str = "export.query";

    /// A dataset with these values of its parameters.
    pub fn dataset(name: impl Into<String>, params: Map<String, Value>) -> Self {
        Self { dataset: Some(name.into()), params, ..Self::default() }
    }

    /// A query's result from the default source.
    pub fn sql(sql: impl Into<String>) -> Self {
        Self { sql: Some(sql.into()), ..Self::default() }
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
        assert_eq!(query, ExportQuery::sql("select 1"));
        let error = serde_json::from_str::<ExportQuery>(r#"{"sql": "select 1", "fromat": "csv"}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `fromat`"), "{error}");
    }

    #[test]
    fn a_job_carries_its_kind_and_arguments() {
        let job = ExportQuery::sql("select 1").into_job("exports".parse().unwrap()).unwrap();
        assert_eq!(job.kind.as_str(), ExportQuery::KIND);
        assert_eq!(job.args.get(), r#"{"sql":"select 1"}"#);
        let query = ExportQuery { format: Some(ExportFormat::ExcelCsv), ..ExportQuery::dataset("orders", Map::new()) };
        let job = query.into_job("exports".parse().unwrap()).unwrap();
        assert_eq!(job.args.get(), r#"{"dataset":"orders","format":"excel_csv"}"#);
    }

    #[test]
    fn arguments_of_the_first_release_are_still_read() {
        let old = r#"{"source":"shop","sql":"select 1","format":"csv","name":"a.csv"}"#;
        let query: ExportQuery = serde_json::from_str(old).unwrap();
        assert_eq!((query.source.as_deref(), query.format), (Some("shop"), Some(ExportFormat::Csv)));
    }
}
