//! `lovage up`: every role that there is, in one process, on embedded defaults.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use lovage_probes::Server;
use tracing::warn;

use super::Context;
use crate::beside::Beside;
use crate::config::Origin;
use crate::doors::Shown;
use crate::error::Outcome;
use crate::{adoption, doors, lifecycle, relaying, rooms, scheduling};

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
    let _door = doors::role(config, &shown, "worker")?;
    let scheduler = ledger.as_ref().map(|ledger| scheduling::scheduler(config, ledger)).transpose()?;
    if scheduler.is_none() && !config.schedules.specs().is_empty() {
        warn!("the schedules of the configuration need a ledger: set ledger.url, and nobody runs them until then");
    }
    let dashboard = dashboard(&context, &shown, scheduler.as_ref().map(|(_, shown)| shown))?;
    context.output.note(&banner(&context, debug, dashboard.address()));
    let adopting = adoption::start(config, &settings.id, &shutdown, false).await?;
    let relaying = relaying::start(config, &shutdown, false).await?;
    let mut scheduling = Beside::new(&shutdown);
    if let Some((scheduler, _)) = scheduler {
        scheduling.spawn(scheduler.run(scheduling.stop.clone()));
    }
    let ended = worker.run(shutdown).await;
    adopting.end().await;
    relaying.end().await;
    scheduling.end().await;
    ended?;
    Ok(())
}

/// Whoever only tries Lovage out has not chosen a port: if the built-in one is taken, any other will do.
fn dashboard(context: &Context, worker: &Shown, scheduler: Option<&Shown>) -> Outcome<Server> {
    let shown: Vec<&Shown> = std::iter::once(worker).chain(scheduler).collect();
    let config = context.config();
    let opened = doors::dashboard(config, config.http_addr, &shown);
    if opened.is_err() && context.loaded.origin("http_addr") == Origin::Default {
        return doors::dashboard(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &shown);
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
