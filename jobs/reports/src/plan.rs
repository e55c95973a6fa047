//! What can be told from the arguments alone: everything that no attempt can mend is refused before any byte is read.

use std::collections::BTreeMap;

use lovage_artifacts::FileName;
use lovage_core::Invalid;
use lovage_payloads::{
    ArtifactInput, ChartKind, DatasetInput, ExportReport, InputFormat, InputFrom, ReportFormat, ReportInput,
    ReportParam, ReportSheet,
};
use polars::prelude::DataType;

use crate::place::Place;
use crate::{statement, types};

/// The table of the parameters.
pub(crate) const PARAMS: &str = "params";
/// Stands for all columns of numbers.
pub(crate) const ALL: &str = "*";
/// Most inputs, parameters and sheets of one report.
const MOST: usize = 64;
/// Longest name of a sheet in characters; spreadsheet programs take no longer one.
const MAX_SHEET_NAME: usize = 31;

/// A report whose arguments are in order.
#[derive(Debug)]
pub(crate) struct Plan {
    pub inputs: Vec<Input>,
    /// Tables whose rows come from datasets.
    pub datasets: Vec<(String, DatasetInput)>,
    pub params: BTreeMap<String, ReportParam>,
    pub sheets: Vec<ReportSheet>,
    pub format: ReportFormat,
    pub name: FileName,
}

/// One table to be, whose rows lie in the store.
#[derive(Debug)]
pub(crate) struct Input {
    pub table: String,
    pub from: From,
    pub format: Option<InputFormat>,
    pub types: Vec<(String, DataType)>,
}

/// Where it comes from.
#[derive(Debug)]
pub(crate) enum From {
    Artifact(ArtifactInput),
    Files(Place),
}

impl Plan {
    /// Checks the arguments.
    pub fn of(report: ExportReport) -> Result<Self, Invalid> {
        at_most("inputs", report.inputs.len())?;
        at_most("params", report.params.len())?;
        at_most("sheets", report.sheets.len())?;
        sheets(&report.sheets, report.format)?;
        for name in report.params.keys() {
            identifier("params", name)?;
        }
        let (mut inputs, mut datasets) = (Vec::new(), Vec::new());
        for (table, ReportInput { from, format, types }) in report.inputs {
            table_name(&table)?;
            let from = match from {
                InputFrom::Dataset(dataset) => {
                    datasets.push((table, dataset));
                    continue;
                }
                InputFrom::Artifact(artifact) => From::Artifact(artifact),
                InputFrom::Files(pattern) => From::Files(Place::parse(&format!("inputs.{table}.files"), &pattern)?),
            };
            inputs.push(Input { types: column_types(&table, types)?, table, from, format });
        }
        let name = match report.name {
            Some(name) => name.parse()?,
            None => default_name(report.format).parse()?,
        };
        Ok(Self { inputs, datasets, params: report.params, sheets: report.sheets, format: report.format, name })
    }
}

/// A name that SQL takes without quotes, and that is free.
fn table_name(table: &str) -> Result<(), Invalid> {
    identifier("inputs", table)?;
    if table == PARAMS {
        return Err(Invalid::new("inputs", "has a table `params`", "choose another name: this one holds `params`"));
    }
    Ok(())
}

fn column_types(table: &str, types: BTreeMap<String, String>) -> Result<Vec<(String, DataType)>, Invalid> {
    let types = types.into_iter().map(|(column, name)| {
        let found = types::parse(&format!("inputs.{table}.types.{column}"), &name)?;
        Ok((column, found))
    });
    types.collect()
}

fn at_most(field: &str, found: usize) -> Result<(), Invalid> {
    if found <= MOST {
        return Ok(());
    }
    Err(Invalid::new(field, format!("has {found} entries"), format!("use at most {MOST}; split the report")))
}

