//! From a job's arguments to what is to be done: everything that can be refused without asking a database is refused here.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_artifacts::{FileName, Keep};
use lovage_core::{Invalid, Tenant};
use lovage_formats::{Compression, Format, Options};
use lovage_payloads::{DatasetInput, ExportCompression, ExportFormat, ExportQuery};
use serde_json::{Map, Value};

use super::dataset::{Chunks, ColumnOptions, Count, Dataset, Datasets, TIMEOUT, zone};
use super::params::{self, Bound, TENANT};
use super::statement::Statement;
use crate::sources::{Source, Sources};

/// What an export does.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The dataset's name, if it is one.
    pub(super) dataset: Option<String>,
    pub(super) query: Query,
    pub(super) file: File,
    /// How long the file is kept.
    pub(super) keep: Option<Duration>,
    /// How it is cut, if it is.
    pub(super) chunks: Option<Chunks>,
}

/// What is read.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// The configured name of the database.
    pub(super) source: String,
    pub(super) statement: Statement,
    /// A value for each of the statement's placeholders.
    pub(super) params: BTreeMap<String, Bound>,
    pub(super) columns: BTreeMap<String, ColumnOptions>,
    pub(super) count: Count,
    pub(super) timeout: Duration,
    pub(super) row_limit: Option<u64>,
    /// The column whose last value is to be remembered.
    pub(super) key: Option<String>,
}

/// What is written.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) format: Format,
    pub(super) options: Options,
    pub(super) name: FileName,
    pub(super) content_type: String,
    pub(super) purpose: Purpose,
}

/// What a file is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be published.
    Export,
    /// To be read on this machine and forgotten.
    Table(Most),
}

/// How large a file may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Most {
    /// Most bytes.
    pub bytes: u64,
    /// What is said when there would be more.
    pub beyond: Invalid,
}

/// What exports may do, as the settings say.
#[derive(Debug, Clone, Default)]
pub struct ExportRules {
    /// Whether jobs may carry SQL of their own.
    pub allow_raw_sql: bool,
    /// How long files are kept.
    pub keep: Keep,
}

/// What a plan may draw on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) sources: &'a Sources,
    pub(super) datasets: &'a Datasets,
    pub(super) rules: &'a ExportRules,
}

impl<'a> Known<'a> {
    /// The plan of an export and the database that it reads.
    pub(super) fn plan(self, args: &ExportQuery, tenant: Option<&Tenant>) -> Result<(Plan, &'a Source), Invalid> {
        match (&args.dataset, &args.sql) {
            (Some(name), None) => self.of_dataset(name, args, tenant),
            (None, Some(sql)) => self.of_sql(sql, args, tenant),
            (Some(_), Some(_)) => Err(Invalid::new("sql", "is given beside dataset", "send one of the two")),
            (None, None) => Err(Invalid::new("dataset", "is missing", "send the name of a configured dataset")),
        }
    }

    fn of_dataset(
        self,
        name: &str,
        args: &ExportQuery,
        tenant: Option<&Tenant>,
    ) -> Result<(Plan, &'a Source), Invalid> {
        if args.source.is_some() {
            return Err(Invalid::new("source", "is given beside dataset", "leave it out: the dataset has its own"));
        }
        let (dataset, query, source) = self.query(name, &args.params, tenant)?;
        let file = File::new(args, format(args.format, dataset, name)?, name, dataset.zone.as_deref())?;
        let keep = self.rules.keep.of(tenant, dataset.keep()?);
        let chunks = dataset.chunks.clone();
        Ok((Plan { dataset: Some(name.to_owned()), query, file, keep, chunks }, source))
    }

    /// The plan of a dataset that becomes a table on this machine. Its columns have the names of its query, because labels
    /// are for people; which formats callers may choose and how long files are kept is about files that they get.
    pub(super) fn table(
        self,
        input: &DatasetInput,
        tenant: Option<&Tenant>,
        most: Most,
    ) -> Result<(Query, File, &'a Source), Invalid> {
        let DatasetInput { dataset: name, params } = input;
        let (dataset, mut query, source) = self.query(name, params, tenant)?;
        for column in query.columns.values_mut() {
            column.label = None;
        }
        let file = File::new(&ExportQuery::default(), ExportFormat::Parquet, name, dataset.zone.as_deref())?;
        Ok((query, File { purpose: Purpose::Table(most), ..file }, source))
    }

