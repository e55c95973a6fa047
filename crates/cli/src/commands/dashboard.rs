//! `lovage dashboard`: the role that shows the queues over HTTP until it is told to stop.

use clap::Args;

use super::Context;
use crate::error::Outcome;
use crate::{doors, lifecycle};

/// Options of `lovage dashboard`.
#[derive(Debug, Args)]
pub struct DashboardArgs {}

/// Runs the role. It starts without the broker too, and says on `/readyz` that it is away.
pub async fn run(context: Context, _args: &DashboardArgs) -> Outcome {
    let shutdown = lifecycle::listen()?;
    let config = context.config();
    let server = doors::dashboard(config, config.http_addr, &[])?;
    // Nothing is under way that would have to end first.
    shutdown.drain.cancelled().await;
    drop(server);
    Ok(())
}
