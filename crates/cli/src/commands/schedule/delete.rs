//! `lovage schedule delete`.

use clap::Args;
use lovage_core::ScheduleName;
use lovage_ledger::{Change, ManagedBy};
use serde_json::json;

use super::put::put;
use super::{by_code, find};
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
    let known = find(&ledger, name).await?;
    if known.managed_by == ManagedBy::Code && known.withdrawn_at.is_none() {
        return Err(by_code(context, name, "deleted"));
    }
    context.confirm(&format!("Delete schedule {name} with its history?"))?;
    let trail = Trail::open(context).await?;
    let change =
        Change { specs: &[], replace: false, revision: None, remove: std::slice::from_ref(name), rehearse: false };
    if put(context, &ledger, Some(&trail), change).await?.is_empty() {
        return Err(Failure::NotFound(format!("name: somebody else has deleted schedule {name} meanwhile")));
    }
    let answer = json!({ "name": name, "status": "deleted" });
    context.output.one(&answer, || format!("Schedule {name} is deleted; jobs that it has enqueued stay."))
}
