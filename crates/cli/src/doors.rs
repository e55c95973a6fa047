//! The HTTP doors of the roles: which parts answer where, and who may listen without a token.

use std::net::SocketAddr;
use std::sync::Arc;

use lovage_core::Probed;
use lovage_dashboard::Dashboard;
use lovage_probes::{Door, Exposition, ProbesError, Server, Token};
use lovage_worker::prometheus::Registry;
use tracing::info;

use crate::config::{Config, Secret};
use crate::error::{Failure, Outcome};
use crate::rooms;

/// Set when the image is built; a build by hand has none.
const REVISION: Option<&str> = option_env!("LOVAGE_REVISION");

/// What a worker or a scheduler of this process shows.
pub struct Shown {
    /// How it stands.
    pub health: Arc<dyn Probed>,
    /// What it counts.
    pub metrics: Registry,
}

/// Opens the door of a worker or a scheduler, if it is to have one.
pub fn role(config: &Config, shown: &Shown, name: &str) -> Outcome<Option<Server>> {
    let Some(address) = config.metrics_addr else { return Ok(None) };
    let door =
        Door::new(vec![Arc::clone(&shown.health)], exposition(vec![shown.metrics.clone()])?).token(token(config));
    let server = Server::start(address, door.routes()).map_err(|error| named(&error, "metrics_addr"))?;
    info!(address = %server.address(), "probes and metrics of the {name}");
    Ok(Some(server))
}

/// Opens the dashboard's door at `address`. In a process with other roles it shows those, too.
pub fn dashboard(config: &Config, address: SocketAddr, beside: &[&Shown]) -> Outcome<Server> {
    check(config, address)?;
    let dashboard = Dashboard::new(rooms::connect(config));
    let probed = std::iter::once(dashboard.probed()).chain(beside.iter().map(|shown| Arc::clone(&shown.health)));
    let registries = beside.iter().map(|shown| shown.metrics.clone()).collect();
    let door = Door::new(probed.collect(), exposition(registries)?)
        .gathering(Arc::new(dashboard.clone()))
        .with(dashboard.routes())
        .token(token(config));
    let server = Server::start_beside(address, door.routes(), dashboard.keep_looking());
    let server = server.map_err(|error| named(&error, "http_addr"))?;
    info!(address = %server.address(), "the dashboard listens");
    Ok(server)
}

/// What every queue is called and how much waits in it is for nobody whom the owner did not mean.
fn check(config: &Config, address: SocketAddr) -> Outcome {
    if address.ip().is_loopback() || config.metrics_token.is_some() || config.metrics_public {
        return Ok(());
    }
    let help = "set metrics_token, or metrics_public = true if the network itself keeps strangers out";
    Err(Failure::usage("http_addr", format!("http_addr: {address} can be reached from other machines; {help}")))
}

fn token(config: &Config) -> Option<Token> {
    config.metrics_token.as_ref().map(Secret::reveal).map(Token::new)
}

fn exposition(registries: Vec<Registry>) -> Outcome<Exposition> {
    let revision = REVISION.unwrap_or("unknown");
    Exposition::new(env!("CARGO_PKG_VERSION"), revision, registries).map_err(|error| named(&error, "metrics"))
}

fn named(error: &ProbesError, setting: &str) -> Failure {
    match error {
        ProbesError::Listen { .. } => {
            let help = "choose another address, or end whoever has it";
            Failure::usage(setting, format!("{setting}: {error}; {help}"))
        }
        ProbesError::Start(_) | ProbesError::Metrics(_) => Failure::Failed(error.to_string()),
    }
}
