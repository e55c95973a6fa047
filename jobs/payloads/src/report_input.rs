//! Where the rows of a report come from: files in the store, or a dataset.

use std::collections::BTreeMap;

use lovage_core::{JobId, QueueName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where a table's rows come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "InputForm", into = "InputForm")]
pub struct ReportInput {
    /// Where they lie.
    pub from: InputFrom,
    /// How they are written; told by the media type or the ending of the name when absent. Not beside a dataset.
    pub format: Option<InputFormat>,
    /// Types of columns of CSV and JSON lines that are not to be guessed: `text`, `integer`, `number`, `boolean`,
    /// `date`, `datetime` or `decimal(PRECISION,SCALE)`. Identifiers with leading zeros are `text`, money is `decimal`.
    /// Not beside a dataset, which declares them itself.
    pub types: BTreeMap<String, String>,
}

/// Where rows lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputFrom {
    /// A published file of another job.
    Artifact(ArtifactInput),
    /// Objects in the artifact store outside the folder of jobs, `*` standing for any characters in the last part of
    /// the key: `raw/orders/*.parquet`. All have the same columns; they are read one after the other.
    Files(String),
    /// What the worker reads from a database, in one snapshot, when the report is made.
    Dataset(DatasetInput),
}

/// A dataset of the worker's configuration; written as `dataset` and `params` beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetInput {
    /// Its name, as it stands in `[datasets.NAME]`.
    pub dataset: String,
    /// Values of its parameters, by name, as in [`ExportQuery::params`](crate::ExportQuery::params).
    pub params: Map<String, Value>,
}

/// A file of another job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactInput {
    /// The job's queue.
    pub queue: QueueName,
    /// The job. Until it has published its files, the report is tried again.
    pub job: JobId,
    /// The file's name; needed only if the job wrote several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// How an input is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// Comma-separated, UTF-8, with a header line. An empty field is null.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Parquet.
    Parquet,
}

/// An input as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact: Option<ArtifactInput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<InputFormat>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    types: BTreeMap<String, String>,
}

impl TryFrom<InputForm> for ReportInput {
    type Error = &'static str;

    fn try_from(form: InputForm) -> Result<Self, Self::Error> {
        if form.dataset.is_none() && form.params.is_some() {
            return Err(
                "`params` of an input are those of its `dataset`; values for the SQL are `params` of the report",
            );
        }
        let from = match (form.artifact, form.files, form.dataset) {
            (Some(artifact), None, None) => InputFrom::Artifact(artifact),
            (None, Some(files), None) => InputFrom::Files(files),
            (None, None, Some(dataset)) => {
                if form.format.is_some() || !form.types.is_empty() {
                    return Err(
                        "an input from a `dataset` takes no `format` and no `types`: leave them out, the dataset \
                                declares the types of its columns",
                    );
                }
                InputFrom::Dataset(DatasetInput { dataset, params: form.params.unwrap_or_default() })
            }
            (None, None, None) => return Err("an input needs `artifact`, `files` or `dataset`"),
            _ => return Err("an input has one of `artifact`, `files` and `dataset`, not several"),
        };
        Ok(Self { from, format: form.format, types: form.types })
    }
}

impl From<ReportInput> for InputForm {
    fn from(input: ReportInput) -> Self {
        let form = Self { format: input.format, types: input.types, ..Self::default() };
        match input.from {
            InputFrom::Artifact(artifact) => Self { artifact: Some(artifact), ..form },
            InputFrom::Files(files) => Self { files: Some(files), ..form },
            InputFrom::Dataset(DatasetInput { dataset, params }) => {
                Self { dataset: Some(dataset), params: (!params.is_empty()).then_some(params), ..form }
            }
        }
    }
}

impl ReportInput {
    /// The published file of a job that wrote one.
    pub fn artifact(queue: QueueName, job: JobId) -> Self {
        Self::of(InputFrom::Artifact(ArtifactInput { queue, job, file: None }))
    }

    /// The objects whose keys fit `pattern`.
    pub fn files(pattern: impl Into<String>) -> Self {
        Self::of(InputFrom::Files(pattern.into()))
    }

    /// The rows of a dataset with these values of its parameters.
    pub fn dataset(name: impl Into<String>, params: Map<String, Value>) -> Self {
        Self::of(InputFrom::Dataset(DatasetInput { dataset: name.into(), params }))
    }

    fn of(from: InputFrom) -> Self {
        Self { from, format: None, types: BTreeMap::new() }
    }

    /// Says what type a column has.
    #[must_use]
    pub fn with_type(mut self, column: impl Into<String>, name: impl Into<String>) -> Self {
        self.types.insert(column.into(), name.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_written_flat_with_its_parameters_beside_it() {
        let text = r#"{"dataset":"orders","params":{"from":"2024-06-01"}}"#;
        let input: ReportInput = serde_json::from_str(text).unwrap();
        let params = Map::from_iter([("from".to_owned(), Value::from("2024-06-01"))]);
        assert_eq!(input, ReportInput::dataset("orders", params));
        assert_eq!(serde_json::to_string(&input).unwrap(), text);
        let bare = serde_json::to_string(&ReportInput::dataset("orders", Map::new())).unwrap();
        assert_eq!(bare, r#"{"dataset":"orders"}"#);
    }
}
