//! Changes of schedules as they are written into the ledger, recorded and told: for `add`, `apply` and `delete`.

use jiff::tz::TimeZone;
use lovage_core::schedule::ScheduleSpec;
use lovage_core::{ScheduleName, Timestamp};
use lovage_ledger::{Change, Ledger, Put};
use lovage_scheduler::first_tick;
use serde::Serialize;
use serde_json::{Value, json};

use super::{by_code, target, zone_of};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::instant::Instant;
use crate::schedules::{local, upcoming};
use crate::trail::Trail;

/// What became of one schedule.
#[derive(Debug, Serialize)]
pub struct Done {
    pub name: ScheduleName,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Instant>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Writes a change and records it, all or nothing. Without a trail it is only rehearsed.
pub async fn put(context: &Context, ledger: &Ledger, trail: Option<&Trail>, change: Change<'_>) -> Outcome<Vec<Done>> {
    let change = Change { rehearse: trail.is_none(), ..change };
    let put = ledger.put_schedules(change, first_tick).await?;
    if let Some((name, refused)) = put.iter().find(|(_, put)| put.is_refused()) {
        let removed = change.remove.contains(name);
        return Err(match refused {
            Put::ManagedByCode => by_code(context, name, if removed { "deleted" } else { "changed" }),
            Put::Outdated => Failure::Conflict(format!(
                "name: somebody else has changed schedule {name} meanwhile; look at it and try again"
            )),
            _ => Failure::Conflict(format!(
                "name: there is a schedule {name} already; add --replace to change it, or choose another name"
            )),
        });
    }
    let now = ledger.now().await?;
    let mut drafts = Vec::new();
    let mut done = Vec::with_capacity(put.len());
    for (index, (name, put)) in put.into_iter().enumerate() {
        // Those that are to be there come first, in their order.
        let spec = change.specs.get(index);
        let (status, action) = match put {
            Put::Added => ("added", Some("schedule.add")),
            Put::Changed => ("changed", Some("schedule.change")),
            Put::Removed => ("deleted", Some("schedule.delete")),
            Put::Same | Put::Exists | Put::Outdated | Put::ManagedByCode => ("same", None),
        };
        if let (Some(trail), Some(action)) = (trail, action) {
            drafts.push(trail.draft(action, target(&name), &spec.map_or_else(|| json!({}), recorded))?);
        }
        let next_run = spec.and_then(|spec| first_tick(spec, now)).map(Instant);
        done.push(Done { name, status, next_run, dry_run: change.rehearse, warnings: Vec::new() });
    }
    if let Some(trail) = trail {
        trail.record_all(drafts).await?;
    }
    Ok(done)
}

/// The schedule without what its jobs carry, which may be large and is nobody else's business.
fn recorded(spec: &ScheduleSpec) -> Value {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|field, _| !matches!(field.as_str(), "name" | "args" | "metadata"));
    }
    value
}

/// What became of one, in words.
pub fn sentence(done: &Done, spec: &ScheduleSpec, now: Timestamp) -> String {
    let status = if done.status == "same" { "as it was" } else { done.status };
    format!("Schedule {} is {status}: {}, {}.", spec.name, spec.cron.describe(), next_in_words(spec, now))
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