    /// What is read for a dataset: refused unless it may be exported by this tenant with these values.
    fn query(
        self,
        name: &str,
        values: &Map<String, Value>,
        tenant: Option<&Tenant>,
    ) -> Result<(&'a Dataset, Query, &'a Source), Invalid> {
        let dataset = self.datasets.get(name)?;
        if !dataset.allows(tenant) {
            let who = tenant.map_or("a job without a tenant".to_owned(), |tenant| format!("tenant {tenant}"));
            let help = format!("enqueue the job for a tenant of datasets.{name}.tenants");
            return Err(Invalid::new("dataset", format!("{name:?} may not be exported by {who}"), help));
        }
        let source = self.sources.get(&dataset.source)?;
        let statement = Statement::parse(&dataset.sql, source.dialect())?;
        if tenant.is_none() && statement.placeholders().any(|name| name == TENANT) {
            let problem = format!("is missing, and dataset {name:?} is exported for one tenant");
            return Err(Invalid::new("tenant", problem, "enqueue the job with its tenant"));
        }
        let query = Query {
            source: dataset.source.clone(),
            statement,
            params: params::bind(&dataset.params, values, tenant)?,
            columns: dataset.columns.clone(),
            count: dataset.count,
            timeout: dataset.timeout()?,
            row_limit: dataset.row_limit,
            key: None,
        };
        Ok((dataset, query, source))
    }

    fn of_sql(self, sql: &str, args: &ExportQuery, tenant: Option<&Tenant>) -> Result<(Plan, &'a Source), Invalid> {
        if !self.rules.allow_raw_sql {
            let help = "declare a dataset and send its name, or set LOVAGE_ALLOW_RAW_SQL=true on the worker";
            return Err(Invalid::new("sql", "is not accepted by this worker", help));
        }
        if let Some(name) = args.params.keys().next() {
            let help = "declare a dataset: only there a parameter has a type";
            return Err(Invalid::new(format!("params.{name}"), "cannot be used with sql", help));
        }
        let name = args.source.as_deref().unwrap_or("default");
        let source = self.sources.get(name)?;
        let query = Query {
            source: name.to_owned(),
            statement: Statement::parse(sql, source.dialect())?.verbatim(),
            params: BTreeMap::new(),
            columns: BTreeMap::new(),
            count: Count::default(),
            timeout: TIMEOUT,
            row_limit: None,
            key: None,
        };
        let file = File::new(args, args.format.unwrap_or_default(), "export", None)?;
        let keep = self.rules.keep.of(tenant, None);
        Ok((Plan { dataset: None, query, file, keep, chunks: None }, source))
    }
}

impl File {
    fn new(args: &ExportQuery, format: ExportFormat, stem: &str, default_zone: Option<&str>) -> Result<Self, Invalid> {
        let (format, compression) = (to_format(format), to_compression(args.compression));
        let name: FileName = match (&args.name, compression.extension()) {
            (Some(name), _) => name.parse()?,
            (None, None) => format!("{stem}.{}", format.extension()).parse()?,
            // An archive is a file of its own, the others are what they pack.
            (None, Some("zip")) => format!("{stem}.zip").parse()?,
            (None, Some(packed)) => format!("{stem}.{}.{packed}", format.extension()).parse()?,
        };
        let options = Options {
            zone: zone(args.zone.as_deref().or(default_zone))?,
            delimiter: args.delimiter.unwrap_or(','),
            // Sheets have short names; those of datasets are plain, but one of them spreadsheets keep for themselves.
            sheet: if stem == "history" { "data".to_owned() } else { stem.chars().take(25).collect() },
            compression,
            entry: name.as_str().split('.').next().unwrap_or(stem).to_owned(),
            rows_per_file: args.rows_per_file,
        };
        let content_type = compression.content_type(format).to_owned();
        Ok(Self { format, options, name, content_type, purpose: Purpose::Export })
    }
}

/// The format that the caller chose, if the dataset allows it, or the dataset's default.
fn format(chosen: Option<ExportFormat>, dataset: &Dataset, name: &str) -> Result<ExportFormat, Invalid> {
    let allowed = &dataset.formats;
    let Some(chosen) = chosen else { return Ok(allowed.first().copied().unwrap_or_default()) };
    if allowed.is_empty() || allowed.contains(&chosen) {
        return Ok(chosen);
    }
    let names: Vec<&str> = allowed.iter().map(|format| to_format(*format).as_str()).collect();
    let problem = format!("{} is not allowed for dataset {name:?}", to_format(chosen));
    Err(Invalid::new("format", problem, format!("use one of: {}", names.join(", "))))
}

fn to_format(format: ExportFormat) -> Format {
    match format {
        ExportFormat::Csv => Format::Csv,
        ExportFormat::ExcelCsv => Format::ExcelCsv,
        ExportFormat::Jsonl => Format::Jsonl,
        ExportFormat::Xlsx => Format::Xlsx,
        ExportFormat::Parquet => Format::Parquet,
        ExportFormat::Arrow => Format::Arrow,
    }
}

fn to_compression(compression: ExportCompression) -> Compression {
    match compression {
        ExportCompression::None => Compression::None,
        ExportCompression::Gzip => Compression::Gzip,
        ExportCompression::Zstd => Compression::Zstd,
        ExportCompression::Zip => Compression::Zip,
    }
}
