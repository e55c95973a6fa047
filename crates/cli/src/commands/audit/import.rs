//! `lovage audit import`: an event a line. Each bad line is told with its number and does not hinder the others.

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

/// Imports events.
pub async fn run(context: &Context, args: &ImportArgs) -> Outcome {
    let mut lines = Lines::open("file", &args.file, MAX_AUDIT_BYTES + BESIDE)?;
    let redaction = rooms::redaction(context.config())?;
    let ledger = rooms::required_ledger(context.config()).await?;
    let mut summary = Summary::default();
    let mut batch = Vec::with_capacity(BATCH);
    let mut last = 0;
    while lines.next(&mut batch, BATCH).await > 0 {
        let end = batch.last().map_or(last, |line| line.number);
        if let Err(error) = commit(&ledger, redaction.as_ref(), &mut batch, &mut summary).await {
            lines.close();
            let message = format!("{error}; the lines after {last} were not written, and may be sent again");
            return Err(Failure::Unavailable(message));
        }
        last = end;
    }
    lines.end().await?;
    context.output.one(&summary, || {
        format!("{} written, {} there before, {} refused.", summary.written, summary.duplicates, summary.refused)
    })?;
    if summary.refused == 0 { Ok(()) } else { Err(Failure::Shown(1)) }
}

async fn commit(
    ledger: &Ledger,
    redaction: Option<&Redaction>,
    batch: &mut Vec<Line>,
    summary: &mut Summary,
) -> Result<(), LedgerError> {
    let now = Context::now();
    let mut numbers = Vec::with_capacity(batch.len());
    let mut events: Vec<AuditEvent> = Vec::with_capacity(batch.len());
    for line in batch.drain(..) {
        let read = line.text.and_then(|text| {
            let mut draft: EventDraft = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if let Some(redaction) = redaction {
                redaction.apply(&mut draft);
            }
            draft.complete(event_id(now, &OsEntropy), now).map_err(|invalid| invalid.to_string())
        });
        match read {
            Ok(event) => {
                numbers.push(line.number);
                events.push(event);
            }
            Err(problem) => summary.refuse(line.number, &problem),
        }
    }
    for (number, kept) in numbers.into_iter().zip(ledger.append_each(&events).await) {
        match kept {
            Ok(Kept::New(_)) => summary.written += 1,
            Ok(Kept::Duplicate(_)) => summary.duplicates += 1,
            Ok(Kept::Conflict(seq)) => {
                summary
                    .refuse(number, &format!("id: is that of another event (record {seq}); send each under its own"));
            }
            Err(error @ (LedgerError::Refused(_) | LedgerError::Invalid(_))) => {
                summary.refuse(number, &error.to_string());
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
