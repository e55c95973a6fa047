//! `lovage schedule history`: what became of a schedule's ticks.

use clap::Args;
use lovage_core::ScheduleName;

use super::find;
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::instant;
use crate::output::RunLine;
use crate::rooms;

/// Options of `schedule history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The schedule
    name: ScheduleName,
    /// Most ticks to show
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Show ticks before this one (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    before: Option<String>,
}

/// Runs the command.
pub async fn run(context: &Context, args: &HistoryArgs) -> Outcome {
    let before = args.before.as_deref().map(instant::parse).transpose();
    let before = before.map_err(|problem| Failure::usage("before", format!("--before: {problem}")))?;
    let ledger = rooms::required_ledger(context.config()).await?;
    let runs = ledger.runs(&args.name, before, args.limit).await?;
    let now = ledger.now().await?;
    if runs.is_empty() {
        // What the configuration has no more may still have a history.
        find(&ledger, &args.name).await?;
    }
    let lines: Vec<RunLine> = runs.into_iter().map(RunLine::from).collect();
    context.output.many(&lines, |lines| RunLine::table(lines, now))?;
    if let Some(last) = lines.last().filter(|_| lines.len() == args.limit as usize) {
        context.output.note(&format!("There may be more before these: add --before {}.", last.tick));
    }
    Ok(())
}
