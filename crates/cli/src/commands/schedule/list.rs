//! `lovage schedule list`.

use std::collections::HashMap;

use clap::Args;
use lovage_core::ScheduleName;
use lovage_ledger::Schedule;

use super::zone_of;
use crate::commands::Context;
use crate::error::Outcome;
use crate::output::{ScheduleLine, Table};
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
    let (schedules, mut next) = (page.schedules, page.next);
    if let Some(last) = &next
        && ledger.schedules(Some(last), 1).await?.schedules.is_empty()
    {
        next = None;
    }
    let mut last = match (schedules.first(), schedules.last()) {
        (Some(first), Some(last)) => ledger.last_runs(&first.spec.name, &last.spec.name).await?,
        _ => HashMap::new(),
    };
    let line = |schedule: &Schedule| {
        let last = last.remove(&schedule.spec.name);
        ScheduleLine::new(schedule, &zone_of(&schedule.spec), last, now)
    };
    let lines: Vec<ScheduleLine> = schedules.iter().map(line).collect();
    if let Some(after) = args.after.as_ref().filter(|_| lines.is_empty()) {
        context.output.note(&format!("There is no schedule after {after}."));
        return context.output.many(&lines, |_| Table::new(&[], ""));
    }
    context.output.many(&lines, |lines| ScheduleLine::table(lines, now))?;
    if let Some(last) = next {
        context.output.note(&format!("There are more than these: add --after {last}, or --limit COUNT."));
    }
    Ok(())
}
