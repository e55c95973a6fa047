//! `lovage queue purge`: deletes what waits, slice by slice.

use clap::Args;
use lovage_broker::{Broker, BulkAction};
use lovage_core::{QueueName, State};
use serde_json::json;

use super::JobState;
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::trail::Trail;

/// Options of `queue purge`.
#[derive(Debug, Args)]
pub struct PurgeArgs {
    /// The queue
    queue: QueueName,
    /// Only jobs in these states [default: available, scheduled, retryable]
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<JobState>,
    /// Show how many jobs would be deleted and delete none
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub async fn run(context: &Context, broker: &dyn Broker, args: &PurgeArgs) -> Outcome {
    let states: Vec<State> = if args.state.is_empty() {
        vec![State::Available, State::Scheduled, State::Retryable]
    } else {
        args.state.iter().copied().map(State::from).collect()
    };
    if states.contains(&State::Running) {
        return Err(Failure::usage(
            "state",
            "state: running jobs cannot be purged; cancel them with `lovage job cancel`",
        ));
    }
    let counts = broker.queue(&args.queue).await?.counts;
    let found: u64 = states.iter().map(|state| counts.of(*state)).sum();
    let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
    let queue = &args.queue;
    if args.dry_run {
        let answer = json!({ "queue": queue, "states": names, "would_delete": found });
        return context.output.one(&answer, || format!("{found} jobs of queue {queue} would be deleted."));
    }
    if found > 0 {
        context.confirm(&format!("Delete {found} jobs ({}) of queue {queue}?", names.join(", ")))?;
    }
    let trail = Trail::open(context).await?;
    let mut deleted = 0;
    for state in states {
        deleted += bulk(broker, queue, state, BulkAction::Delete).await?;
    }
    let answer = json!({ "queue": queue, "states": names, "deleted": deleted });
    trail.record("queue.purge", format!("queue:{queue}"), &answer).await?;
    context.output.one(&answer, || format!("{deleted} jobs of queue {queue} are deleted."))
}

/// Does `action` to all jobs in a state, slice by slice, and answers how many.
pub async fn bulk(broker: &dyn Broker, queue: &QueueName, state: State, action: BulkAction) -> Outcome<u64> {
    let mut done = 0;
    let mut cursor = None;
    loop {
        let progress = broker.bulk(queue, state, action, cursor).await?;
        done += progress.done;
        cursor = progress.cursor;
        if cursor.is_none() {
            return Ok(done);
        }
    }
}
