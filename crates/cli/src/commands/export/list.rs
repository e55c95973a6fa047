//! `lovage export list`.

use clap::Args;
use lovage_artifacts::ListOptions;
use lovage_core::QueueName;

use crate::commands::Context;
use crate::error::Outcome;
use crate::output::ExportLine;
use crate::rooms;

/// Most entries that the storage gives at once.
const PAGE: usize = 500;

/// Options of `export list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The queue of the jobs
    #[arg(long, short = 'Q', default_value = "exports")]
    queue: QueueName,
    /// Most exports to show
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    limit: usize,
}

/// Lists exports.
pub async fn run(context: &Context, args: &ListArgs) -> Outcome {
    let store = rooms::store(context.config())?;
    let mut lines: Vec<ExportLine> = Vec::new();
    let mut unreadable = Vec::new();
    let mut after = None;
    loop {
        let limit = (args.limit - lines.len()).clamp(1, PAGE);
        let page = store.list(&ListOptions { queue: Some(args.queue.clone()), limit, after }).await?;
        unreadable.extend(page.unreadable);
        let found = page.items.into_iter();
        lines.extend(found.map(|item| ExportLine::new(item.manifest, item.deleted, |key| store.location(key))));
        after = page.next;
        if after.is_none() || lines.len() >= args.limit {
            break;
        }
    }
    lines.truncate(args.limit);
    context.output.many(&lines, |lines| ExportLine::table(lines, Context::now()))?;
    for problem in unreadable {
        context.output.note(&format!("Not shown: {problem}"));
    }
    if after.is_some() {
        context.output.note(&format!("There are more than these {}: add --limit COUNT.", lines.len()));
    }
    Ok(())
}
