//! `lovage worker list|quiet|stop`: looks at running workers and tells them what to do.

use clap::{Args, Subcommand};
use lovage_broker::{Broker, Control};
use lovage_core::WorkerId;
use serde_json::json;

use super::Context;
use crate::error::{Failure, Outcome};
use crate::output::WorkerLine;
use crate::trail::Trail;

/// Commands about running workers.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Show the workers heard of within the last minute
    List,
    /// Tell workers to finish what they have and take nothing more
    Quiet(Which),
    /// Tell workers to finish what they have and exit
    Stop(Which),
}

/// Whom to tell.
#[derive(Debug, Args)]
pub struct Which {
    /// Ids from `lovage worker list`
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "WORKER")]
    ids: Vec<WorkerId>,
    /// All workers
    #[arg(long)]
    all: bool,
}

/// Runs a command about running workers.
pub async fn run(context: &Context, command: WorkerCommand) -> Outcome {
    let broker = context.broker().await?;
    match command {
        WorkerCommand::List => {
            let now = Context::now();
            let workers = broker.workers().await?;
            let lines: Vec<WorkerLine> = workers.into_iter().map(|view| WorkerLine::new(view, now)).collect();
            context.output.many(&lines, WorkerLine::table)
        }
        WorkerCommand::Quiet(which) => tell(context, &*broker, which, &Control::Quiet, "quiet").await,
        WorkerCommand::Stop(which) => tell(context, &*broker, which, &Control::Stop, "stop").await,
    }
}

async fn tell(context: &Context, broker: &dyn Broker, which: Which, control: &Control, verb: &str) -> Outcome {
    let mut ids = which.ids;
    if which.all {
        ids = broker.workers().await?.into_iter().map(|view| view.id).collect();
        if ids.is_empty() {
            return Err(Failure::NotFound("there are no workers to tell".into()));
        }
        context.confirm(&format!("Tell {} workers to {verb}?", ids.len()))?;
    }
    let trail = Trail::open(context).await?;
    for id in ids {
        if !broker.control(&id, control.clone()).await? {
            return Err(Failure::NotFound(format!("there is no worker {id}; `lovage worker list` shows them")));
        }
        let answer = json!({ "worker": id, "told": verb });
        trail.record(&format!("worker.{verb}"), format!("worker:{id}"), &answer).await?;
        context.output.one(&answer, || format!("Worker {id} was told to {verb}."))?;
    }
    Ok(())
}
