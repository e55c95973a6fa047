//! `lovage schedule apply FILE`: makes the schedules of operators those of a file.

use std::collections::HashSet;
use std::fmt::Write as _;

use clap::Args;
use lovage_core::ScheduleName;
use lovage_core::schedule::ScheduleSpec;
use lovage_ledger::{Change, Ledger, ManagedBy};

use super::put::{Done, put};
use super::{all, file};
use crate::commands::Context;
use crate::error::Outcome;
use crate::instant::Instant;
use crate::output::Table;
use crate::rooms;
use crate::schedules::Kinds;
use crate::trail::Trail;

/// How many of those that are to be deleted are named in the question.
const NAMED: usize = 10;

/// Options of `schedule apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-", allow_hyphen_values = true)]
    file: String,
    /// Delete the schedules that operators have made and the file does not have
    #[arg(long)]
    prune: bool,
    /// Only show what would become of the schedules
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command. Nothing is written unless all of the file can be.
pub async fn run(context: &Context, args: &ApplyArgs) -> Outcome {
    let specs = file::read(&args.file)?;
    let ledger = rooms::required_ledger(context.config()).await?;
    if let Some(spec) = specs.iter().find(|spec| context.loaded.schedule(&spec.name).is_some()) {
        return Err(super::by_code(context, &spec.name, "changed"));
    }
    let gone = if args.prune { others(&ledger, &specs).await? } else { Vec::new() };
    if !gone.is_empty() && !args.dry_run {
        let mut names = gone.iter().take(NAMED).map(ScheduleName::as_str).collect::<Vec<_>>().join(", ");
        if gone.len() > NAMED {
            let _ = write!(names, " and {} more", gone.len() - NAMED);
        }
        let schedules = if gone.len() == 1 { "schedule" } else { "schedules" };
        let file = if args.file == "-" { "the input" } else { &args.file };
        context.confirm(&format!("Delete {} {schedules} that {file} does not have: {names}?", gone.len()))?;
    }
    let trail = if args.dry_run { None } else { Some(Trail::open(context).await?) };
    let change = Change { specs: &specs, replace: true, revision: None, remove: &gone, rehearse: args.dry_run };
    let mut done = put(context, &ledger, trail.as_ref(), change).await?;
    let kinds = Kinds::of(context.config(), &ledger);
    for (done, spec) in done.iter_mut().zip(&specs) {
        done.warnings = kinds.warn(spec);
    }
    context.output.many(&done, table)
}

/// The schedules of operators that the file does not have.
async fn others(ledger: &Ledger, specs: &[ScheduleSpec]) -> Outcome<Vec<ScheduleName>> {
    let kept: HashSet<&ScheduleName> = specs.iter().map(|spec| &spec.name).collect();
    let known = all(ledger).await?.into_iter().filter(|known| known.managed_by == ManagedBy::Operator);
    Ok(known.map(|known| known.spec.name).filter(|name| !kept.contains(name)).collect())
}

fn table(done: &[Done]) -> Table {
    let mut table = Table::new(&["schedule", "", "next run"], "The file has no schedules.");
    for one in done {
        let next = match one.next_run {
            _ if one.status == "deleted" => String::new(),
            next => next.map_or_else(|| "never".to_owned(), |Instant(at)| Instant(at).to_string()),
        };
        let status = match one.status {
            "same" => "as it was".to_owned(),
            status if one.dry_run => format!("would be {status}"),
            status => status.to_owned(),
        };
        table.row(vec![one.name.to_string(), status, next]);
    }
    table
}
