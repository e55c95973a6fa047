//! `lovage queue limit`: reads what is set, changes what was given, writes it back.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use lovage_broker::Broker;
use lovage_core::{Breaker, FlowView, Limits, QueueName, Rate, Subject};
use serde_json::json;

use super::subject::{self, SubjectArgs};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::output::{self, FlowLine};
use crate::rate;
use crate::trail::Trail;
use lovage_core::duration;

/// What takes a limit away.
const NONE: &str = "none";
/// How long a breaker stays open unless the caller says so.
const COOLDOWN: Duration = Duration::from_secs(30);

/// Options of `queue limit`.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// The queue
    queue: QueueName,
    /// Whom to limit.
    #[command(flatten)]
    subject: SubjectArgs,
    /// What to change.
    #[command(flatten)]
    changes: Changes,
    /// Take all limits away
    #[arg(long, conflicts_with = "Changes")]
    clear: bool,
}

/// The limits to change; `none` takes one away.
#[derive(Debug, Args)]
struct Changes {
    /// Jobs that run at once; 0 lets nothing start
    #[arg(long, value_name = "COUNT|none", allow_hyphen_values = true)]
    concurrency: Option<String>,
    /// One job of a key at a time, the next one only after the end of the one before, retries included
    #[arg(long)]
    ordered: bool,
    /// Take --ordered away
    #[arg(long, conflicts_with = "ordered")]
    no_ordered: bool,
    /// Attempts that start in a time: 100/s, 5/m, 1000/h, 10/250ms
    #[arg(long, value_name = "COUNT/TIME|none", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Attempts that may start at once after a quiet time [default: the count of --rate]
    #[arg(long, value_name = "COUNT|none", allow_hyphen_values = true)]
    burst: Option<String>,
    /// Jobs that may wait; what comes on top is refused
    #[arg(long, value_name = "COUNT|none", allow_hyphen_values = true)]
    depth: Option<String>,
    /// Share of a tenant beside the others [default: 1]
    #[arg(long, value_name = "WEIGHT|none", allow_hyphen_values = true)]
    weight: Option<String>,
    /// Failed jobs that come back in a time [default: 1000/s]
    #[arg(long, value_name = "COUNT/TIME|none", allow_hyphen_values = true)]
    retry_rate: Option<String>,
    /// Failures in a row that stop the queue or the kind for a while
    #[arg(long, value_name = "FAILURES|none", allow_hyphen_values = true)]
    breaker: Option<String>,
    /// For how long the breaker stops it, e.g. 30s [default: 30s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    cooldown: Option<String>,
}

/// Runs the command.
pub async fn run(context: &Context, broker: &dyn Broker, args: &LimitArgs) -> Outcome {
    let (queue, subject) = (&args.queue, args.subject.subject());
    let found = subject::flow(broker, queue, &subject).await?;
    let mut view = found.unwrap_or_else(|| nothing(&subject));
    if args.changes.is_empty() && !args.clear {
        return show(context, queue, view);
    }
    let before = view.limits;
    if args.clear {
        view.limits = Limits::default();
    } else {
        args.changes.apply(&mut view.limits)?;
    }
    view.limits.validate(&subject)?;
    let trail = Trail::open(context).await?;
    broker.limit(queue, &subject, &view.limits).await?;
    let answer = json!({ "queue": queue, "subject": subject, "limits": view.limits, "before": before });
    trail.record("queue.limit", format!("queue:{queue}"), &answer).await?;
    context.output.one(&answer, || {
        let name = subject::name(queue, &subject);
        let when = match subject {
            Subject::AnyTenant | Subject::AnyKey => " Workers follow within 30 s.",
            _ => "",
        };
        if view.limits.is_empty() {
            return format!("{} has no limits.{when}", output::capital(&name));
        }
        format!("Limits of {name}: {}.{when}", output::limits(&view.limits))
    })
}

fn show(context: &Context, queue: &QueueName, view: FlowView) -> Outcome {
    let line = FlowLine::from(view);
    context.output.one(&line, || line.page(queue, Context::now()))
}

