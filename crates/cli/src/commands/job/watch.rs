//! Waiting for a job's end, with progress for people: `lovage job wait`, `--wait`, `job run` and `demo`.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use lovage_broker::Broker;
use lovage_core::{JobId, JobView, QueueName, State};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::output::{JobLine, Output, clean, progress_text};
use lovage_core::duration;

/// The first look comes after this time, each further one after twice as long up to [`SLOWEST`].
const FASTEST: Duration = Duration::from_millis(25);
const SLOWEST: Duration = Duration::from_millis(100);

/// Options of `job wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// The jobs' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobId>,
    /// Their queue [default: whichever has them]
    #[arg(long, short = 'Q')]
    queue: Option<QueueName>,
    /// How long to wait for all of them, e.g. 10m [default: for ever]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    timeout: Option<String>,
}

/// Waits for jobs, one after the other; all must have completed for exit code 0.
pub async fn run(context: &Context, args: WaitArgs) -> Outcome {
    let limit = limit(args.timeout.as_deref())?;
    let broker = context.broker().await?;
    let mut first = None;
    for id in &args.ids {
        let queue = super::find(&*broker, args.queue.as_ref(), id).await?.queue;
        let view = until_ended(&*broker, context.output, &queue, id, limit).await?;
        match conclude(context.output, view) {
            Err(failure) if args.ids.len() > 1 => {
                context.output.failure(&failure);
                first.get_or_insert(failure.code());
            }
            other => other?,
        }
    }
    first.map_or(Ok(()), |code| Err(Failure::Shown(code)))
}

/// The instant after which a wait is over.
pub fn limit(text: Option<&str>) -> Outcome<Option<Instant>> {
    let Some(text) = text else { return Ok(None) };
    let wait = duration::parse(text).map_err(|problem| Failure::usage("timeout", format!("timeout: {problem}")))?;
    Ok(Instant::now().checked_add(wait))
}

/// Waits until the job has ended. A broker that cannot be reached for a while does not end the wait.
pub async fn until_ended(
    broker: &dyn Broker,
    output: Output,
    queue: &QueueName,
    id: &JobId,
    limit: Option<Instant>,
) -> Outcome<JobView> {
    let mut shown = Shown::new(output);
    let watching = watch(broker, queue, id, &mut shown);
    let result = match limit {
        None => watching.await,
        Some(limit) => match timeout_at(limit, watching).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Timeout(format!(
                "timeout: job {id} has not ended in time; it goes on, look with `lovage job get {id}`"
            ))),
        },
    };
    shown.bar.finish_and_clear();
    result
}

async fn watch(broker: &dyn Broker, queue: &QueueName, id: &JobId, shown: &mut Shown) -> Outcome<JobView> {
    let mut pause = FASTEST;
    loop {
        match broker.job(Some(queue), id).await {
            Ok(Some(view)) => {
                if shown.look(&view) {
                    pause = FASTEST;
                }
                if view.state.is_final() {
                    return Ok(view);
                }
            }
            Ok(None) => {
                return Err(Failure::NotFound(format!(
                    "id: job {id} is no longer in queue {queue}: somebody deleted it"
                )));
            }
            Err(error) if error.is_transient() => shown.unavailable(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
        sleep_until(Instant::now() + pause).await;
        pause = (pause * 2).min(SLOWEST);
    }
}

/// Shows the end: the job on standard output, and a failure unless it completed.
pub fn conclude(output: Output, view: JobView) -> Outcome {
    let (id, state, reason) = (view.id.clone(), view.state, view.reason);
    let result = view.result.as_ref().map(|result| result.get().to_owned());
    let line = JobLine::from(view);
    if state == State::Completed {
        return output.one(&line, || result.unwrap_or_else(|| format!("Job {id} is completed.")));
    }
    if output.is_json() {
        output.one(&line, String::new)?;
    }
    let mut message = format!("job {id} is {state}");
    if let Some(reason) = reason {
        let _ = write!(message, " ({reason})");
    }
    if let Some(error) = line.last_error() {
        let _ = write!(message, ": {error}");
    }
    Err(Failure::Failed(message))
}

/// What a person has been shown so far.
struct Shown {
    output: Output,
    bar: ProgressBar,
    errors: usize,
    state: Option<State>,
    away: bool,
}

impl Shown {
    fn new(output: Output) -> Self {
        let target = if output.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(spinner());
        Self { output, bar, errors: 0, state: None, away: false }
    }

    /// Shows what is new; answers whether something was.
    fn look(&mut self, view: &JobView) -> bool {
        let mut news = self.state.replace(view.state) != Some(view.state) || self.away;
        self.away = false;
        if view.errors.len() > self.errors && !view.state.is_final() {
            if let Some(error) = view.errors.last() {
                let next = view.due_at.map(|due| due.since(Context::now())).filter(|_| view.state == State::Retryable);
                let next = next.map(|wait| format!("; next attempt in {}", duration::human(wait))).unwrap_or_default();
                let text = format!("Attempt {} failed: {}{next}", error.attempt, clean(&error.message));
                self.say(&text);
            }
            news = true;
        }
        // The broker keeps the latest errors only, so the number may also shrink.
        self.errors = view.errors.len();
        self.draw(view);
        news
    }

    fn unavailable(&mut self, text: &str) {
        if !self.away {
            self.say(&format!("{text}; still waiting"));
        }
        self.away = true;
    }

    fn say(&self, text: &str) {
        let output = self.output;
        self.bar.suspend(|| output.note(text));
    }

    fn draw(&self, view: &JobView) {
        let text = view.progress.as_ref().map(progress_text).unwrap_or_default();
        if let Some((progress, total)) = view.progress.as_ref().and_then(|p| Some((p, p.total?))) {
            self.bar.set_style(measured(progress.approximate));
            self.bar.set_length(total);
            self.bar.set_position(progress.done.min(total));
            let bytes = progress.bytes.map(|bytes| format!(", {}", indicatif::DecimalBytes(bytes))).unwrap_or_default();
            self.bar.set_message(clean(&format!("{} {}{bytes}", progress.unit, progress.phase)));
        } else {
            self.bar.set_message(clean(&format!("{} {text}", view.state)));
        }
        self.bar.tick();
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn measured(approximate: bool) -> ProgressStyle {
    let about = if approximate { "about " } else { "" };
    let template =
        format!("[{{bar:30}}] {{human_pos}} of {about}{{human_len}} {{msg}}, {{rate}}, {{eta}} left ({{elapsed}})");
    // The bar's own rate has four decimals.
    let rate = |state: &ProgressState, text: &mut dyn Write| {
        let _ = write!(text, "{}/s", HumanCount(state.per_sec() as u64));
    };
    ProgressStyle::with_template(&template)
        .map_or_else(|_| ProgressStyle::default_bar(), |style| style.with_key("rate", rate))
}
