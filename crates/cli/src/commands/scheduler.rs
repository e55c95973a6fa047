//! `lovage scheduler`: the role that does everything periodic, if it is the one that leads.

use clap::Args;
use tracing::info;

use super::Context;
use crate::error::Outcome;
use crate::{doors, lifecycle, rooms, scheduling};

/// Options of `lovage scheduler`.
#[derive(Debug, Args)]
pub struct SchedulerArgs {}

/// Runs the role until it is told to stop.
pub async fn run(context: Context, _args: &SchedulerArgs) -> Outcome {
    let config = context.config();
    let ledger = rooms::required_ledger(config).await?;
    let (scheduler, shown) = scheduling::scheduler(config, &ledger)?;
    let shutdown = lifecycle::listen()?;
    info!(broker = rooms::broker_name(config), ledger = ledger.place(), "scheduler starts");
    let _door = doors::role(config, &shown, "scheduler")?;
    // What is under way may be broken off anywhere: it is done again by whoever leads next.
    scheduler.run(shutdown.drain.clone()).await;
    ledger.close().await;
    Ok(())
}
