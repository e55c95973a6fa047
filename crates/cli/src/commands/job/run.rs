//! `lovage job run`: hands a job in and works it in this process until it ends, for shell scripts and cron lines.
//!
//! The job goes into a private queue that no other worker serves, so that this process runs this job and nothing
//! else. Private queues are few and reused (`run`, `run-2`, …): a process holds one by a leadership of that name.
//! What a killed process left in it is finished by the next one.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use lovage_broker::Broker;
use lovage_core::{JobId, JobView, Kind, NewJob, QueueName};
use lovage_payloads::AuditWrite;
use lovage_worker::{Registry, Shutdown, WorkerConfig, WorkerError, WorkerSummary};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{JobOptions, enqueue, watch};
use crate::commands::{Context, worker};
use crate::error::{Failure, Outcome};
use crate::{lifecycle, rooms};

/// Processes that may run jobs of their own at once on one broker.
const PRIVATE_QUEUES: u32 = 100;
/// How long a killed process keeps its private queue from others.
const HELD: Duration = Duration::from_secs(30);

/// Options of `job run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The handler that runs it, e.g. export.query
    kind: String,
    /// A queue to share with other workers: any of them may run the job, and this process runs theirs while it waits
    /// [default: a private queue that only this process works]
    #[arg(long, short = 'Q')]
    queue: Option<String>,
    /// What the job is.
    #[command(flatten)]
    options: JobOptions,
    /// Give up after this time, e.g. 10m [default: never]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    wait_timeout: Option<String>,
}

/// Runs the command.
pub async fn run(context: &Context, args: RunArgs) -> Outcome {
    let limit = watch::limit(args.wait_timeout.as_deref())?;
    if args.queue.is_none() && args.options.has_identity() {
        let message = "queue: --id and --unique-key mean something within one queue; name it with --queue";
        return Err(Failure::usage("queue", message));
    }
    let config = context.config();
    let shared: Option<QueueName> = args.queue.as_deref().map(str::parse).transpose()?;
    // Read and checked before anything is opened; the private queue's name follows.
    let named = shared.clone().map_or_else(|| "run".parse(), Ok)?;
    let mut job = args.options.job(&args.kind, named, Context::now())?;
    job.validate(config.max_payload_bytes)?;
    // Opened only if it may be needed: what works a shared queue may meet any kind.
    let needed = shared.is_some() || job.kind.as_str() == AuditWrite::KIND;
    let ledger = if needed { rooms::ledger(config).await? } else { None };
    let handlers = rooms::handlers(config, rooms::sources(config)?, ledger, config.debug_kinds)?;
    if shared.is_none() && !handlers.kinds().any(|known| *known == job.kind) {
        // Nobody else serves a private queue: the job would wait there for ever.
        return Err(unknown_kind(&job.kind, &handlers));
    }
    let broker = context.broker().await?;
    let settings = rooms::worker_config(config)?;
    let private = match shared {
        Some(_) => None,
        None => Some(PrivateQueue::take(&broker, "run", settings.id.as_str()).await?),
    };
    if let Some(private) = &private {
        job.queue = private.queue.clone();
    }
    let work = Work {
        broker: &broker,
        settings,
        handlers,
        limit,
        cancels: private.is_some(),
        announce: Some(|id| format!("Job {id} runs in this process.")),
    };
    let result = work.run(context, job).await;
    if let Some(private) = private {
        private.give_back().await;
    }
    watch::conclude(context.output, result?)
}

fn unknown_kind(kind: &Kind, handlers: &Registry) -> Failure {
    let known = handlers.kinds().map(Kind::as_str).collect::<Vec<_>>().join(", ");
    let hint = if kind.as_str().starts_with("debug.") { "; LOVAGE_DEBUG_KINDS=true adds the debug kinds" } else { "" };
    Failure::usage("kind", format!("kind: this process has no handler for \"{kind}\"; it has {known}{hint}"))
}

/// A job to be worked by this process.
pub struct Work<'a> {
    /// Where it is handed in.
    pub broker: &'a Arc<dyn Broker>,
    /// The worker's settings; its queue becomes the job's.
    pub settings: WorkerConfig,
    /// The worker's handlers.
    pub handlers: Registry,
    /// When to give up.
    pub limit: Option<Instant>,
    /// Whether giving up cancels the job: nobody else would run it.
    pub cancels: bool,
    /// What people are told once the job is handed in, if anything.
    pub announce: Option<fn(&JobId) -> String>,
}

