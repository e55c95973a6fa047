//! `lovage export new` hands an export to the workers, `lovage export run` makes it in this process: the same engine.

use clap::Args;
use lovage_core::{JobId, JobView, QueueName, State};

use super::made;
use super::options::ExportOptions;
use crate::commands::Context;
use crate::commands::job::{PrivateQueue, Work, conclude, enqueue, watch};
use crate::error::Outcome;
use crate::rooms;

/// Options of `export new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// What is exported.
    #[command(flatten)]
    options: ExportOptions,
    /// The queue that it joins
    #[arg(long, short = 'Q', default_value = "exports")]
    queue: QueueName,
    /// An id of your own: the same id twice is one export
    #[arg(long)]
    id: Option<String>,
    /// Wait until it has ended and print a link
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, e.g. 10m [default: for ever]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, requires = "wait")]
    wait_timeout: Option<String>,
}

/// Options of `export run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What is exported.
    #[command(flatten)]
    options: ExportOptions,
    /// Give up after this time, e.g. 10m [default: never]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    wait_timeout: Option<String>,
}

/// Runs `export new`.
pub async fn enqueue(context: &Context, args: NewArgs) -> Outcome {
    let config = context.config();
    let limit = watch::limit(args.wait_timeout.as_deref())?;
    let mut job = args.options.job(args.queue)?;
    job.id = args.id.as_deref().map(str::parse).transpose()?;
    job.validate(config.max_payload_bytes)?;
    let broker = context.broker().await?;
    let handed = enqueue::hand_in(&*broker, job).await?;
    if !args.wait {
        return context.output.one(&handed, || handed.sentence(context.output.quiet));
    }
    context.output.note(&handed.sentence(false));
    let view = watch::until_ended(&*broker, context.output, &handed.queue, &handed.id, limit).await?;
    conclude_export(context, view).await
}

/// Runs `export run`.
pub async fn run(context: &Context, args: RunArgs) -> Outcome {
    let config = context.config();
    let limit = watch::limit(args.wait_timeout.as_deref())?;
    let mut job = args.options.job("run".parse()?)?;
    job.validate(config.max_payload_bytes)?;
    let handlers = rooms::handlers(config, rooms::sources(config)?, None, false)?;
    let broker = context.broker().await?;
    let settings = rooms::worker_config(config)?;
    let private = PrivateQueue::take(&broker, "run", settings.id.as_str()).await?;
    job.queue = private.queue.clone();
    let announce = |id: &JobId| format!("Export {id} runs in this process.");
    let work = Work { broker: &broker, settings, handlers, limit, cancels: true, announce: Some(announce) };
    let result = work.run(context, job).await;
    private.give_back().await;
    conclude_export(context, result?).await
}

/// Shows the file, or the failure.
async fn conclude_export(context: &Context, view: JobView) -> Outcome {
    if view.state != State::Completed {
        return conclude(context.output, view);
    }
    let made = made::Made::of(context.config(), &view).await?;
    context.output.one(&made, || made.text())
}
