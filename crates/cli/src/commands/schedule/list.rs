//! `lovage schedule list`.

use std::collections::HashMap;

use clap::Args;
use lovage_core::ScheduleName;
use lovage_ledger::Schedule;

use super::zone_of;
use crate::commands::Context;
use crate::error::Outcome;
use crate::output::ScheduleLine;
use crate::rooms;

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
    let now = ledger.now().await?;
    let page = ledger.schedules(args.after.as_ref(), args.limit).await?;
    let schedules = page.schedules;
    let mut last = match (schedules.first(), schedules.last()) {
        (Some(first), Some(last)) => ledger.last_runs(&first.spec.name, &last.spec.name).await?,
        _ => HashMap::new(),
    };
    let line = |schedule: &Schedule| {
        let last = last.remove(&schedule.spec.name);
        ScheduleLine::new(schedule, &zone_of(&schedule.spec), last, now)
    };
    let lines: Vec<ScheduleLine> = schedules.iter().map(line).collect();
    context.output.many(&lines, |lines| ScheduleLine::table(lines, args.after.as_ref(), now))?;
    if let Some(last) = page.next {
        context.output.note(&format!("There are more than these: add --after {last}, or --limit COUNT."));
    }
    Ok(())
}
