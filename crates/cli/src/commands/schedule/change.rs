//! `lovage schedule change`: some fields of a schedule, the others stay.

use std::collections::BTreeMap;

use clap::Args;
use lovage_core::schedule::{FIELDS, ScheduleSpec};
use lovage_core::{RawJson, ScheduleName, nearest};
use lovage_ledger::{Change, ManagedBy};

use super::options::SpecArgs;
use super::put::{put, sentence};
use super::{by_code, find};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::rooms;
use crate::schedules::{self, Field, Kinds};
use crate::trail::Trail;

/// Options of `schedule change`.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// The schedule
    name: ScheduleName,
    #[command(flatten)]
    spec: SpecArgs,
    /// Leave a field out from now on, e.g. jitter; may be given again
    #[arg(long, value_name = "FIELD")]
    unset: Vec<String>,
}

/// Runs the command.
pub async fn run(context: &Context, args: &ChangeArgs) -> Outcome {
    let given = args.spec.fields()?;
    if given.is_empty() && args.unset.is_empty() {
        let message =
            "say what is to be changed, e.g. --cron '0 3 * * *'; `lovage schedule change --help` has all fields";
        return Err(Failure::usage("field", message.to_owned()));
    }
    for field in &args.unset {
        check_unset(field)?;
    }
    let ledger = rooms::required_ledger(context.config()).await?;
    let known = find(&ledger, &args.name).await?;
    if known.managed_by == ManagedBy::Code {
        return Err(by_code(context, &args.name, "changed"));
    }
    let spec = schedules::spec(&changed(&known.spec, given, &args.unset)?)?;
    let trail = Trail::open(context).await?;
    let specs = std::slice::from_ref(&spec);
    let change = Change { specs, replace: true, revision: Some(known.revision), remove: &[], rehearse: false };
    let mut done = put(context, &ledger, Some(&trail), change).await?.remove(0);
    done.warnings = Kinds::of(context.config(), &ledger).warn(&spec);
    let now = ledger.now().await?;
    context.output.one(&done, || sentence(&done, &spec, now))
}

fn check_unset(field: &str) -> Outcome {
    if ["name", "cron", "queue", "kind"].contains(&field) {
        return Err(Failure::usage("unset", format!("unset: {field} cannot be left out; give it another value")));
    }
    if !FIELDS.contains(&field) {
        let help = nearest(field, FIELDS)
            .map_or_else(|| format!("there are {}", FIELDS.join(", ")), |known| format!("did you mean {known}?"));
        return Err(Failure::usage("unset", format!("unset: there is no field {field}; {help}")));
    }
    Ok(())
}

/// The fields of a schedule when some were given and others are left out.
fn changed(spec: &ScheduleSpec, given: Vec<Field>, unset: &[String]) -> Outcome<Vec<Field>> {
    let failed = |error: serde_json::Error| Failure::Failed(format!("schedule {} cannot be read: {error}", spec.name));
    let known = serde_json::to_string(spec).map_err(failed)?;
    let known: BTreeMap<String, RawJson> = serde_json::from_str(&known).map_err(failed)?;
    let mut fields: BTreeMap<String, String> =
        known.into_iter().map(|(field, json)| (field, json.get().to_owned())).collect();
    fields.retain(|field, _| !unset.contains(field));
    fields.extend(given);
    Ok(fields.into_iter().collect())
}
