//! `lovage job enqueue --ndjson`: a job a line. Each bad line is told with its number and does not hinder the others.

use lovage_broker::{Broker, EnqueueOutcome};
use lovage_core::NewJob;
use lovage_core::limits::MAX_BATCH_BYTES;
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::Context;
use crate::commands::lines::{Line, Lines};
use crate::error::{Failure, Outcome};
use crate::output::{self, Format, clean};

/// Most jobs of one call to the broker.
const BATCH: usize = 1_000;
/// What a line may hold beside its arguments.
const BESIDE_ARGS: usize = 64 * 1024;

/// What became of the lines.
#[derive(Debug, Default, Serialize)]
struct Summary {
    enqueued: u64,
    existing: u64,
    replaced: u64,
    refused: u64,
    /// Those of the refused ones that a full queue may take later, and when.
    #[serde(skip)]
    full: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    errors: Vec<Value>,
    #[serde(skip)]
    last_line: u64,
}

/// Most errors that the JSON summary repeats; standard error and `--output ndjson` have them all.
const MAX_ERRORS: usize = 1_000;

/// Runs the command.
pub async fn run(context: &Context, source: &str) -> Outcome {
    let mut lines = Lines::open("ndjson", source, context.config().max_payload_bytes + BESIDE_ARGS)?;
    let broker = context.broker().await?;
    // No call may carry more bytes of arguments than a broker takes, however large the single jobs are.
    let most = (MAX_BATCH_BYTES / context.config().max_payload_bytes).clamp(1, BATCH);
    let mut summary = Summary::default();
    let mut batch = Vec::with_capacity(BATCH);
    while lines.next(&mut batch, most).await > 0 {
        if let Err(failure) = hand_in(context, &*broker, &mut batch, &mut summary).await {
            lines.close();
            let message = format!("{failure}; the lines after {} were not handed in", summary.last_line);
            return Err(match failure {
                Failure::Unavailable(_) => Failure::Unavailable(message),
                Failure::OutputClosed => failure,
                _ => Failure::Failed(message),
            });
        }
    }
    lines.end().await?;
    if context.output.format != Format::Ndjson {
        context.output.one(&summary, || {
            format!(
                "{} enqueued, {} there before, {} replaced, {} refused.",
                summary.enqueued, summary.existing, summary.replaced, summary.refused
            )
        })?;
    }
    match summary.refused {
        0 => Ok(()),
        // Nothing is wrong with the lines: the same ones may go in later.
        refused if refused == summary.full => Err(Failure::Shown(6)),
        _ => Err(Failure::Shown(1)),
    }
}

async fn hand_in(context: &Context, broker: &dyn Broker, batch: &mut Vec<Line>, summary: &mut Summary) -> Outcome {
    let mut numbers = Vec::with_capacity(batch.len());
    let mut jobs: Vec<NewJob> = Vec::with_capacity(batch.len());
    let mut answers = Vec::with_capacity(batch.len());
    let last = batch.last().map_or(0, |line| line.number);
    for line in batch.drain(..) {
        let parsed = line.text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        match parsed {
            Ok(job) => {
                numbers.push(line.number);
                jobs.push(job);
            }
            Err(problem) => {
                let failure = Failure::Usage { field: None, message: problem };
                answers.push(summary.refuse(line.number, &failure));
            }
        }
    }
    let queues: Vec<_> = jobs.iter().map(|job| job.queue.clone()).collect();
    let outcomes = if jobs.is_empty() { Vec::new() } else { broker.enqueue(jobs).await? };
    for ((number, queue), outcome) in numbers.into_iter().zip(queues).zip(outcomes) {
        let (count, status) = match &outcome {
            EnqueueOutcome::Enqueued(_) => (&mut summary.enqueued, "enqueued"),
            EnqueueOutcome::Existing(_) => (&mut summary.existing, "existing"),
            EnqueueOutcome::Replaced(_) => (&mut summary.replaced, "replaced"),
            EnqueueOutcome::Refused(refused) => {
                answers.push(summary.refuse(number, &refused.clone().into()));
                continue;
            }
        };
        *count += 1;
        answers.push(json!({ "line": number, "id": outcome.id(), "queue": queue, "status": status }));
    }
    summary.last_line = last;
    if context.output.format == Format::Ndjson { context.output.many(&answers, no_table) } else { Ok(()) }
}

/// What is written a line at a time is never a table.
fn no_table(_: &[Value]) -> output::Table {
    output::Table::new(&[], "")
}

impl Summary {
    /// Tells of a refused line and answers what programs are told of it.
    fn refuse(&mut self, line: u64, failure: &Failure) -> Value {
        self.refused += 1;
        output::warn(&format!("error: line {line}: {}", clean(&failure.to_string())));
        if let Failure::Full(full) = failure {
            self.full += 1;
            self.retry_after_ms = self.retry_after_ms.max(Some(full.retry_after.as_millis() as u64));
        }
        let mut answer = failure.to_json();
        answer["line"] = json!(line);
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(answer.clone());
        }
        answer["status"] = json!("refused");
        answer
    }
}
