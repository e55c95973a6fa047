//! `lovage up`: every role that there is, in one process, on embedded defaults.

use clap::Args;

use super::Context;
use crate::config::Origin;
use crate::error::Outcome;
use crate::{adoption, lifecycle, relaying, rooms};

/// Options of `lovage up`.
#[derive(Debug, Args)]
pub struct UpArgs {}

/// Runs all roles until told to stop.
pub async fn run(context: Context, _args: &UpArgs) -> Outcome {
    let config = context.config();
    // Whoever tries Lovage out needs something to run; whoever says no is obeyed.
    let debug = config.debug_kinds || context.loaded.origin("debug_kinds") == Origin::Default;
    let handlers = rooms::handlers(config, rooms::sources(config)?, debug)?;
    // Opened before anything is announced: a broker that cannot be used is told first.
    rooms::broker(config).await?;
    let shutdown = lifecycle::listen()?;
    context.output.note(&banner(&context, debug));
    let settings = rooms::worker_config(config)?;
    let adopting = adoption::start(config, &settings.id, &shutdown, false).await?;
    let relaying = relaying::start(config, &shutdown, false).await?;
    let ended = rooms::worker(config, settings, handlers).run(shutdown).await;
    adopting.end().await;
    relaying.end().await;
    ended?;
    Ok(())
}

fn banner(context: &Context, debug: bool) -> String {
    let config = context.config();
    let try_it =
        if debug { "lovage job enqueue debug.sleep --args '{\"ms\": 500}' --wait" } else { "lovage queue list" };
    format!(
        "Lovage {} is up.\n  broker   {}\n  storage  {}\n  worker   {} slots, queues {}\n  try      {try_it}\n  stop     Ctrl-C",
        env!("CARGO_PKG_VERSION"),
        rooms::broker_name(config),
        config.storage(),
        config.concurrency,
        config.queues,
    )
}
