//! `lovage schedule delete`.

use clap::Args;
use lovage_core::ScheduleName;
use lovage_ledger::ManagedBy;
use serde_json::json;

use super::{by_code, find, target};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::rooms;
use crate::trail::Trail;

/// Options of `schedule delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The schedule
    name: ScheduleName,
}

/// Runs the command.
pub async fn run(context: &Context, args: &DeleteArgs) -> Outcome {
    let name = &args.name;
    let ledger = rooms::required_ledger(context.config()).await?;
    if find(&ledger, name).await?.managed_by == ManagedBy::Code {
        return Err(by_code(context, name, "deleted"));
    }
    context.confirm(&format!("Delete schedule {name} with its history?"))?;
    let trail = Trail::open(context).await?;
    match ledger.delete_schedule(name).await? {
        Some(ManagedBy::Operator) => {}
        Some(ManagedBy::Code) => return Err(by_code(context, name, "deleted")),
        None => return Err(Failure::NotFound(format!("name: somebody else has deleted schedule {name} meanwhile"))),
    }
    let answer = json!({ "name": name, "status": "deleted" });
    trail.record("schedule.delete", target(name), &json!({})).await?;
    context.output.one(&answer, || format!("Schedule {name} is deleted; jobs that it has enqueued stay."))
}
