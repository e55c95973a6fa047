//! `lovage schedule list`.

use clap::Args;
use lovage_core::ScheduleName;
use lovage_ledger::{Ledger, Run, Schedule};

use super::zone_of;
use crate::commands::Context;
use crate::error::Outcome;
use crate::output::ScheduleLine;
use crate::rooms;

/// Ticks in which the last one with a job is looked for.
const LOOK: u32 = 20;

/// Options of `schedule list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Most schedules to show
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Show schedules after this one, by name
    #[arg(long, value_name = "NAME")]
    after: Option<ScheduleName>,
}

/// Runs the command.
pub async fn run(context: &Context, args: &ListArgs) -> Outcome {
    let ledger = rooms::required_ledger(context.config()).await?;
    let mut schedules = ledger.schedules(args.after.as_ref(), args.limit + 1).await?;
    let more = schedules.len() > args.limit as usize;
    schedules.truncate(args.limit as usize);
    let mut lines = Vec::with_capacity(schedules.len());
    for schedule in &schedules {
        let last = last_run(&ledger, schedule).await?;
        lines.push(ScheduleLine::new(schedule, &zone_of(&schedule.spec), last, Context::now()));
    }
    context.output.many(&lines, |lines| ScheduleLine::table(lines, Context::now()))?;
    if let Some(last) = schedules.last().filter(|_| more) {
        context.output.note(&format!("There are more than these: add --after {}, or --limit COUNT.", last.spec.name));
    }
    Ok(())
}

/// The latest tick that had a job.
pub async fn last_run(ledger: &Ledger, schedule: &Schedule) -> Outcome<Option<Run>> {
    let runs = ledger.runs(&schedule.spec.name, None, LOOK).await?;
    Ok(runs.into_iter().find(|run| run.job.is_some()))
}
