//! `export.report`: SQL over stored files and datasets, as a workbook or as one file.

use std::collections::BTreeMap;

use lovage_core::{Invalid, NewJob, QueueName};
use serde::{Deserialize, Serialize};

use crate::report_input::ReportInput;

/// Arguments of `export.report`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportReport {
    /// The tables of the SQL by name: a lower-case letter or `_`, then letters, digits and `_`. `params` is taken.
    #[serde(default)]
    pub inputs: BTreeMap<String, ReportInput>,
    /// Values for the SQL, the columns of the one-row table `params`: text, a number, true, false or null. They are
    /// never part of the SQL's text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ReportParam>,
    /// The sheets in their order. Any format but `xlsx` has exactly one.
    pub sheets: Vec<ReportSheet>,
    /// How the file is written.
    #[serde(default)]
    pub format: ReportFormat,
    /// The file's name as people see it; `report.` and the format's ending when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A value for the SQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReportParam {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Text. Dates are text, too: `DATE(params.day)`.
    Text(String),
}

/// One sheet: the result of a query and how it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportSheet {
    /// The sheet's name: at most 31 characters, none of `[]:*?/\`.
    pub name: String,
    /// One statement of polars' SQL that only reads: `SELECT` or `WITH`. Its tables are the inputs and `params`.
    pub sql: String,
    /// Turns the result's values of one column into columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pivot: Option<ReportPivot>,
    /// Columns with a total below them; `*` for all columns of numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub totals: Vec<String>,
    /// A chart beside the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<ReportChart>,
}

/// One row for each different `rows`, one column for each different value of `columns`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportPivot {
    /// The columns that stay.
    pub rows: Vec<String>,
    /// The column whose values become columns, in their order.
    pub columns: String,
    /// The column whose values fill the cells.
    pub values: String,
    /// What is done with several values for one cell.
    #[serde(default)]
    pub aggregate: Aggregate,
}

/// Several values as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// Their sum.
    #[default]
    Sum,
    /// How many are not null.
    Count,
    /// Their mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// A chart that the spreadsheet program draws.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportChart {
    /// Its kind.
    pub kind: ChartKind,
    /// The column that names the points.
    pub category: String,
    /// The columns that are drawn, each a series; `*` for all columns of numbers. A pie has one.
    pub values: Vec<String>,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Kinds of charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartKind {
    /// Upright bars.
    Column,
    /// Lying bars.
    Bar,
    /// Lines.
    Line,
    /// A pie.
    Pie,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportFormat {
    /// An Excel workbook.
    #[default]
    Xlsx,
    /// RFC 4180 with a header line, UTF-8 without a byte order mark, lines ended by LF.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Parquet, compressed with zstd.
    Parquet,
}

/// The result of `export.report`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportResult {
    /// The file's key in the artifact store.
    pub key: String,
    /// Where it is: a path when the store is a folder, else a url.
    pub location: String,
    /// Its name.
    pub name: String,
    /// Rows of all sheets together, headers and totals not counted.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The attempt that wrote it; an earlier one if that was lost after it had published.
    pub attempt: u32,
}

impl ReportSheet {
    /// The result of a query as it is.
    pub fn new(name: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { name: name.into(), sql: sql.into(), pivot: None, totals: Vec::new(), chart: None }
    }
}

impl ExportReport {
    /// The kind.
    pub const KIND: &str = "export.report";

    /// A workbook of these sheets, without inputs yet.
    pub fn new(sheets: Vec<ReportSheet>) -> Self {
        Self { inputs: BTreeMap::new(), params: BTreeMap::new(), sheets, format: ReportFormat::default(), name: None }
    }

    /// Adds a table.
    #[must_use]
    pub fn with_input(mut self, table: impl Into<String>, input: ReportInput) -> Self {
        self.inputs.insert(table.into(), input);
        self
    }

    /// Adds a value for the SQL.
    #[must_use]
    pub fn with_param(mut self, name: impl Into<String>, value: ReportParam) -> Self {
        self.params.insert(name.into(), value);
        self
    }

    /// The job that runs it.
    pub fn into_job(self, queue: QueueName) -> Result<NewJob, Invalid> {
        crate::job(queue, Self::KIND, &self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{
        "inputs": {
            "orders": {"files": "raw/orders/*.csv", "format": "csv", "types": {"amount": "decimal(18,2)"}},
            "customers": {"artifact": {"queue": "exports", "job": "42"}},
            "paid": {"dataset": "orders", "params": {"from": "2024-06-01", "status": ["paid"]}},
            "all": {"dataset": "orders"}
        },
        "params": {"tenant": "acme", "least": 5, "share": 0.5, "all": false, "until": null},
        "sheets": [{
            "name": "By month", "sql": "select * from orders",
            "pivot": {"rows": ["account"], "columns": "month", "values": "amount"},
            "totals": ["*"],
            "chart": {"kind": "line", "category": "account", "values": ["*"], "title": "Months"}
        }]
    }"#;

    #[test]
    fn absent_options_have_their_defaults_and_the_form_is_kept() {
        let report: ExportReport = serde_json::from_str(FULL).unwrap();
        assert_eq!(report.format, ReportFormat::Xlsx);
        assert_eq!(report.sheets[0].pivot.as_ref().unwrap().aggregate, Aggregate::Sum);
        assert_eq!(report.params["least"], ReportParam::Integer(5));
        assert_eq!(report.params["share"], ReportParam::Number(0.5));
        assert_eq!(report.params["until"], ReportParam::Null);
        let again: ExportReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(again, report);
    }

    #[test]
    fn unknown_fields_and_inputs_from_nowhere_are_refused_in_words() {
        for (text, part) in [
            (r#"{"sheets": [], "fromat": "csv"}"#, "unknown field `fromat`"),
            (r#"{"sheets": [{"name": "a", "sql": "b", "total": []}]}"#, "unknown field `total`"),
            (r#"{"sheets": [], "inputs": {"a": {"format": "csv"}}}"#, "needs `artifact`, `files` or `dataset`"),
            (r#"{"sheets": [], "inputs": {"a": {"file": "x"}}}"#, "unknown field `file`"),
            (
                r#"{"sheets": [], "inputs": {"a": {"files": "x", "artifact": {"queue": "q", "job": "1"}}}}"#,
                "not several",
            ),
            (r#"{"sheets": [], "inputs": {"a": {"files": "x", "dataset": "x"}}}"#, "not several"),
            (r#"{"sheets": [], "inputs": {"a": {"files": "x", "params": {}}}}"#, "those of its `dataset`"),
            (r#"{"sheets": [], "inputs": {"a": {"dataset": "x", "format": "csv"}}}"#, "no `format` and no `types`"),
            (
                r#"{"sheets": [], "inputs": {"a": {"dataset": "x", "types": {"b": "text"}}}}"#,
                "no `format` and no `types`",
            ),
            (r#"{"sheets": [], "params": {"a": [1]}}"#, "ReportParam"),
        ] {
            let error = serde_json::from_str::<ExportReport>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
