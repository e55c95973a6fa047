//! `lovage job retry`: jobs run again, all at once or no faster than a rate, so that whatever they failed on is not
//! overrun as soon as it is back.

use std::time::Duration;

use clap::Args;
use lovage_broker::{Broker, BrokerError, ListQuery};
use lovage_core::{QueueName, Rate, State};
use tokio::time::{Instant, sleep_until};

use super::act::{self, ActArgs, Verb};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::rate;

/// Jobs that are looked up at a time.
const PAGE: usize = 100;

/// Options of `job retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    which: ActArgs,
    /// With --all, no more than so many at a time, e.g. 50/s
    #[arg(long, value_name = "COUNT/TIME", requires = "all", allow_hyphen_values = true)]
    rate: Option<String>,
}

/// Runs the command.
pub async fn run(context: &Context, args: &RetryArgs) -> Outcome {
    let Some(text) = &args.rate else {
        return act::run(context, &args.which, Verb::Retry, None).await;
    };
    let rate = rate::parse(text).map_err(|problem| Failure::usage("rate", format!("--rate: {problem}")))?;
    rate.validate("rate")?;
    act::run(context, &args.which, Verb::Retry, Some(rate)).await
}

/// Runs the jobs of a queue that are in `state` again, one after the other and evenly, at `rate`. What a slow broker has held
/// up is not made up for. Answers how many. Those that come into the state meanwhile are left.
pub async fn paced(broker: &dyn Broker, queue: &QueueName, state: State, rate: Rate) -> Outcome<u64> {
    let pause = Duration::from_millis(rate.per_ms) / rate.count.max(1);
    let (mut next, mut done, mut cursor) = (Instant::now(), 0, None);
    loop {
        let page = broker.list(&ListQuery { queue: queue.clone(), state, limit: PAGE, cursor }).await?;
        for job in page.jobs {
            sleep_until(next).await;
            match broker.retry(queue, &job.id).await {
                Ok(()) => (done, next) = (done + 1, next.max(Instant::now()) + pause),
                // Somebody else did something with it since the page was read.
                Err(BrokerError::NotFound { .. } | BrokerError::Illegal(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(done);
        }
    }
}
