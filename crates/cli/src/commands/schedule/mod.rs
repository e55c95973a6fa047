//! `lovage schedule …`: what is enqueued when, and what became of it.
//!
//! The commands write into the ledger, where the scheduler that leads looks each second. What stands in `lovage.toml` is managed
//! by code: it is changed there, and can be paused, run and looked at here.

mod add;
mod apply;
mod change;
mod delete;
mod file;
mod history;
mod list;
mod next;
mod options;
mod pause;
mod put;
mod run;
mod show;

use clap::Subcommand;
use jiff::tz::TimeZone;
use lovage_core::schedule::ScheduleSpec;
use lovage_core::{ScheduleName, nearest};
use lovage_ledger::{Ledger, MAX_SCHEDULES, Schedule};
use lovage_scheduler::zone;

use super::Context;
use crate::config::Origin;
use crate::error::{Failure, Outcome};

/// Commands about schedules.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// List schedules: when they run next, how they ran last, how they stand
    List(list::ListArgs),
    /// Show one schedule with everything that is known about it
    Show(show::ShowArgs),
    /// Make a schedule
    Add(Box<add::AddArgs>),
    /// Change some fields of a schedule; the others stay
    Change(Box<change::ChangeArgs>),
    /// Make and change the schedules of a file: TOML as in lovage.toml, or JSON, an array or an object a line
    Apply(apply::ApplyArgs),
    /// Stop a schedule until it is resumed
    Pause(pause::PauseArgs),
    /// Let a schedule go on; ticks that it missed are dealt with as its `missed` says
    Resume(pause::ResumeArgs),
    /// Enqueue a schedule's job now, beside its ticks
    Run(run::RunArgs),
    /// Show the next runs of a schedule, or of any expression
    Next(next::NextArgs),
    /// Show what became of a schedule's ticks, the latest first
    History(history::HistoryArgs),
    /// Delete a schedule with its history; its jobs stay
    Delete(delete::DeleteArgs),
}

/// Runs a command about schedules.
pub async fn run(context: &Context, command: ScheduleCommand) -> Outcome {
    match command {
        ScheduleCommand::List(args) => list::run(context, &args).await,
        ScheduleCommand::Show(args) => show::run(context, &args).await,
        ScheduleCommand::Add(args) => add::run(context, &args).await,
        ScheduleCommand::Change(args) => change::run(context, &args).await,
        ScheduleCommand::Apply(args) => apply::run(context, &args).await,
        ScheduleCommand::Pause(args) => pause::pause(context, args).await,
        ScheduleCommand::Resume(args) => pause::resume(context, &args).await,
        ScheduleCommand::Run(args) => run::run(context, &args).await,
        ScheduleCommand::Next(args) => next::run(context, &args).await,
        ScheduleCommand::History(args) => history::run(context, &args).await,
        ScheduleCommand::Delete(args) => delete::run(context, &args).await,
    }
}

/// The schedule of that name; without one the error says which was probably meant.
async fn find(ledger: &Ledger, name: &ScheduleName) -> Outcome<Schedule> {
    if let Some(schedule) = ledger.schedule(name).await? {
        return Ok(schedule);
    }
    let known = all(ledger).await?;
    let known = nearest(name.as_str(), known.iter().map(|schedule| schedule.spec.name.as_str()));
    let hint = known.map_or_else(
        || "`lovage schedule list` shows those that there are".to_owned(),
        |known| format!("did you mean {known}?"),
    );
    Err(Failure::NotFound(format!("name: there is no schedule {name}; {hint}")))
}

/// All schedules in the order of their names.
pub async fn all(ledger: &Ledger) -> Outcome<Vec<Schedule>> {
    let (mut all, mut after): (Vec<Schedule>, Option<ScheduleName>) = (Vec::new(), None);
    loop {
        let page = ledger.schedules(after.as_ref(), MAX_SCHEDULES).await?;
        all.extend(page.schedules);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// The refusal to change a schedule that stands in a configuration.
fn by_code(context: &Context, name: &ScheduleName, what: &str) -> Failure {
    let place = match context.loaded.schedule(name) {
        Some(Origin::File(path, line)) => format!("{}:{line}", path.display()),
        _ => "the lovage.toml of the schedulers".to_owned(),
    };
    Failure::Conflict(format!(
        "name: schedule {name} is managed by code and cannot be {what} here; change {place} and restart the schedulers, or use \
         `lovage schedule pause {name}`"
    ))
}

/// The zone of a schedule. One that this machine does not know is told by the scheduler; here UTC stands for it.
fn zone_of(spec: &ScheduleSpec) -> TimeZone {
    zone(&spec.timezone).unwrap_or(TimeZone::UTC)
}

/// What the audit trail calls a schedule.
fn target(name: &ScheduleName) -> String {
    format!("schedule:{name}")
}