/// A name that SQL takes without quotes.
fn identifier(field: &str, name: &str) -> Result<(), Invalid> {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let rest = |c: char| first(c) || c.is_ascii_digit();
    if name.len() <= 64 && name.starts_with(first) && name.chars().all(rest) {
        return Ok(());
    }
    let help = "use a lower-case letter or `_`, then lower-case letters, digits and `_`, at most 64";
    Err(Invalid::new(field, format!("has the name {name:?}"), help))
}

fn sheets(sheets: &[ReportSheet], format: ReportFormat) -> Result<(), Invalid> {
    if sheets.is_empty() {
        return Err(Invalid::new("sheets", "is empty", "give at least one sheet"));
    }
    if format != ReportFormat::Xlsx {
        let plain = |sheet: &ReportSheet| sheet.pivot.is_none() && sheet.chart.is_none() && sheet.totals.is_empty();
        if sheets.len() != 1 || !sheets.iter().all(plain) {
            let help = "give exactly one sheet without pivot, totals and chart, or use the format xlsx";
            return Err(Invalid::new("sheets", "do not fit into a file of this format", help));
        }
    }
    for (index, sheet) in sheets.iter().enumerate() {
        let field = format!("sheets[{index}]");
        statement::check(&format!("{field}.sql"), &sheet.sql)?;
        if format == ReportFormat::Xlsx {
            sheet_name(&format!("{field}.name"), &sheet.name)?;
            let twin = |other: &ReportSheet| other.name.to_lowercase() == sheet.name.to_lowercase();
            if sheets[..index].iter().any(twin) {
                let problem = format!("{:?} is the name of two sheets", sheet.name);
                return Err(Invalid::new(
                    format!("{field}.name"),
                    problem,
                    "names differ by more than upper and lower case",
                ));
            }
        }
        parts(&field, sheet)?;
    }
    Ok(())
}

fn sheet_name(field: &str, name: &str) -> Result<(), Invalid> {
    let help = "use 1 to 31 characters, none of []:*?/\\ and no ' at an end; `History` is taken";
    let bad = |c: char| "[]:*?/\\".contains(c) || c.is_control();
    // Excel counts UTF-16 units.
    let length = name.encode_utf16().count();
    if length == 0 || length > MAX_SHEET_NAME {
        return Err(Invalid::new(field, format!("{name:?} is {length} characters long"), help));
    }
    if name.chars().any(bad) || name.starts_with('\'') || name.ends_with('\'') || name.eq_ignore_ascii_case("history") {
        return Err(Invalid::new(field, format!("{name:?} cannot name a sheet"), help));
    }
    Ok(())
}

fn parts(field: &str, sheet: &ReportSheet) -> Result<(), Invalid> {
    if let Some(pivot) = &sheet.pivot {
        if pivot.rows.is_empty() {
            return Err(Invalid::new(format!("{field}.pivot.rows"), "is empty", "name the columns that stay"));
        }
        let all: Vec<&String> = pivot.rows.iter().chain([&pivot.columns, &pivot.values]).collect();
        if let Some(twice) = all.iter().enumerate().find(|(at, name)| all[..*at].contains(name)) {
            let help = "rows, columns and values are different columns; name one twice in the SELECT if need be";
            return Err(Invalid::new(format!("{field}.pivot"), format!("uses {:?} twice", twice.1), help));
        }
    }
    if let Some(chart) = &sheet.chart {
        let one = chart.values.len() == 1 && chart.values[0] != ALL;
        if chart.values.is_empty() || (chart.kind == ChartKind::Pie && !one) {
            let help = "name the columns that are drawn; a pie takes exactly one, by its name";
            return Err(Invalid::new(format!("{field}.chart.values"), "cannot be drawn", help));
        }
    }
    Ok(())
}

fn default_name(format: ReportFormat) -> &'static str {
    match format {
        ReportFormat::Xlsx => "report.xlsx",
        ReportFormat::Csv => "report.csv",
        ReportFormat::Jsonl => "report.jsonl",
        ReportFormat::Parquet => "report.parquet",
    }
}

#[cfg(test)]
mod tests {
    use lovage_payloads::{Aggregate, ReportChart, ReportPivot};

