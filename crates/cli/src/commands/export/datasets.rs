//! `lovage export datasets`: what may be exported, and what has to be sent for it.

use lovage_core::Tenant;
use lovage_jobs::{Dataset, Param, ParamType};
use lovage_payloads::ExportFormat;
use serde::Serialize;
use serde_json::Value;

use crate::commands::Context;
use crate::error::Outcome;
use crate::output::Table;
use crate::rooms;

/// Runs the command.
pub fn run(context: &Context) -> Outcome {
    let config = context.config();
    let datasets = rooms::datasets(config, &rooms::sources(config)?)?;
    let lines: Vec<DatasetLine> = datasets.iter().map(|(name, dataset)| DatasetLine::new(name, dataset)).collect();
    context.output.many(&lines, DatasetLine::table)
}

/// A dataset as callers see it: not the SQL.
#[derive(Debug, Serialize)]
struct DatasetLine {
    name: String,
    source: String,
    params: Vec<ParamLine>,
    /// All when empty.
    formats: Vec<ExportFormat>,
    /// All when empty.
    tenants: Vec<Tenant>,
    row_limit: Option<u64>,
    description: Option<String>,
}

#[derive(Debug, Serialize)]
struct ParamLine {
    name: String,
    #[serde(rename = "type")]
    ty: ParamType,
    list: bool,
    required: bool,
    default: Option<Value>,
    one_of: Vec<Value>,
    description: Option<String>,
}

impl DatasetLine {
    fn new(name: &str, dataset: &Dataset) -> Self {
        Self {
            name: name.to_owned(),
            source: dataset.source.clone(),
            params: dataset.params.iter().map(|(name, param)| ParamLine::new(name, param)).collect(),
            formats: dataset.formats.clone(),
            tenants: dataset.tenants.clone(),
            row_limit: dataset.row_limit,
            description: dataset.description.clone(),
        }
    }

    fn table(lines: &[Self]) -> Table {
        let mut table = Table::new(
            &["dataset", "source", "parameters", "formats", "description"],
            "No dataset is configured; add [datasets.NAME] to lovage.toml (docs/guide/exports.md).",
        );
        for line in lines {
            let params: Vec<String> = line.params.iter().map(ParamLine::text).collect();
            let formats = line.formats.iter().filter_map(|format| serde_json::to_value(format).ok());
            let formats: Vec<String> = formats.filter_map(|format| format.as_str().map(str::to_owned)).collect();
            table.row(vec![
                line.name.clone(),
                line.source.clone(),
                if params.is_empty() { "-".to_owned() } else { params.join(" ") },
                if formats.is_empty() { "all".to_owned() } else { formats.join(",") },
                line.description.clone().unwrap_or_default(),
            ]);
        }
        table
    }
}

impl ParamLine {
    fn new(name: &str, param: &Param) -> Self {
        Self {
            name: name.to_owned(),
            ty: param.ty,
            list: param.list,
            required: param.default.is_none() && !param.nullable,
            default: param.default.clone(),
            one_of: param.one_of.clone(),
            description: param.description.clone(),
        }
    }

    /// `from:date` if it has to be sent, `[from:date]` if not.
    fn text(&self) -> String {
        let ty = serde_json::to_value(self.ty).ok().and_then(|ty| ty.as_str().map(str::to_owned)).unwrap_or_default();
        let text = format!("{}:{ty}{}", self.name, if self.list { "..." } else { "" });
        if self.required { text } else { format!("[{text}]") }
    }
}
