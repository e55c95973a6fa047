//! `lovage job …`: hands jobs in, looks at them and steers them. The walk of a job begins in `enqueue.rs`.

mod act;
pub mod enqueue;
mod history;
mod logs;
mod look;
mod ndjson;
mod new_job;
mod redrive;
mod run;
pub mod watch;

use clap::Subcommand;
use lovage_broker::Broker;
use lovage_core::{JobId, JobView, QueueName};

pub use history::PATIENCE;
pub use new_job::{JobOptions, json as args_json, metadata};
pub use run::{PrivateQueue, Work};
pub use watch::conclude;

use super::Context;
use crate::error::{Failure, Outcome};

/// Commands about jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Hand in a job, or a job a line from a file
    Enqueue(Box<enqueue::EnqueueArgs>),
    /// Hand in a job and work it in this process until it ends
    Run(Box<run::RunArgs>),
    /// Show one job with everything that is known about it
    Get(look::GetArgs),
    /// List jobs by queue and state, or search the history with --filter
    List(look::ListArgs),
    /// Cancel jobs: waiting ones at once, running ones as soon as their handler notices
    Cancel(act::ActArgs),
    /// Run jobs again that have ended, or now those that are due later
    Retry(redrive::RetryArgs),
    /// Discard waiting jobs: they are kept and can be retried
    Discard(act::ActArgs),
    /// Delete jobs with all that belongs to them; running ones stay
    Delete(act::ActArgs),
    /// Change a job that is not running
    Edit(act::EditArgs),
    /// Wait until jobs have ended
    Wait(watch::WaitArgs),
    /// Show the log lines of a job
    Logs(logs::LogsArgs),
}

/// Runs a command about jobs.
pub async fn run(context: &Context, command: JobCommand) -> Outcome {
    match command {
        JobCommand::Enqueue(args) => enqueue::run(context, *args).await,
        JobCommand::Run(args) => run::run(context, *args).await,
        JobCommand::Get(args) => look::get(context, &args).await,
        JobCommand::List(args) => look::list(context, &args).await,
        JobCommand::Cancel(args) => act::run(context, &args, act::Verb::Cancel, None).await,
        JobCommand::Retry(args) => redrive::run(context, &args).await,
        JobCommand::Discard(args) => act::run(context, &args, act::Verb::Discard, None).await,
        JobCommand::Delete(args) => act::run(context, &args, act::Verb::Delete, None).await,
        JobCommand::Edit(args) => act::edit(context, args).await,
        JobCommand::Wait(args) => watch::run(context, args).await,
        JobCommand::Logs(args) => logs::run(context, &args).await,
    }
}

/// The job with this id, in the given queue or in whichever has it.
async fn find(broker: &dyn Broker, queue: Option<&QueueName>, id: &JobId) -> Outcome<JobView> {
    let found = broker.job(queue, id).await?;
    found.ok_or_else(|| {
        let place = queue.map_or_else(|| "in any queue".to_owned(), |queue| format!("in queue {queue}"));
        Failure::NotFound(format!(
            "id: there is no job {id} {place}; it may have been deleted or its retention is over"
        ))
    })
}
