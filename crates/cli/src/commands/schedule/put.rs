//! Schedules of operators as they are written into the ledger, for `add` and `apply`.

use jiff::tz::TimeZone;
use lovage_core::Timestamp;
use lovage_core::schedule::ScheduleSpec;
use lovage_ledger::{Ledger, Put};
use serde::Serialize;
use serde_json::Value;

use super::{by_code, target, zone_of};
use crate::commands::Context;
use crate::error::Outcome;
use crate::instant::Instant;
use crate::schedules::{local, upcoming};
use crate::trail::Trail;

/// What became of one schedule.
#[derive(Debug, Serialize)]
pub struct Done {
    pub name: String,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Instant>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Writes one and records it.
pub async fn put(context: &Context, ledger: &Ledger, trail: &Trail, spec: &ScheduleSpec) -> Outcome<Done> {
    let now = Context::now();
    let (status, action) = match ledger.put_schedule(spec, now).await? {
        Put::Added => ("added", Some("schedule.add")),
        Put::Changed => ("changed", Some("schedule.change")),
        Put::Same => ("same", None),
        Put::ManagedByCode => return Err(by_code(context, &spec.name, "changed")),
    };
    if let Some(action) = action {
        trail.record(action, target(&spec.name), &recorded(spec)).await?;
    }
    let next_run = upcoming(spec, &zone_of(spec), now).next().map(Instant);
    Ok(Done { name: spec.name.to_string(), status, next_run, warnings: Vec::new() })
}

/// The schedule without what its jobs carry, which may be large and is nobody else's business.
fn recorded(spec: &ScheduleSpec) -> Value {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|field, _| !matches!(field.as_str(), "name" | "args" | "metadata"));
    }
    value
}

/// When a schedule runs next, in words.
pub fn next_in_words(spec: &ScheduleSpec, now: Timestamp) -> String {
    let zone = zone_of(spec);
    match upcoming(spec, &zone, now).next() {
        None => "it never runs".to_owned(),
        Some(at) if zone == TimeZone::UTC => format!("next at {}", Instant(at)),
        Some(at) => format!("next at {} ({})", local(at, &zone), Instant(at)),
    }
}