    use super::*;

    fn sheet(name: &str) -> ReportSheet {
        ReportSheet::new(name, "select 1 as a")
    }

    fn refused(report: ExportReport) -> String {
        Plan::of(report).unwrap_err().to_string()
    }

    #[test]
    fn names_of_sheets_are_those_that_a_spreadsheet_takes() {
        for name in ["a", "按月汇总", "Jan–Mar (1)", "x'y", &"a".repeat(31)] {
            Plan::of(ExportReport::new(vec![sheet(name)])).unwrap();
        }
        for name in [
            "",
            "a/b",
            "a\\b",
            "[a]",
            "a:b",
            "a*",
            "a?",
            "'a",
            "a'",
            "history",
            "a\n",
            &"a".repeat(32),
            &"𠮷".repeat(16),
        ] {
            assert!(refused(ExportReport::new(vec![sheet(name)])).starts_with("sheets[0].name: "), "{name}");
        }
        let text = refused(ExportReport::new(vec![sheet("A"), sheet("a")]));
        assert!(text.starts_with("sheets[1].name: \"a\" is the name of two"), "{text}");
    }

    #[test]
    fn a_plain_file_has_one_plain_sheet() {
        let csv = |sheets: Vec<ReportSheet>| ExportReport { format: ReportFormat::Csv, ..ExportReport::new(sheets) };
        assert_eq!(Plan::of(csv(vec![sheet("any: name")])).unwrap().name.as_str(), "report.csv");
        let total = ReportSheet { totals: vec!["a".into()], ..sheet("a") };
        for report in [csv(vec![sheet("a"), sheet("b")]), csv(vec![total]), csv(Vec::new())] {
            assert!(refused(report).starts_with("sheets: "));
        }
    }

    #[test]
    fn parts_that_cannot_work_are_named() {
        let pivot = |rows: &[&str], columns: &str| {
            let rows = rows.iter().map(ToString::to_string).collect();
            let pivot =
                ReportPivot { rows, columns: columns.into(), values: "v".into(), aggregate: Aggregate::default() };
            ExportReport::new(vec![ReportSheet { pivot: Some(pivot), ..sheet("a") }])
        };
        assert!(Plan::of(pivot(&["r"], "c")).is_ok());
        assert!(refused(pivot(&[], "c")).starts_with("sheets[0].pivot.rows: is empty"));
        assert!(refused(pivot(&["r"], "r")).contains("uses \"r\" twice"));
        let chart = ReportChart { kind: ChartKind::Pie, category: "a".into(), values: vec![ALL.into()], title: None };
        let pie = ReportSheet { chart: Some(chart), ..sheet("a") };
        assert!(refused(ExportReport::new(vec![pie])).starts_with("sheets[0].chart.values: "));
    }

    #[test]
    fn tables_have_names_that_sql_takes_and_params_is_taken() {
        let with = |table: &str| ExportReport::new(vec![sheet("a")]).with_input(table, ReportInput::files("raw/a.csv"));
        assert!(Plan::of(with("orders_2024")).is_ok());
        for table in ["", "Orders", "1a", "a-b", "订单", "a b", &"a".repeat(65)] {
            assert!(refused(with(table)).starts_with("inputs: has the name"), "{table}");
        }
        assert!(refused(with("params")).contains("`params`"));
        let typed = ReportInput::files("raw/a.csv").with_type("amount", "money");
        let text = refused(ExportReport::new(vec![sheet("a")]).with_input("a", typed));
        assert!(text.starts_with("inputs.a.types.amount: is \"money\""), "{text}");
        let out = ExportReport::new(vec![sheet("a")]).with_input("a", ReportInput::files("../a.csv"));
        assert!(refused(out).starts_with("inputs.a.files: "));
        let hostile = ExportReport::new(vec![ReportSheet::new("a", "select * from read_csv('/etc/passwd')")]);
        assert!(refused(hostile).starts_with("sheets[0].sql: reads from read_csv("));
    }
}
