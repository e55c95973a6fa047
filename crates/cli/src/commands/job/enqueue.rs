//! `lovage job enqueue`: one job from options, or a job a line from a file.

use clap::Args;
use lovage_broker::{Broker, EnqueueOutcome};
use lovage_core::{JobId, NewJob, QueueName};
use lovage_outbox::Handed as Spooled;
use serde::Serialize;

use super::{JobOptions, ndjson, watch};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::relaying;

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
    /// Keep the job in this file if the broker cannot be reached; `lovage outbox relay FILE` sends it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ndjson", "wait"])]
    spool: Option<String>,
}

/// What became of one job, for programs.
#[derive(Debug, Serialize)]
pub struct Handed {
    /// Its id, or that of the job that answers for it.
    pub id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// `enqueued`, `existing`, `replaced` or `spooled`.
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
    if let Some(file) = &args.spool {
        let handed = spool(context, file, job).await?;
        return context.output.one(&handed, || match handed.status {
            "spooled" if !context.output.quiet => {
                let Handed { id, queue, .. } = &handed;
                format!("Job {id} for queue {queue} is spooled, it will be sent by `lovage outbox relay {file}`.")
            }
            _ => handed.sentence(context.output.quiet),
        });
    }
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
    Handed::new(queue, outcome)
}

/// Hands in one job, or leaves it in the file.
async fn spool(context: &Context, file: &str, job: NewJob) -> Outcome<Handed> {
    let queue = job.queue.clone();
    let answer = relaying::spooled(context.config(), file).await?.enqueue(vec![job]).await?.pop();
    match answer {
        Some(Spooled::Answered(outcome)) => Handed::new(queue, outcome),
        Some(Spooled::Spooled(id)) => Ok(Handed { id, queue, status: "spooled" }),
        Some(Spooled::NoRoom(no_room)) => Err(Failure::Unavailable(format!("spool {file}: {no_room}"))),
        None => Err(Failure::Failed("the spool gave no answer to the job".into())),
    }
}

impl Handed {
    fn new(queue: QueueName, outcome: EnqueueOutcome) -> Outcome<Self> {
        let (id, status) = match outcome {
            EnqueueOutcome::Enqueued(id) => (id, "enqueued"),
            EnqueueOutcome::Existing(id) => (id, "existing"),
            EnqueueOutcome::Replaced(id) => (id, "replaced"),
            EnqueueOutcome::Refused(refused) => return Err(refused.into()),
        };
        Ok(Self { id, queue, status })
    }

    /// For people; only the id when that is all that is wanted.
    pub fn sentence(&self, only_id: bool) -> String {
        let Self { id, queue, status } = self;
        match *status {
            _ if only_id => id.to_string(),
            "existing" => format!("Job {id} was in queue {queue} before."),
            "replaced" => format!("Job {id} in queue {queue} has the new content."),
            _ => format!("Job {id} is in queue {queue}."),
        }
    }
}
