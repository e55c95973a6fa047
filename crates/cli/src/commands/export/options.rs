//! From options on the command line to an [`ExportQuery`]. Every refusal names the option.

use clap::{Args, ValueEnum};
use lovage_core::{NewJob, QueueName, Tenant};
use lovage_payloads::{ExportCompression, ExportFormat, ExportQuery};
use serde_json::{Map, Value};

use crate::error::{Failure, Outcome};

/// What is exported and how.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// The dataset, as it stands in [datasets.NAME] of lovage.toml
    #[arg(required_unless_present = "sql", conflicts_with = "sql")]
    dataset: Option<String>,
    /// A value of one of the dataset's parameters, e.g. from=2024-01-31; again for each, and for each value of a list
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "sql")]
    param: Vec<String>,
    /// A query instead of a dataset, where the worker is set up to take one
    #[arg(long, value_name = "SELECT")]
    sql: Option<String>,
    /// The source of that query [default: default]
    #[arg(long, requires = "sql")]
    source: Option<String>,
    /// How the file is written [default: the dataset's first, or csv]
    #[arg(long, short = 'f', value_enum)]
    format: Option<Format>,
    /// How csv, excel-csv and jsonl are packed
    #[arg(long, value_enum)]
    compression: Option<Compression>,
    /// The file's name [default: the dataset's with the format's extension]
    #[arg(long)]
    name: Option<String>,
    /// The time zone of instants, e.g. Asia/Shanghai [default: the dataset's, or UTC]
    #[arg(long)]
    zone: Option<String>,
    /// Between the fields of csv and excel-csv: a comma, a semicolon or tab
    #[arg(long, value_name = ",|;|tab")]
    delimiter: Option<String>,
    /// With --compression zip: records for each file in the archive
    #[arg(long, value_name = "COUNT")]
    rows_per_file: Option<u64>,
    /// The customer or team that it is for
    #[arg(long)]
    tenant: Option<String>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    /// CSV for programs, exact
    Csv,
    /// CSV for spreadsheets
    #[value(alias = "excel_csv")]
    ExcelCsv,
    /// JSON Lines
    Jsonl,
    /// A workbook
    Xlsx,
    /// Apache Parquet
    Parquet,
    /// Apache Arrow IPC (Feather)
    Arrow,
}

/// How a text format is packed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Compression {
    /// gzip
    Gzip,
    /// Zstandard
    Zstd,
    /// A zip archive
    Zip,
}

impl ExportOptions {
    /// The job for this queue.
    pub fn job(&self, queue: QueueName) -> Outcome<NewJob> {
        let query = ExportQuery {
            dataset: self.dataset.clone(),
            params: params(&self.param)?,
            sql: self.sql.clone(),
            source: self.source.clone(),
            format: self.format.map(ExportFormat::from),
            compression: self.compression.map(ExportCompression::from).unwrap_or_default(),
            name: self.name.clone(),
            zone: self.zone.clone(),
            delimiter: self.delimiter.as_deref().map(delimiter).transpose()?,
            rows_per_file: self.rows_per_file,
        };
        let mut job = query.into_job(queue)?;
        job.tenant = self.tenant.as_deref().map(str::parse::<Tenant>).transpose()?;
        Ok(job)
    }
}

/// Values that come once are texts, values that come several times are lists. Their types are the dataset's business.
fn params(pairs: &[String]) -> Outcome<Map<String, Value>> {
    let mut params = Map::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Failure::usage("param", format!("--param {pair}: has no `=`; use --param NAME=VALUE")));
        };
        let value = Value::from(value);
        match params.get_mut(name) {
            None => drop(params.insert(name.to_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Ok(params)
}

fn delimiter(text: &str) -> Outcome<char> {
    match text {
        "," | "comma" => Ok(','),
        ";" | "semicolon" => Ok(';'),
        "\t" | "\\t" | "tab" => Ok('\t'),
        other => {
            Err(Failure::usage("delimiter", format!("--delimiter {other:?}: is no delimiter; use `,`, `;` or tab")))
        }
    }
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::ExcelCsv => Self::ExcelCsv,
            Format::Jsonl => Self::Jsonl,
            Format::Xlsx => Self::Xlsx,
            Format::Parquet => Self::Parquet,
            Format::Arrow => Self::Arrow,
        }
    }
}

impl From<Compression> for ExportCompression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
            Compression::Zip => Self::Zip,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_that_come_several_times_are_lists() {
        let pairs = ["from=2024-01-01", "status=a=b", "status=", "status=c"].map(str::to_owned);
        let found = Value::Object(params(&pairs).unwrap());
        assert_eq!(found, json!({"from": "2024-01-01", "status": ["a=b", "", "c"]}));
        assert!(params(&["from".to_owned()]).is_err());
    }
}
