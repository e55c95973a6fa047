//! `lovage job enqueue`: one job from options, or a job a line from a file.

use clap::Args;
use lovage_broker::{Broker, EnqueueOutcome};
use lovage_core::{JobId, NewJob, QueueName};
use serde::Serialize;

use super::{JobOptions, ndjson, watch};
use crate::commands::Context;
use crate::error::{Failure, Outcome};

/// Options of `job enqueue`.
#[derive(Debug, Args)]
pub struct EnqueueArgs {
    /// The handler that runs it, e.g. export.query
    #[arg(required_unless_present = "ndjson", conflicts_with = "ndjson")]
    kind: Option<String>,
    /// The queue that it joins
    #[arg(long, short = 'Q', default_value = "default")]
    queue: String,
    /// What the job is.
    #[command(flatten)]
    options: JobOptions,
    /// Wait until it has ended and exit with its outcome
    #[arg(long, conflicts_with = "ndjson")]
    wait: bool,
    /// How long to wait at most, e.g. 10m [default: for ever]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, requires = "wait")]
    wait_timeout: Option<String>,
    /// Hand in a job a line from this file (- for standard input): {"queue", "kind", "args", ...}
    #[arg(long, value_name = "FILE|-", allow_hyphen_values = true)]
    ndjson: Option<String>,
}

/// What became of one job, for programs.
#[derive(Debug, Serialize)]
pub struct Handed {
    /// Its id, or that of the job that answers for it.
    pub id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// `enqueued`, `existing` or `replaced`.
    pub status: &'static str,
}

/// Runs the command.
pub async fn run(context: &Context, args: EnqueueArgs) -> Outcome {
    if let Some(source) = &args.ndjson {
        return ndjson::run(context, source).await;
    }
    let limit = watch::limit(args.wait_timeout.as_deref())?;
    let queue: QueueName = args.queue.parse()?;
    let job = args.options.job(args.kind.as_deref().unwrap_or_default(), queue, Context::now())?;
    // Said here as well as by the broker, so that a mistake is told even when no broker can be reached.
    job.validate(context.config().max_payload_bytes)?;
    let broker = context.broker().await?;
    let handed = hand_in(&*broker, job).await?;
    if !args.wait {
        return context.output.one(&handed, || handed.sentence(context.output.quiet));
    }
    context.output.note(&handed.sentence(false));
    let view = watch::until_ended(&*broker, context.output, &handed.queue, &handed.id, limit).await?;
    watch::conclude(context.output, view)
}

/// Hands in one job.
pub async fn hand_in(broker: &dyn Broker, job: NewJob) -> Outcome<Handed> {
    let queue = job.queue.clone();
    let outcome = broker.enqueue(vec![job]).await?.pop();
    let outcome = outcome.ok_or_else(|| Failure::Failed("the broker gave no answer to the job".into()))?;
    let (id, status) = match outcome {
        EnqueueOutcome::Enqueued(id) => (id, "enqueued"),
        EnqueueOutcome::Existing(id) => (id, "existing"),
        EnqueueOutcome::Replaced(id) => (id, "replaced"),
        EnqueueOutcome::Refused(refused) => return Err(refused.into()),
    };
    Ok(Handed { id, queue, status })
}

impl Handed {
    /// For people; only the id when that is all that is wanted.
    fn sentence(&self, only_id: bool) -> String {
        let Self { id, queue, status } = self;
        match *status {
            _ if only_id => id.to_string(),
            "existing" => format!("Job {id} was in queue {queue} before."),
            "replaced" => format!("Job {id} in queue {queue} has the new content."),
            _ => format!("Job {id} is in queue {queue}."),
        }
    }
}
