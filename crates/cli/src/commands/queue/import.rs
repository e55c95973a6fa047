//! `lovage queue import`: the way back of `export.rs`. The file is read twice: once to know that it is whole, once to
//! hand its jobs in. An id that the queue knows is left alone, so the command may be repeated.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use lovage_broker::{Broker, EnqueueOutcome, Refused};
use lovage_core::limits::MAX_BATCH_BYTES;
use lovage_core::{JobId, NewJob, QueueName, State, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::archive::{self, Head, Record};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::output::{self, Table, clean};

/// Most jobs of one call to the broker.
const BATCH: usize = 1_000;
/// Discards on their way at once.
const DISCARDS: usize = 64;
/// Most errors that the summary repeats; standard error has them all.
const MAX_ERRORS: usize = 1_000;
/// A discarded job comes in as one that is due in the year 2199, and is discarded before any worker could take it.
const PARKED: Timestamp = Timestamp::from_millis(7_226_582_400_000);

/// Options of `queue import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The queue that the jobs join; it may have another name than the exported one
    queue: QueueName,
    /// A file that `lovage queue export` wrote
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Check the file, show what is in it, and import nothing
    #[arg(long)]
    dry_run: bool,
}

/// What became of the jobs of one state.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Sort {
    imported: u64,
    existing: u64,
    refused: u64,
}

/// What became of the file.
#[derive(Debug, Serialize)]
struct Summary {
    queue: QueueName,
    exported_queue: QueueName,
    exported_at: String,
    dry_run: bool,
    states: BTreeMap<&'static str, Sort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    errors: Vec<Value>,
}

/// A job with the line and the state that it comes from.
struct Entry {
    line: u64,
    state: State,
    job: NewJob,
}

/// Runs the command.
pub async fn run(context: &Context, args: &ImportArgs) -> Outcome {
    let limit = context.config().max_payload_bytes;
    let path = args.file.display().to_string();
    let file = File::open(&args.file).map_err(|error| {
        Failure::usage("file", format!("file: {path} cannot be read ({error}); name a file of `lovage queue export`"))
    })?;
    let mut checked = Checked::default();
    let head = archive::read(BufReader::new(&file), |line, record| {
        checked.look(line, record, limit);
        Ok(())
    })?;
    let mut summary = Summary::new(args, head);
    if args.dry_run {
        summary.states = checked.states;
        for (line, failure) in checked.refused {
            summary.tell(line, &failure);
        }
        return summary.show(context);
    }
    let broker = context.broker().await?;
    import(&broker, file, &mut summary, (MAX_BATCH_BYTES / limit.max(1)).clamp(1, BATCH)).await?;
    summary.show(context)
}

/// What a dry run finds.
#[derive(Default)]
struct Checked {
    states: BTreeMap<&'static str, Sort>,
    refused: Vec<(u64, Failure)>,
}

impl Checked {
    fn look(&mut self, line: u64, record: Record, limit: usize) {
        let sort = self.states.entry(record.state.name()).or_default();
        match entry(line, record, None).job.validate(limit) {
            Ok(()) => sort.imported += 1,
            Err(invalid) => {
                sort.refused += 1;
                self.refused.push((line, invalid.into()));
            }
        }
    }
}

/// The job to enqueue.
fn entry(line: u64, record: Record, queue: Option<&QueueName>) -> Entry {
    let Record { state, mut job, .. } = record;
    if let Some(queue) = queue {
        job.queue = queue.clone();
    }
    if state == State::Discarded {
        (job.run_at, job.expires_at) = (Some(PARKED), None);
    }
    if let (Some(due), Some(expires)) = (job.run_at, job.expires_at)
        && due >= expires
    {
        // A retry that was due after its job's end: the job is to expire, and enqueueing knows no such pair.
        job.run_at = Some(expires.just_before());
    }
    Entry { line, state, job }
}

/// Reads the file again and hands its jobs in, batch by batch; ends early when the queue is full.
async fn import(broker: &Arc<dyn Broker>, mut file: File, summary: &mut Summary, most: usize) -> Outcome {
    file.rewind().map_err(|error| Failure::Failed(format!("the file cannot be read again: {error}")))?;
    let (sender, mut entries) = mpsc::channel(most);
    let queue = summary.queue.clone();
    let reader = tokio::task::spawn_blocking(move || {
        archive::read(BufReader::new(file), |line, record| {
            let sent = sender.blocking_send(entry(line, record, Some(&queue)));
            sent.map_err(|_| Failure::OutputClosed)
        })
    });
    let mut batch = Vec::with_capacity(most);
    while summary.retry_after_ms.is_none() && entries.recv_many(&mut batch, most).await > 0 {
        hand_in(broker, &mut batch, summary).await?;
    }
    drop(entries);
    let read = reader.await.map_err(|error| Failure::Failed(format!("reading the file ended early: {error}")))?;
    match read {
        // Nobody listened any more.
        Err(Failure::OutputClosed) => Ok(()),
        other => other.map(|_| ()),
    }
}

