//! Datasets: what may be exported, by name. The configuration says where it comes from and which parameters it has, so
//! callers send a name and values and never SQL.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use lovage_core::{Invalid, Tenant, duration};
use lovage_formats::Type;
use lovage_payloads::ExportFormat;
use serde::Deserialize;

use super::params::{Param, ParamType, TENANT};
use super::statement::{Dialect, Statement};
use crate::sources::{Source, Sources, check_name};

/// What the names of parameters begin with that are put into statements here.
pub(super) const OURS: &str = "lovage_";
/// How long a query may run when nobody says.
pub(super) const TIMEOUT: Duration = Duration::from_hours(4);

/// One dataset, as it stands in `[datasets.NAME]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// The configured name of the database.
    #[serde(default = "default_source")]
    pub source: String,
    /// One statement that only reads. `:name` stands for the value of a parameter, `:tenant` for the job's tenant.
    pub sql: String,
    /// What it is, for people.
    #[serde(default)]
    pub description: Option<String>,
    /// The parameters, by name.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// What is said about single columns, by their name in the query.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnOptions>,
    /// The formats that callers may choose; the first is the default. All when empty.
    #[serde(default)]
    pub formats: Vec<ExportFormat>,
    /// The tenants whose jobs may export it; every job when empty.
    #[serde(default)]
    pub tenants: Vec<Tenant>,
    /// Most records of one export; one more and it fails.
    #[serde(default)]
    pub row_limit: Option<u64>,
    /// The IANA time zone in which instants are written when the caller names none.
    #[serde(default)]
    pub zone: Option<String>,
    /// How long the query may run in the database, e.g. `10m`; four hours when absent.
    #[serde(default)]
    pub timeout: Option<String>,
    /// How long the files are kept, e.g. `30d`; as the settings of exports say when absent.
    #[serde(default)]
    pub keep: Option<String>,
    /// How the number of records is found out before they are read.
    #[serde(default)]
    pub count: Count,
    /// Whether it is exported in chunks, each a file of its own, so that an attempt goes on where the last one died.
    #[serde(default)]
    pub chunks: Option<Chunks>,
}

/// How a dataset is cut into chunks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunks {
    /// A column of the query whose values are unique, never null, and never change, nor does the rest of their record: an id
    /// of a table that is only added to.
    pub key: String,
    /// Its type: `integer`, `text` or `uuid`.
    #[serde(rename = "type", default = "integer")]
    pub ty: ParamType,
    /// Records of a chunk.
    #[serde(default = "chunk_rows")]
    pub rows: u64,
}

fn integer() -> ParamType {
    ParamType::Integer
}

fn chunk_rows() -> u64 {
    1_000_000
}

/// What is said about a column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnOptions {
    /// What stands in the header instead of the query's name.
    #[serde(default)]
    pub label: Option<String>,
    /// What the values are, where the database does not say so (`decimal(18,2)`) or something else is wanted (`text` for a
    /// long number that nobody calculates with).
    #[serde(default, rename = "type")]
    pub ty: Option<String>,
}

/// How the number of records is found out, to show how far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Count {
    /// The planner's guess, which costs nothing; Postgres only.
    #[default]
    Estimate,
    /// Counted first, which costs a second run of the query.
    Exact,
    /// Not at all.
    None,
}

fn default_source() -> String {
    "default".to_owned()
}

/// The configured datasets.
#[derive(Debug, Clone, Default)]
pub struct Datasets(BTreeMap<String, Dataset>);

impl Datasets {
    /// Checks all of them: names, statements, parameters, zones, durations. A source that is not configured here is no
    /// error, because another worker may have it.
    pub fn new(datasets: BTreeMap<String, Dataset>, sources: &Sources) -> Result<Self, Invalid> {
        for (name, dataset) in &datasets {
            dataset
                .validate(name, sources)
                .map_err(|error| Invalid { field: format!("datasets.{name}.{}", error.field), ..error })?;
        }
        Ok(Self(datasets))
    }

