//! `lovage queue pause` and `lovage queue resume`.

use clap::Args;
use lovage_broker::{Broker, NewPause};
use lovage_core::{BreakerState, QueueName};
use serde_json::json;

use super::subject::{self, PausableArgs};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::instant;
use crate::instant::Instant;
use crate::output::capital;
use crate::trail::Trail;
use lovage_core::duration;

/// Options of `queue pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The queue
    queue: QueueName,
    /// Whom to pause.
    #[command(flatten)]
    subject: PausableArgs,
    /// Why, for whoever finds the queue paused
    #[arg(long, default_value = "")]
    why: String,
    /// Who, if not the user of this shell
    #[arg(long)]
    by: Option<String>,
    /// Resume by itself after this time, e.g. 30m
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true, conflicts_with = "until")]
    duration: Option<String>,
    /// Resume by itself at this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,
}

/// Options of `queue resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The queue
    queue: QueueName,
    /// Whom to resume.
    #[command(flatten)]
    subject: PausableArgs,
}

/// Stops claims.
pub async fn pause(context: &Context, broker: &dyn Broker, args: PauseArgs) -> Outcome {
    let until = match (&args.duration, &args.until) {
        (Some(text), _) => {
            let wait = duration::parse(text).map_err(|problem| Failure::usage("for", format!("--for: {problem}")))?;
            Some(Context::now().plus(wait))
        }
        (None, Some(text)) => {
            Some(instant::parse(text).map_err(|problem| Failure::usage("until", format!("--until: {problem}")))?)
        }
        (None, None) => None,
    };
    let subject = args.subject.subject();
    let trail = Trail::open(context).await?;
    let by = args.by.unwrap_or_else(crate::config::user);
    let pause = broker.pause(&args.queue, &subject, &NewPause { by, why: args.why, until }).await?;
    let answer = json!({
        "queue": args.queue,
        "subject": subject,
        "paused": { "by": pause.by, "why": pause.why, "since": Instant(pause.since), "until": pause.until.map(Instant) },
    });
    trail.record("queue.pause", format!("queue:{}", args.queue), &answer).await?;
    context.output.one(&answer, || {
        let name = capital(&subject::name(&args.queue, &subject));
        match pause.until {
            Some(until) => format!("{name} is paused until {}.", Instant(until)),
            None => format!("{name} is paused until `{}`.", args.subject.resume(&args.queue)),
        }
    })
}

/// Lets claims through again.
pub async fn resume(context: &Context, broker: &dyn Broker, args: &ResumeArgs) -> Outcome {
    let subject = args.subject.subject();
    let trail = Trail::open(context).await?;
    let before = subject::flow(broker, &args.queue, &subject).await?;
    let resumed = broker.resume(&args.queue, &subject).await?;
    let breaker = before.as_ref().and_then(|flow| flow.breaker.as_ref()).map(|breaker| breaker.state);
    let closed = resumed && breaker.is_some_and(|state| state != BreakerState::Closed);
    // The broker answers yes for either; whoever was quicker than our look leaves a pause as the likelier one.
    let paused = resumed && (!closed || before.is_some_and(|flow| flow.paused.is_some()));
    let answer = json!({ "queue": args.queue, "subject": subject, "was_paused": paused, "breaker_was": breaker });
    trail.record("queue.resume", format!("queue:{}", args.queue), &answer).await?;
    context.output.one(&answer, || {
        let name = capital(&subject::name(&args.queue, &subject));
        match (paused, closed) {
            (_, true) => format!("{name} is resumed; its breaker is closed."),
            (true, false) => format!("{name} is resumed."),
            (false, false) => format!("{name} was not paused."),
        }
    })
}
