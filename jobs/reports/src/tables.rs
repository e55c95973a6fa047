//! Staged files as tables of SQL. Nothing is read here but the beginnings of files, for names and types of columns.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use lovage_core::Invalid;
use lovage_payloads::{InputFormat, ReportParam};
use lovage_worker::JobError;
use polars::datatypes::extension::{UnknownExtensionTypeBehavior, set_unknown_extension_type_behavior};
use polars::io::HiveOptions;
use polars::prelude::{
    Column, DataFrame, DataType, Expr, IntoLazy as _, LazyCsvReader, LazyFileListReader as _, LazyFrame,
    LazyJsonLineReader, NamedFrom as _, PlRefPath, PlSmallStr, PolarsResult, ScanArgsParquet, ScanSources, Schema,
    Series, StrptimeOptions, col, lit,
};
use polars::sql::SQLContext;

use crate::fault;
use crate::plan::PARAMS;
use crate::stage::Staged;

/// Records at the beginning from which the types of CSV and JSON lines are told.
const LOOKED_AT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// All tables of a report.
pub(crate) fn open(inputs: &[Staged], params: &BTreeMap<String, ReportParam>) -> Result<SQLContext, JobError> {
    // Types of Arrow that polars has no own ones for (JSON, in files of exports) are what they are stored as. A UUID already is:
    // sixteen bytes.
    set_unknown_extension_type_behavior(UnknownExtensionTypeBehavior::LoadAsStorage);
    let context = SQLContext::new();
    for input in inputs {
        context.register(&input.table, scan(input)?);
    }
    if !params.is_empty() {
        let values = params_table(params).map_err(|error| fault::polars("params", &error))?;
        context.register(PARAMS, values.lazy());
    }
    Ok(context)
}

fn scan(input: &Staged) -> Result<LazyFrame, JobError> {
    let field = format!("inputs.{}", input.table);
    let scanned = match input.format {
        InputFormat::Csv => csv(input),
        InputFormat::Jsonl => jsonl(input),
        InputFormat::Parquet => parquet(input),
    };
    let (mut frame, schema) = scanned
        .and_then(|mut frame| frame.collect_schema().map(|schema| (frame, schema)))
        .map_err(|error| fault::polars(&field, &error))?;
    for (column, wanted) in &input.types {
        let help =
            format!("its columns are: {}", schema.iter_names().map(PlSmallStr::as_str).collect::<Vec<_>>().join(", "));
        let Some(found) = schema.get(column) else {
            let problem = "there is no such column";
            return Err(fault::invalid(Invalid::new(format!("{field}.types.{column}"), problem, help)));
        };
        if found != wanted {
            frame = frame.with_columns([converted(column, found, wanted)]);
        }
    }
    Ok(frame)
}

/// A column of another type. A value that would be changed is an error, not a null.
fn converted(column: &str, found: &DataType, wanted: &DataType) -> Expr {
    let column = col(column);
    let strict = StrptimeOptions { format: None, strict: true, exact: true, cache: true };
    match (found, wanted) {
        (DataType::String, DataType::Date) => column.str().to_date(strict),
        (DataType::String, DataType::Datetime(unit, zone)) => {
            column.str().to_datetime(Some(*unit), zone.clone(), strict, lit("raise"))
        }
        _ => column.strict_cast(wanted.clone()),
    }
}

fn csv(input: &Staged) -> PolarsResult<LazyFrame> {
    LazyCsvReader::new_with_sources(sources(&input.files)?)
        .with_glob(false)
        .with_has_header(true)
        .with_infer_schema_length(Some(LOOKED_AT.get()))
        .with_try_parse_dates(true)
        .with_dtype_overwrite(types(input, DataType::clone))
        .finish()
}

fn jsonl(input: &Staged) -> PolarsResult<LazyFrame> {
    LazyJsonLineReader::new_with_sources(sources(&input.files)?)
        .with_infer_schema_length(Some(LOOKED_AT))
        .with_schema_overwrite(types(input, in_json))
        .finish()
}

fn parquet(input: &Staged) -> PolarsResult<LazyFrame> {
    let arguments =
        ScanArgsParquet { glob: false, hive_options: HiveOptions::new_disabled(), ..ScanArgsParquet::default() };
    LazyFrame::scan_parquet_sources(sources(&input.files)?, arguments)
}

fn sources(files: &[PathBuf]) -> PolarsResult<ScanSources> {
    let paths = files.iter().map(|file| PlRefPath::try_from_path(file)).collect::<PolarsResult<Vec<_>>>()?;
    Ok(ScanSources::Paths(paths.into()))
}

fn types(input: &Staged, form: impl Fn(&DataType) -> DataType) -> Option<Arc<Schema>> {
    let fields = input.types.iter().map(|(name, wanted)| (name.as_str().into(), form(wanted)));
    (!input.types.is_empty()).then(|| Arc::new(fields.collect()))
}

/// The type as which a value stands in JSON: what JSON has no form for is text there.
fn in_json(wanted: &DataType) -> DataType {
    match wanted {
        DataType::Decimal(..) | DataType::Date | DataType::Datetime(..) => DataType::String,
        other => other.clone(),
    }
}

/// One row with a column for each parameter: values are data here and never part of a text.
fn params_table(params: &BTreeMap<String, ReportParam>) -> PolarsResult<DataFrame> {
    let column = |(name, value): (&String, &ReportParam)| {
        let name = name.as_str().into();
        let series = match value {
            ReportParam::Null => Series::new(name, [None::<&str>]),
            ReportParam::Bool(value) => Series::new(name, [*value]),
            ReportParam::Integer(value) => Series::new(name, [*value]),
            ReportParam::Number(value) => Series::new(name, [*value]),
            ReportParam::Text(value) => Series::new(name, [value.as_str()]),
        };
        Column::from(series)
    };
    DataFrame::new(1, params.iter().map(column).collect())
}
