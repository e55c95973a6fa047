//! `lovage schedule apply FILE`: makes the schedules of operators those of a file.

use clap::Args;
use lovage_core::ScheduleName;
use lovage_ledger::{Ledger, ManagedBy, Schedule};
use serde_json::json;

use super::put::{Done, put};
use super::{all, file, target};
use crate::commands::Context;
use crate::error::Outcome;
use crate::instant::Instant;
use crate::output::Table;
use crate::rooms;
use crate::schedules::Kinds;
use crate::trail::Trail;

/// Options of `schedule apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-", allow_hyphen_values = true)]
    file: String,
    /// Delete the schedules that operators have made and the file does not have
    #[arg(long)]
    prune: bool,
}

/// Runs the command. Nothing is written unless all of the file can be.
pub async fn run(context: &Context, args: &ApplyArgs) -> Outcome {
    let specs = file::read(&args.file)?;
    let ledger = rooms::required_ledger(context.config()).await?;
    let known = all(&ledger).await?;
    for spec in &specs {
        let by_code = |known: &Schedule| known.managed_by == ManagedBy::Code && known.spec.name == spec.name;
        if known.iter().any(by_code) || context.loaded.schedule(&spec.name).is_some() {
            return Err(super::by_code(context, &spec.name, "changed"));
        }
    }
    let gone: Vec<&ScheduleName> = known
        .iter()
        .filter(|schedule| args.prune && schedule.managed_by == ManagedBy::Operator)
        .map(|schedule| &schedule.spec.name)
        .filter(|name| specs.iter().all(|spec| spec.name != **name))
        .collect();
    if !gone.is_empty() {
        let names = gone.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        context.confirm(&format!("Delete {} schedules that {} does not have: {names}?", gone.len(), args.file))?;
    }
    let trail = Trail::open(context).await?;
    let kinds = Kinds::of(context.config(), &ledger);
    let mut done = Vec::with_capacity(specs.len() + gone.len());
    for spec in &specs {
        let warnings = kinds.warn(spec);
        done.push(Done { warnings, ..put(context, &ledger, &trail, spec).await? });
    }
    for name in gone {
        done.extend(delete(&ledger, &trail, name).await?);
    }
    context.output.many(&done, table)
}

async fn delete(ledger: &Ledger, trail: &Trail, name: &ScheduleName) -> Outcome<Option<Done>> {
    if ledger.delete_schedule(name).await? != Some(ManagedBy::Operator) {
        return Ok(None);
    }
    trail.record("schedule.delete", target(name), &json!({ "by": "apply --prune" })).await?;
    Ok(Some(Done { name: name.to_string(), status: "deleted", next_run: None, warnings: Vec::new() }))
}

fn table(done: &[Done]) -> Table {
    let mut table = Table::new(&["schedule", "", "next run"], "The file has no schedules.");
    for one in done {
        let next = match one.next_run {
            _ if one.status == "deleted" => String::new(),
            next => next.map_or_else(|| "never".to_owned(), |Instant(at)| Instant(at).to_string()),
        };
        table.row(vec![one.name.clone(), one.status.to_owned(), next]);
    }
    table
}
