//! `lovage job logs`.

use std::time::Duration;

use clap::Args;
use lovage_core::{JobId, LogLevel, LogLine, QueueName};
use serde_json::json;

use crate::commands::Context;
use crate::error::Outcome;
use crate::instant::Instant;
use crate::output::{self, clean};

/// How often a followed log is read.
const PACE: Duration = Duration::from_millis(500);

/// Options of `job logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The job's id
    id: JobId,
    /// Its queue [default: whichever has it]
    #[arg(long, short = 'Q')]
    queue: Option<QueueName>,
    /// Go on until the job has ended
    #[arg(long, short)]
    follow: bool,
}

/// Runs the command. Programs get a JSON document a line with either JSON format: a followed log has no end to close
/// an array with.
pub async fn run(context: &Context, args: &LogsArgs) -> Outcome {
    let broker = context.broker().await?;
    let mut view = super::find(&*broker, args.queue.as_ref(), &args.id).await?;
    let queue = view.queue.clone();
    let mut cursor: Option<String> = None;
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        // The state is read before the lines: what an ended job wrote is complete.
        if cursor.is_some() || args.follow {
            view = super::find(&*broker, Some(&queue), &args.id).await?;
        }
        loop {
            let read = broker.logs(&queue, &args.id, cursor.as_deref()).await?;
            if read.lines.is_empty() {
                break;
            }
            for line in &read.lines {
                show(context, line)?;
            }
            cursor = read.next;
        }
        if !args.follow || view.state.is_final() {
            return Ok(());
        }
    }
}

fn show(context: &Context, line: &LogLine) -> Outcome {
    let level = match line.level {
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warn => "WARN",
        LogLevel::Error => "ERROR",
    };
    let at = Instant(line.at);
    if context.output.is_json() {
        let answer = json!({ "at": at, "attempt": line.attempt, "level": level.to_lowercase(), "text": line.text });
        return output::line(&answer.to_string());
    }
    output::line(&format!("{at} {level:<5} #{} {}", line.attempt, clean(&line.text)))
}
