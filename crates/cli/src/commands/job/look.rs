//! `lovage job get` and `lovage job list`.

use clap::Args;
use lovage_broker::{Broker, ListQuery};
use lovage_core::limits::MAX_PAGE;
use lovage_core::{JobId, JobView, Kind, QueueName, State};

use super::history;
use crate::commands::Context;
use crate::commands::queue::JobState;
use crate::error::Outcome;
use crate::output::JobLine;

/// Options of `job get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The job's id
    id: JobId,
    /// Its queue [default: whichever has it]
    #[arg(long, short = 'Q')]
    queue: Option<QueueName>,
}

/// Options of `job list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this queue [default: all]
    #[arg(long, short = 'Q')]
    queue: Option<QueueName>,
    /// Only these states [default: all]
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<JobState>,
    /// Only this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only jobs with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Most jobs to show
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    limit: usize,
    /// Show all jobs
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Search the history of all queues, e.g. 'state:discarded kind:export.* created:<7d args.user.id:42'
    #[arg(long, value_name = "FILTER", conflicts_with_all = ["queue", "state", "kind", "tag"])]
    filter: Option<String>,
    /// Go on where an earlier search ended
    #[arg(long, value_name = "CURSOR", requires = "filter", conflicts_with = "all")]
    cursor: Option<String>,
}

/// Shows one job.
pub async fn get(context: &Context, args: &GetArgs) -> Outcome {
    let line = history::with_attempts(context, args.queue.as_ref(), &args.id).await?;
    context.output.one(&line, || line.page(Context::now()))
}

/// Lists jobs.
pub async fn list(context: &Context, args: &ListArgs) -> Outcome {
    if let Some(filter) = &args.filter {
        let limit = if args.all { usize::MAX } else { args.limit };
        return history::search(context, filter, limit, args.cursor.clone()).await;
    }
    let broker = context.broker().await?;
    let limit = if args.all { usize::MAX } else { args.limit };
    // One more than wanted tells whether there are more.
    let mut views = collect(&*broker, args, limit.saturating_add(1)).await?;
    let more = views.len() > limit;
    views.truncate(limit);
    let lines: Vec<JobLine> = views.into_iter().map(JobLine::from).collect();
    context.output.many(&lines, |lines| JobLine::table(lines, Context::now()))?;
    if more {
        context.output.note(&format!("There are more than these {limit}: add --limit COUNT or --all."));
    }
    Ok(())
}

async fn collect(broker: &dyn Broker, args: &ListArgs, wanted: usize) -> Outcome<Vec<JobView>> {
    let queues = match &args.queue {
        Some(queue) => vec![queue.clone()],
        None => broker.queues().await?.into_iter().map(|view| view.name).collect(),
    };
    let states: Vec<State> =
        if args.state.is_empty() { State::ALL.to_vec() } else { args.state.iter().copied().map(State::from).collect() };
    let mut found = Vec::new();
    for queue in &queues {
        for &state in &states {
            let mut cursor = None;
            loop {
                if found.len() >= wanted {
                    return Ok(found);
                }
                let limit = (wanted - found.len()).min(MAX_PAGE);
                let query = ListQuery { queue: queue.clone(), state, limit, cursor };
                let page = broker.list(&query).await?;
                found.extend(page.jobs.into_iter().filter(|view| matches(args, view)));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
    }
    found.truncate(wanted);
    Ok(found)
}

fn matches(args: &ListArgs, view: &JobView) -> bool {
    let kind = args.kind.as_ref().is_none_or(|kind| view.kind.as_ref() == Some(kind));
    kind && args.tag.as_ref().is_none_or(|tag| view.tags.contains(tag))
}