fn nothing(subject: &Subject) -> FlowView {
    let (subject, limits) = (subject.clone(), Limits::default());
    FlowView { subject, limits, paused: None, breaker: None, used: None, waiting: None }
}

impl Changes {
    fn is_empty(&self) -> bool {
        let texts = [
            &self.concurrency,
            &self.rate,
            &self.burst,
            &self.depth,
            &self.weight,
            &self.retry_rate,
            &self.breaker,
            &self.cooldown,
        ];
        !self.ordered && !self.no_ordered && texts.iter().all(|text| text.is_none())
    }

    /// Changes what was given and leaves everything else.
    fn apply(&self, limits: &mut Limits) -> Outcome {
        change(&mut limits.concurrency, "concurrency", self.concurrency.as_deref(), number)?;
        change(&mut limits.depth, "depth", self.depth.as_deref(), number)?;
        change(&mut limits.weight, "weight", self.weight.as_deref(), number)?;
        limits.ordered = (limits.ordered || self.ordered) && !self.no_ordered;
        let burst = limits.rate.and_then(|rate| rate.burst);
        change(&mut limits.rate, "rate", self.rate.as_deref(), |option, text| {
            Ok(Rate { burst, ..rate(option, text)? })
        })?;
        change(&mut limits.retry_rate, "retry-rate", self.retry_rate.as_deref(), rate)?;
        if self.burst.is_some() {
            let Some(rate) = &mut limits.rate else {
                return Err(Failure::usage("burst", "--burst: there is no rate that it could belong to; add --rate"));
            };
            change(&mut rate.burst, "burst", self.burst.as_deref(), number)?;
        }
        let cooldown_ms = limits.breaker.map_or(COOLDOWN.as_millis() as u64, |breaker| breaker.cooldown_ms);
        change(&mut limits.breaker, "breaker", self.breaker.as_deref(), |option, text| {
            Ok(Breaker { failures: number(option, text)?, cooldown_ms })
        })?;
        if let Some(text) = &self.cooldown {
            let Some(breaker) = &mut limits.breaker else {
                let message = "--cooldown: there is no breaker that it could belong to; add --breaker FAILURES";
                return Err(Failure::usage("cooldown", message));
            };
            let cooldown = duration::parse(text);
            breaker.cooldown_ms = cooldown.map_err(|problem| bad("cooldown", &problem))?.as_millis() as u64;
        }
        Ok(())
    }
}

/// Puts what was given in place of what is there; `none` leaves nothing.
fn change<T>(
    limit: &mut Option<T>,
    option: &str,
    given: Option<&str>,
    read: impl Fn(&str, &str) -> Outcome<T>,
) -> Outcome {
    match given {
        None => {}
        Some(NONE) => *limit = None,
        Some(text) => *limit = Some(read(option, text)?),
    }
    Ok(())
}

fn bad(option: &str, problem: &str) -> Failure {
    Failure::usage(option, format!("--{option}: {problem}"))
}

fn number<T: FromStr>(option: &str, text: &str) -> Outcome<T> {
    let help = "use a whole number, or none to take the limit away";
    text.parse().map_err(|_| bad(option, &format!("{text:?} is not a number that can be used; {help}")))
}

fn rate(option: &str, text: &str) -> Outcome<Rate> {
    rate::parse(text).map_err(|problem| bad(option, &format!("{problem}, or none to take the limit away")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        for (text, count, per_ms) in
            [("100/s", 100, 1_000), ("5/m", 5, 60_000), ("1000/h", 1_000, 3_600_000), ("10/250ms", 10, 250)]
        {
            let read = rate("rate", text).unwrap();
            assert_eq!((read.count, read.per_ms), (count, per_ms), "{text}");
            assert_eq!(output::limits(&Limits { rate: Some(read), ..Limits::default() }), text);
        }
        for (bad, part) in [("100", "has no time"), ("x/s", "\"x\""), ("5/", "not a time"), ("5/y", "\"y\"")] {
            let text = rate("retry-rate", bad).unwrap_err().to_string();
            assert!(text.starts_with("--retry-rate: ") && text.contains(part), "{bad}: {text}");
        }
    }
}
