//! `lovage schedule pause` and `lovage schedule resume`.

use clap::Args;
use lovage_core::schedule::{Missed, due};
use lovage_core::{ScheduleName, Timestamp};
use lovage_ledger::Schedule;
use serde_json::json;

use super::put::next_in_words;
use super::{find, target, zone_of};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::rooms;
use crate::trail::Trail;

/// Longest text of who and why.
const MAX_CHARS: usize = 500;

/// Options of `schedule pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The schedule
    name: ScheduleName,
    /// Why, for whoever finds it paused
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// Who, if not the user of this shell
    #[arg(long)]
    by: Option<String>,
}

/// Options of `schedule resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The schedule
    name: ScheduleName,
}

/// Stops a schedule's ticks.
pub async fn pause(context: &Context, args: PauseArgs) -> Outcome {
    let PauseArgs { name, why, by } = args;
    for (field, text) in [("why", Some(&why)), ("by", by.as_ref())] {
        if text.is_some_and(|text| text.chars().count() > MAX_CHARS) {
            return Err(Failure::usage(field, format!("{field}: is too long; use at most {MAX_CHARS} characters")));
        }
    }
    let ledger = rooms::required_ledger(context.config()).await?;
    find(&ledger, &name).await?;
    let trail = Trail::open(context).await?;
    let by = by.unwrap_or_else(crate::config::user);
    if !ledger.pause_schedule(&name, (&by, &why)).await? {
        find(&ledger, &name).await?;
    }
    let answer = json!({ "name": name, "paused": { "by": by, "why": why } });
    trail.record("schedule.pause", target(&name), &answer).await?;
    context.output.one(&answer, || format!("Schedule {name} is paused until `lovage schedule resume {name}`."))
}

/// Lets a schedule go on.
pub async fn resume(context: &Context, args: &ResumeArgs) -> Outcome {
    let name = &args.name;
    let ledger = rooms::required_ledger(context.config()).await?;
    let schedule = find(&ledger, name).await?;
    let trail = Trail::open(context).await?;
    let was_paused = ledger.resume_schedule(name).await? == Some(true);
    let now = ledger.now().await?;
    // One that is withdrawn stands still all the same.
    let goes_on = was_paused && schedule.withdrawn_at.is_none();
    let missed = if goes_on { Missing::of(&schedule, now) } else { Missing { run: 0, left_out: 0 } };
    let policy = schedule.spec.missed;
    let answer = json!({
        "name": name, "was_paused": was_paused, "missed": policy,
        "missed_ticks": { "run": missed.run, "left_out": missed.left_out },
    });
    if was_paused {
        trail.record("schedule.resume", target(name), &answer).await?;
    }
    context.output.one(&answer, || {
        if !was_paused {
            return format!("Schedule {name} was not paused.");
        }
        if schedule.withdrawn_at.is_some() {
            return format!(
                "Schedule {name} is not paused any more, and withdrawn: it runs when a configuration has it again."
            );
        }
        format!("Schedule {name} is resumed: {}, {}.", missed.text(policy), next_in_words(&schedule.spec, now))
    })
}

/// Ticks that came while a schedule was paused.
struct Missing {
    run: u64,
    left_out: u64,
}

impl Missing {
    fn of(schedule: &Schedule, now: Timestamp) -> Self {
        let due = due(&schedule.spec, &zone_of(&schedule.spec), schedule.last_tick, now);
        Self { run: due.ticks.len() as u64, left_out: due.missed }
    }

    fn text(&self, policy: Missed) -> String {
        let policy = match policy {
            Missed::Skip => "skip",
            Missed::Once => "once",
            Missed::All => "all",
        };
        match (self.run, self.left_out) {
            (0, 0) => "no tick was missed".to_owned(),
            (1, 0) => format!("1 missed tick runs now (missed = {policy:?})"),
            (run, 0) => format!("{run} missed ticks run now (missed = {policy:?})"),
            (0, 1) => format!("1 missed tick is left out (missed = {policy:?})"),
            (0, left_out) => format!("{left_out} missed ticks are left out (missed = {policy:?})"),
            (run, left_out) => {
                let run = if run == 1 { "1 runs".to_owned() } else { format!("{run} run") };
                let are = if left_out == 1 { "is" } else { "are" };
                format!("of the missed ticks {run} now and {left_out} {are} left out (missed = {policy:?})")
            }
        }
    }
}