async fn hand_in(broker: &Arc<dyn Broker>, batch: &mut Vec<Entry>, summary: &mut Summary) -> Outcome {
    let lines: Vec<(u64, State)> = batch.iter().map(|entry| (entry.line, entry.state)).collect();
    let outcomes = broker.enqueue(batch.drain(..).map(|entry| entry.job).collect()).await?;
    let mut parked = Vec::new();
    for ((line, state), outcome) in lines.into_iter().zip(outcomes) {
        let sort = summary.states.entry(state.name()).or_default();
        match outcome {
            EnqueueOutcome::Refused(refused) => {
                sort.refused += 1;
                summary.refuse(line, refused);
            }
            EnqueueOutcome::Existing(id) => {
                sort.existing += 1;
                // An import that was interrupted may have left it behind.
                if state == State::Discarded && is_parked(broker, &summary.queue, &id).await? {
                    parked.push(id);
                }
            }
            EnqueueOutcome::Enqueued(id) | EnqueueOutcome::Replaced(id) => {
                sort.imported += 1;
                if state == State::Discarded {
                    parked.push(id);
                }
            }
        }
    }
    discard(broker, &summary.queue, parked).await
}

async fn is_parked(broker: &Arc<dyn Broker>, queue: &QueueName, id: &JobId) -> Outcome<bool> {
    let view = broker.job(Some(queue), id).await?;
    Ok(view.is_some_and(|view| view.state == State::Scheduled && view.due_at == Some(PARKED)))
}

async fn discard(broker: &Arc<dyn Broker>, queue: &QueueName, ids: Vec<JobId>) -> Outcome {
    let mut running = JoinSet::new();
    let mut ids = ids.into_iter();
    loop {
        while running.len() < DISCARDS
            && let Some(id) = ids.next()
        {
            let (broker, queue) = (broker.clone(), queue.clone());
            running.spawn(async move { broker.discard(&queue, &id).await });
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(done) => done.map_err(|error| Failure::Failed(format!("a discard ended early: {error}")))??,
        }
    }
}

impl Summary {
    fn new(args: &ImportArgs, head: Head) -> Self {
        Self {
            queue: args.queue.clone(),
            exported_queue: head.queue,
            exported_at: head.exported_at,
            dry_run: args.dry_run,
            states: BTreeMap::new(),
            retry_after_ms: None,
            errors: Vec::new(),
        }
    }

    fn refuse(&mut self, line: u64, refused: Refused) {
        if let Refused::Full(full) = &refused {
            self.retry_after_ms = self.retry_after_ms.max(Some(full.retry_after.as_millis() as u64));
        }
        self.tell(line, &refused.into());
    }

    fn tell(&mut self, line: u64, failure: &Failure) {
        output::warn(&format!("error: line {line}: {}", clean(&failure.to_string())));
        if self.errors.len() < MAX_ERRORS {
            let mut answer = failure.to_json();
            answer["line"] = json!(line);
            self.errors.push(answer);
        }
    }

    /// Shows what became of the file, and ends with the exit code for it.
    fn show(&self, context: &Context) -> Outcome {
        context.output.one(self, || {
            let word = if self.dry_run { "fit" } else { "imported" };
            let mut table = Table::new(&["state", word, "there before", "refused"], "The file has no jobs.");
            for (state, sort) in &self.states {
                let numbers = [sort.imported, sort.existing, sort.refused];
                table.row(std::iter::once((*state).to_owned()).chain(numbers.map(|n| n.to_string())).collect());
            }
            let (queue, at) = (&self.exported_queue, &self.exported_at);
            format!("The file is whole: queue {queue} as of {at}.\n{}", table.render().trim_end())
        })?;
        if self.retry_after_ms.is_some() {
            let full =
                "The queue is full. The same command goes on where it stopped: repeat it later, or lift --depth.";
            context.output.note(full);
            return Err(Failure::Shown(6));
        }
        if self.states.values().any(|sort| sort.refused > 0) { Err(Failure::Shown(1)) } else { Ok(()) }
    }
}