    /// The names, in order, with their datasets.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Dataset)> {
        self.0.iter().map(|(name, dataset)| (name.as_str(), dataset))
    }

    /// The dataset with this name; the error lists the names that there are.
    pub fn get(&self, name: &str) -> Result<&Dataset, Invalid> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let help = if known.is_empty() {
                "add [datasets.NAME] to lovage.toml".to_owned()
            } else {
                format!("use one of: {}", known.join(", "))
            };
            Invalid::new("dataset", format!("{name:?} is not configured on this worker"), help)
        })
    }
}

impl Dataset {
    fn validate(&self, name: &str, sources: &Sources) -> Result<(), Invalid> {
        check_name("name", name)?;
        let source = sources.get(&self.source).ok();
        let dialect = source.map_or(Dialect::Postgres, Source::dialect);
        let statement = Statement::parse(&self.sql, dialect)?;
        if let Some(unknown) = statement.placeholders().find(|name| *name != TENANT && !self.params.contains_key(*name))
        {
            let help = format!("declare it in [datasets.{name}.params.{unknown}]");
            return Err(Invalid::new("sql", format!("uses :{unknown}, which is not a parameter"), help));
        }
        for (param, declared) in &self.params {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if param == TENANT || param.starts_with(OURS) || param.is_empty() || !param.chars().all(word) {
                let help = "use letters, digits and `_`; `tenant` is the job's own and needs no declaration, names with \
                            lovage_ are ours";
                return Err(Invalid::new(format!("params.{param}"), "has this name", help));
            }
            declared.validate(param)?;
        }
        for (column, options) in &self.columns {
            options.ty().map_err(|error| Invalid { field: format!("columns.{column}.type"), ..error })?;
        }
        if let Some(chunks) = &self.chunks {
            chunks.validate()?;
        }
        zone(self.zone.as_deref())?;
        self.timeout()?;
        self.keep()?;
        Ok(())
    }

    /// Whether a job of this tenant may export it.
    pub(super) fn allows(&self, tenant: Option<&Tenant>) -> bool {
        self.tenants.is_empty() || tenant.is_some_and(|tenant| self.tenants.contains(tenant))
    }

    /// How long its query may run.
    pub(super) fn timeout(&self) -> Result<Duration, Invalid> {
        Ok(length("timeout", self.timeout.as_deref())?.unwrap_or(TIMEOUT))
    }

    /// How long its files are kept, if it says so.
    pub(super) fn keep(&self) -> Result<Option<Duration>, Invalid> {
        length("keep", self.keep.as_deref())
    }
}

impl Chunks {
    fn validate(&self) -> Result<(), Invalid> {
        if !matches!(self.ty, ParamType::Integer | ParamType::Text | ParamType::Uuid) {
            return Err(Invalid::new("chunks.type", "cannot cut a dataset", "use integer, text or uuid"));
        }
        if self.rows == 0 {
            return Err(Invalid::new("chunks.rows", "is 0", "use some hundred thousand"));
        }
        if self.key.is_empty() || self.key.contains('\0') {
            return Err(Invalid::new("chunks.key", format!("is {:?}", self.key), "name a column of the query"));
        }
        Ok(())
    }
}

impl ColumnOptions {
    /// The type that the values shall have, if one is said.
    pub(super) fn ty(&self) -> Result<Option<Type>, Invalid> {
        self.ty.as_deref().map(ty).transpose()
    }
}

/// Refuses what is said about a column that the query does not have.
pub(super) fn refuse_unknown(
    said: &BTreeMap<String, ColumnOptions>,
    columns: &[impl sqlx::Column],
) -> Result<(), Invalid> {
    match said.keys().find(|said| !columns.iter().any(|column| column.name() == *said)) {
        None => Ok(()),
        Some(unknown) => {
            let help = "use the names that the query answers";
            Err(Invalid::new(format!("columns.{unknown}"), "is not a column of the query", help))
        }
    }
}

