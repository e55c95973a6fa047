//! `lovage up`: every role that there is, in one process, on embedded defaults.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use lovage_probes::Server;

use super::Context;
use crate::config::Origin;
use crate::doors::Shown;
use crate::error::Outcome;
use crate::{adoption, anchoring, doors, lifecycle, relaying, rooms};

/// Options of `lovage up`.
#[derive(Debug, Args)]
pub struct UpArgs {}

/// Runs all roles until told to stop.
pub async fn run(context: Context, _args: &UpArgs) -> Outcome {
    let config = context.config();
    // Whoever tries Lovage out needs something to run; whoever says no is obeyed.
    let debug = config.debug_kinds || context.loaded.origin("debug_kinds") == Origin::Default;
    let ledger = rooms::ledger(config).await?;
    let handlers = rooms::handlers(config, rooms::sources(config)?, ledger.clone(), debug)?;
    // Opened before anything is announced: a broker that cannot be used is told first.
    rooms::broker(config).await?;
    let shutdown = lifecycle::listen()?;
    let settings = rooms::worker_config(config)?;
    let (worker, shown) = rooms::worker_shown(config, settings.clone(), handlers);
    let _door = doors::worker(config, &shown)?;
    let dashboard = dashboard(&context, &shown)?;
    context.output.note(&banner(&context, debug, dashboard.address()));
    let adopting = adoption::start(config, &settings.id, &shutdown, false).await?;
    let relaying = relaying::start(config, &shutdown, false).await?;
    let _anchoring = ledger.map(|ledger| anchoring::start(config, ledger));
    let ended = worker.run(shutdown).await;
    adopting.end().await;
    relaying.end().await;
    ended?;
    Ok(())
}

/// Whoever only tries Lovage out has not chosen a port: if the built-in one is taken, any other will do.
fn dashboard(context: &Context, shown: &Shown) -> Outcome<Server> {
    let config = context.config();
    let opened = doors::dashboard(config, config.http_addr, Some(shown));
    if opened.is_err() && context.loaded.origin("http_addr") == Origin::Default {
        return doors::dashboard(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Some(shown));
    }
    opened
}

fn banner(context: &Context, debug: bool, dashboard: SocketAddr) -> String {
    let config = context.config();
    let try_it =
        if debug { "lovage job enqueue debug.sleep --args '{\"ms\": 500}' --wait" } else { "lovage queue list" };
    format!(
        "Lovage {} is up.\n  broker   {}\n  storage  {}\n  worker   {} slots, queues {}\n  metrics  http://{dashboard}/metrics\n  try      {try_it}\n  stop     Ctrl-C",
        env!("CARGO_PKG_VERSION"),
        rooms::broker_name(config),
        config.storage(),
        config.concurrency,
        config.queues,
    )
}
