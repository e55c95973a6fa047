//! A job of a row, and a row of a job. Pure: the fields beside the columns are read by the same code that reads a job
//! from anywhere else.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::{Invalid, JobId, NewJob, RawJson};
use serde_json::json;

/// Largest `options` in bytes: tags, metadata and unique key have bounds of their own far below.
pub(crate) const MAX_OPTIONS_BYTES: usize = 64 * 1024;
/// What has a column of its own.
const COLUMNS: [&str; 4] = ["id", "queue", "kind", "args"];

/// A row as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub seq: i64,
    pub id: String,
    pub queue: String,
    pub kind: String,
    /// Absent if they are larger than what was asked for.
    pub args: Option<String>,
    pub args_bytes: u64,
    /// Absent if they are larger than [`MAX_OPTIONS_BYTES`].
    pub options: Option<String>,
    /// For how long it has been waiting, by the database's clock.
    pub age: Duration,
    /// Whether the broker has confirmed it before.
    pub sent: bool,
}

impl Row {
    /// The job, or why there cannot be one. A delay counts from the insert.
    pub fn job(&self, max_payload: usize) -> Result<NewJob, String> {
        let Some(args) = &self.args else {
            let help = format!("insert at most {max_payload} bytes, or store the data and pass a reference to it");
            return Err(Invalid::new("args", format!("is {} bytes long", self.args_bytes), help).to_string());
        };
        let options = self.options.as_ref().ok_or_else(|| {
            Invalid::new("options", "is too long", format!("insert at most {MAX_OPTIONS_BYTES} bytes")).to_string()
        })?;
        let mut fields: BTreeMap<&str, RawJson> = serde_json::from_str(options).map_err(|error| {
            Invalid::new("options", format!("is not an object ({error})"), "insert a JSON object").to_string()
        })?;
        if let Some(name) = COLUMNS.into_iter().find(|name| fields.contains_key(name)) {
            return Err(
                Invalid::new("options", format!("contains {name:?}"), "use the column of that name").to_string()
            );
        }
        let raw = |text: String| serde_json::value::RawValue::from_string(text).map_err(|error| error.to_string());
        for (name, value) in [("id", &self.id), ("queue", &self.queue), ("kind", &self.kind)] {
            fields.insert(name, raw(json!(value).to_string())?);
        }
        fields.insert("args", raw(args.clone())?);
        let text = serde_json::to_string(&fields).map_err(|error| error.to_string())?;
        let mut job: NewJob = serde_json::from_str(&text).map_err(|error| without_place(&error))?;
        if let Some(delay) = &mut job.delay_ms {
            *delay = delay.saturating_sub(self.age.as_millis() as u64);
        }
        job.validate(max_payload).map_err(|invalid| invalid.to_string())?;
        Ok(job)
    }
}

/// The parser's sentence; its line and column are of a text that nobody wrote.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(sentence, _)| sentence).to_owned()
}

/// A job as the columns of a row.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub id: JobId,
    pub queue: String,
    pub kind: String,
    pub args: String,
    pub options: String,
}

impl NewRow {
    /// The row of a job whose id is known.
    pub fn of(id: &JobId, job: &NewJob) -> Result<Self, Invalid> {
        let odd = |error: serde_json::Error| Invalid::new("options", error.to_string(), "use what JSON can express");
        let text = serde_json::to_string(job).map_err(odd)?;
        let mut fields: BTreeMap<String, RawJson> = serde_json::from_str(&text).map_err(odd)?;
        fields.retain(|name, _| !COLUMNS.contains(&name.as_str()));
        Ok(Self {
            id: id.clone(),
            queue: job.queue.to_string(),
            kind: job.kind.to_string(),
            args: job.args.get().to_owned(),
            options: serde_json::to_string(&fields).map_err(odd)?,
        })
    }

    pub fn bytes(&self) -> u64 {
        (self.args.len() + self.options.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(args: &str, options: &str) -> Row {
        Row {
            seq: 1,
            id: "order:7".into(),
            queue: "mail".into(),
            kind: "email.send".into(),
            args: Some(args.into()),
            args_bytes: args.len() as u64,
            options: Some(options.into()),
            age: Duration::from_secs(2),
            sent: false,
        }
    }

    #[test]
    fn a_row_becomes_the_job_that_it_asks_for() {
        let options = r#"{"priority": 1, "tenant": "acme", "tags": ["a"], "unique": {"key": "k"}}"#;
        let job = row(r#"{ "n": 12345678901234567890.10 }"#, options).job(1_000).unwrap();
        assert_eq!(job.id.unwrap().as_str(), "order:7");
        assert_eq!(job.args.get(), r#"{ "n": 12345678901234567890.10 }"#, "byte for byte");
        assert_eq!((job.tenant.unwrap().as_str(), job.tags.len(), job.unique.is_some()), ("acme", 1, true));
    }

    #[test]
    fn a_delay_counts_from_the_insert() {
        let delay = |ms: u64| row("{}", &json!({ "delay_ms": ms }).to_string()).job(9).unwrap().delay_ms;
        assert_eq!((delay(5_000), delay(1_000)), (Some(3_000), Some(0)));
    }

    #[test]
    fn what_cannot_be_a_job_says_why() {
        let said = |options: &str| row("{}", options).job(1_000).unwrap_err();
        assert!(said(r#"{"priorty": 1}"#).contains("unknown field `priorty`"), "{}", said(r#"{"priorty": 1}"#));
        assert!(said(r#"{"id": "x"}"#).contains("options: contains \"id\""));
        assert!(said("[]").contains("options: is not an object"));
        assert!(said(r#"{"run_at": 1, "delay_ms": 1}"#).contains("run_at: is given together with delay_ms"));
        assert!(!said(r#"{"priority": 12}"#).contains("line"));
        let large = Row { args: None, args_bytes: 70_000, ..row("{}", "{}") };
        assert!(large.job(65_536).unwrap_err().contains("args: is 70000 bytes long; insert at most 65536 bytes"));
    }

    #[test]
    fn a_job_comes_back_from_its_row_as_it_was() {
        let mut job = row("[1, 2]", r#"{"priority": 1, "timeout_ms": 5, "metadata": {"a": "b"}}"#).job(99).unwrap();
        job.delay_ms = Some(10_000);
        let new = NewRow::of(job.id.as_ref().unwrap(), &job).unwrap();
        let again = Row { age: Duration::ZERO, kind: new.kind, ..row(&new.args, &new.options) }.job(99).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), serde_json::to_string(&job).unwrap());
    }
}
