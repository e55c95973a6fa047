//! `lovage audit import`: an event a line. Each bad line is told with its number and does not hinder the others.

use std::sync::Arc;

use clap::Args;
use lovage_broker::OsEntropy;
use lovage_core::audit::{AuditEvent, EventDraft, MAX_AUDIT_BYTES, event_id};
use lovage_ledger::{Kept, Ledger, LedgerError, Redaction};
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use crate::commands::lines::{Line, Lines};
use crate::error::{Failure, Outcome};
use crate::output::{self, clean};
use crate::rooms;

/// Most events of one commit.
const BATCH: usize = 2_000;
/// What a line may hold beside the event's own texts: names of fields, and what JSON escapes.
const BESIDE: usize = MAX_AUDIT_BYTES;
/// Most errors that the JSON summary repeats; standard error has them all.
const MAX_ERRORS: usize = 1_000;

/// Options of `audit import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file, - for standard input
    #[arg(value_name = "FILE|-")]
    file: String,
}

/// What became of the lines.
#[derive(Debug, Default, Serialize)]
struct Summary {
    written: u64,
    duplicates: u64,
    refused: u64,
    errors: Vec<Value>,
}

/// Lines that were read: events with the numbers of their lines, and what is wrong with the others.
#[derive(Debug, Default)]
struct Read {
    events: Vec<AuditEvent>,
    numbers: Vec<u64>,
    refused: Vec<(u64, String)>,
    last: u64,
}

/// Imports events. The next lines are read while the last ones are committed.
pub async fn run(context: &Context, args: &ImportArgs) -> Outcome {
    let mut lines = Lines::open("file", &args.file, MAX_AUDIT_BYTES + BESIDE)?;
    let redaction = rooms::redaction(context.config())?.map(Arc::new);
    let ledger = rooms::required_ledger(context.config()).await?;
    let mut summary = Summary::default();
    let mut written = 0;
    let mut ready = next(&mut lines, redaction.as_ref()).await?;
    while ready.last > 0 {
        let (committed, following) =
            tokio::join!(commit(&ledger, &ready, &mut summary), next(&mut lines, redaction.as_ref()));
        if let Err(error) = committed {
            lines.close();
            let message = format!(
                "{error}; of the lines after {written} some may have been written: send them again if they have ids"
            );
            return Err(Failure::Unavailable(message));
        }
        written = ready.last;
        ready = following?;
    }
    lines.end().await?;
    context.output.one(&summary, || {
        format!("{} written, {} there before, {} refused.", summary.written, summary.duplicates, summary.refused)
    })?;
    if summary.refused == 0 { Ok(()) } else { Err(Failure::Shown(1)) }
}

/// The next lines; none at the end.
async fn next(lines: &mut Lines, redaction: Option<&Arc<Redaction>>) -> Outcome<Read> {
    let mut batch = Vec::with_capacity(BATCH);
    lines.next(&mut batch, BATCH).await;
    let redaction = redaction.cloned();
    let read = tokio::task::spawn_blocking(move || read(batch, redaction.as_deref()));
    read.await.map_err(|error| Failure::Failed(format!("reading events ended early: {error}")))
}

fn read(batch: Vec<Line>, redaction: Option<&Redaction>) -> Read {
    let now = Context::now();
    let mut found = Read { last: batch.last().map_or(0, |line| line.number), ..Read::default() };
    for line in batch {
        let event = line.text.and_then(|text| {
            let mut draft: EventDraft = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if let Some(redaction) = redaction {
                redaction.apply(&mut draft);
            }
            draft.complete(event_id(now, &OsEntropy), now).map_err(|invalid| invalid.to_string())
        });
        match event {
            Ok(event) => {
                found.numbers.push(line.number);
                found.events.push(event);
            }
            Err(problem) => found.refused.push((line.number, problem)),
        }
    }
    found
}

async fn commit(ledger: &Ledger, read: &Read, summary: &mut Summary) -> Result<(), LedgerError> {
    for (number, problem) in &read.refused {
        summary.refuse(*number, problem);
    }
    for (number, kept) in read.numbers.iter().zip(ledger.append_each(&read.events).await) {
        match kept {
            Ok(Kept::New(_)) => summary.written += 1,
            Ok(Kept::Duplicate(_)) => summary.duplicates += 1,
            Ok(Kept::Conflict(seq)) => {
                summary
                    .refuse(*number, &format!("id: is that of another event (record {seq}); send each under its own"));
            }
            Err(error @ (LedgerError::Refused(_) | LedgerError::Invalid(_))) => {
                summary.refuse(*number, &error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Summary {
    fn refuse(&mut self, line: u64, problem: &str) {
        self.refused += 1;
        output::warn(&format!("error: line {line}: {}", clean(problem)));
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(json!({ "line": line, "message": problem }));
        }
    }
}