impl Work<'_> {
    /// Hands the job in, works until it has ended and answers how. A signal or the limit ends it early.
    pub async fn run(self, context: &Context, job: NewJob) -> Outcome<JobView> {
        let signals = lifecycle::listen()?;
        let handed = enqueue::hand_in(&**self.broker, job).await?;
        if let Some(announce) = self.announce {
            context.output.note(&announce(&handed.id));
        }
        let shutdown = Shutdown::new();
        let settings = WorkerConfig { queues: vec![(handed.queue.clone(), 1)], ..self.settings };
        let running = rooms::worker(context.config(), settings, self.handlers).run(shutdown.clone());
        let mut running = tokio::spawn(running);
        let watching = watch::until_ended(&**self.broker, context.output, &handed.queue, &handed.id, self.limit);
        tokio::pin!(watching);
        let mut result = tokio::select! {
            result = &mut watching => result,
            ended = &mut running => return Err(early(ended)),
            () = signals.drain.cancelled() => Err(Failure::Failed(format!("job {} was interrupted", handed.id))),
        };
        if result.is_err() {
            result = Self::give_up(self.broker, self.cancels, &signals, &handed.queue, &handed.id, result).await;
        }
        shutdown.drain.cancel();
        tokio::select! {
            ended = &mut running => { ended.map_err(|error| worker::broken(&error))??; }
            () = signals.now.cancelled() => {
                shutdown.now.cancel();
                running.await.map_err(|error| worker::broken(&error))??;
            }
        }
        result
    }

    /// Cancels the job if nobody else would run it, and waits until that is done or a second signal comes.
    async fn give_up(
        broker: &Arc<dyn Broker>,
        cancels: bool,
        signals: &Shutdown,
        queue: &QueueName,
        id: &JobId,
        result: Outcome<JobView>,
    ) -> Outcome<JobView> {
        if cancels && broker.cancel(queue, id).await.is_ok() {
            let quiet = crate::output::Output { format: crate::output::Format::Table, quiet: true };
            let ended = watch::until_ended(&**broker, quiet, queue, id, Some(Instant::now() + HELD));
            tokio::select! {
                _ = ended => {}
                () = signals.now.cancelled() => {}
            }
        }
        result
    }
}

fn early(ended: Result<Result<WorkerSummary, WorkerError>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Ok(_)) => Failure::Failed("the worker ended before the job did; somebody told it to stop".into()),
        Ok(Err(error)) => error.into(),
        Err(error) => worker::broken(&error),
    }
}

/// A queue that only this process works.
pub struct PrivateQueue {
    /// Its name.
    pub queue: QueueName,
    broker: Arc<dyn Broker>,
    holder: String,
    _keeper: AbortOnDropHandle<()>,
}

impl PrivateQueue {
    /// Takes the first free one of `name`, `name-2`, `name-3`, …
    pub async fn take(broker: &Arc<dyn Broker>, name: &str, holder: &str) -> Outcome<Self> {
        for number in 1..=PRIVATE_QUEUES {
            let queue = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            if broker.lead(&leadership(&queue), holder, HELD).await?.is_some() {
                let keeper = tokio::spawn(keep(broker.clone(), queue.clone(), holder.to_owned()));
                return Ok(Self {
                    queue: queue.parse()?,
                    broker: broker.clone(),
                    holder: holder.to_owned(),
                    _keeper: AbortOnDropHandle::new(keeper),
                });
            }
        }
        Err(Failure::Conflict(format!(
            "{PRIVATE_QUEUES} processes work jobs of their own already; wait for one, or name a queue with --queue"
        )))
    }

    /// Lets others have it.
    pub async fn give_back(self) {
        // If the broker does not answer now, the time runs out by itself.
        let _ = self.broker.resign(&leadership(self.queue.as_str()), &self.holder).await;
    }
}

fn leadership(queue: &str) -> String {
    format!("private-queue:{queue}")
}

/// Keeps the leadership. Losing it harms nothing: another process would then help with this queue.
async fn keep(broker: Arc<dyn Broker>, queue: String, holder: String) {
    let mut pace = tokio::time::interval(HELD / 3);
    loop {
        pace.tick().await;
        let _ = broker.lead(&leadership(&queue), &holder, HELD).await;
    }
}