/// The zone with this name; UTC without one.
pub(super) fn zone(name: Option<&str>) -> Result<TimeZone, Invalid> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    TimeZone::get(name).map_err(|_| {
        Invalid::new(
            "zone",
            format!("{name:?} is not a known time zone"),
            "use an IANA name, e.g. Asia/Shanghai or UTC",
        )
    })
}

fn length(field: &str, text: Option<&str>) -> Result<Option<Duration>, Invalid> {
    let Some(text) = text else { return Ok(None) };
    match duration::parse(text) {
        Ok(length) if length >= Duration::from_secs(1) => Ok(Some(length)),
        _ => {
            let help = "use a duration of a second or more, e.g. 30s, 10m, 4h, 30d";
            Err(Invalid::new(field, format!("is {text:?}"), help))
        }
    }
}

/// A type by its name, as [`Type::name`] writes it.
fn ty(text: &str) -> Result<Type, Invalid> {
    let plain = [
        Type::Bool,
        Type::Int16,
        Type::Int32,
        Type::Int64,
        Type::Float32,
        Type::Float64,
        Type::Text,
        Type::Bytes,
        Type::Date,
        Type::Time,
        Type::Timestamp,
        Type::TimestampTz,
        Type::Uuid,
        Type::Json,
    ];
    if let Some(found) = plain.into_iter().find(|ty| ty.name() == text) {
        return Ok(found);
    }
    let digits = text.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
    let digits = digits.and_then(|digits| digits.split_once(','));
    let parsed = digits.and_then(|(p, s)| Some((p.trim().parse().ok()?, s.trim().parse().ok()?)));
    if let Some((precision, scale)) = parsed.filter(|&(p, s)| (1..=38).contains(&p) && s <= p) {
        return Ok(Type::Decimal { precision, scale });
    }
    let names: Vec<String> = plain.iter().map(|ty| ty.name()).collect();
    let help = format!("use one of: {}, decimal(P,S) with P from 1 to 38 and S up to P", names.join(", "));
    Err(Invalid::new("type", format!("is {text:?}"), help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Datasets, String> {
        let dataset: Dataset = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut sources = Sources::new();
        sources.add("default", "sqlite:shop.db").unwrap();
        Datasets::new(BTreeMap::from([("orders".to_owned(), dataset)]), &sources).map_err(|error| error.to_string())
    }

    #[test]
    fn a_wrong_dataset_is_refused_with_its_place() {
        for (text, words) in [
            (r#"{"sql": "delete from t"}"#, "datasets.orders.sql: begins with"),
            (r#"{"sql": "select :from"}"#, "datasets.orders.sql: uses :from, which is not a parameter"),
            (r#"{"sql": "select 1", "zone": "Mars/Base"}"#, "datasets.orders.zone: \"Mars/Base\" is not a known"),
            (r#"{"sql": "select 1", "keep": "soon"}"#, "datasets.orders.keep: is \"soon\""),
            (r#"{"sql": "select 1", "timeout": "0s"}"#, "datasets.orders.timeout: is \"0s\""),
            (r#"{"sql": "select 1", "columns": {"a": {"type": "decimal(39,2)"}}}"#, "datasets.orders.columns.a.type"),
            (
                r#"{"sql": "select 1", "params": {"a": {"type": "date", "default": "x"}}}"#,
                "datasets.orders.params.a: is",
            ),
            (r#"{"sql": "select 1", "params": {"tenant": {"type": "text"}}}"#, "datasets.orders.params.tenant: has"),
            (r#"{"sql": "select 1", "fromats": []}"#, "unknown field `fromats`"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let good = r#"{"sql": "select :tenant, :from", "params": {"from": {"type": "date"}}, "keep": "30d",
            "columns": {"a": {"type": "decimal(18,2)", "label": "A"}}, "zone": "Asia/Shanghai"}"#;
        let datasets = check(good).unwrap();
        assert_eq!(datasets.get("orders").unwrap().keep().unwrap(), Some(Duration::from_hours(720)));
        assert_eq!(datasets.get("order").unwrap_err().help, "use one of: orders");
    }
}
