//! Moves the rows of an outbox into the broker: for `lovage outbox relay`, and beside a worker of this process.

use std::sync::Arc;

use lovage_broker::{OsEntropy, SystemClock};
use lovage_outbox::{Address, LateProducer, Outbox, OutboxError, Relay, RelayConfig, SpoolConfig, Spooled};
use lovage_worker::Shutdown;
use tracing::info;

use crate::beside::Beside;
use crate::config::Config;
use crate::error::{Failure, Outcome};
use crate::rooms;
use lovage_core::duration;

/// A relay into the broker that the settings name. Nothing is connected yet.
pub fn relay(config: &Config, address: Address) -> Relay {
    let settings = RelayConfig {
        max_payload_bytes: config.max_payload_bytes,
        confirm_after: config.outbox.confirm_after,
        ..RelayConfig::default()
    };
    Relay::new(Outbox::new(address), producer(config), settings)
}

/// A producer that spools into this file while the broker is away.
pub async fn spooled(config: &Config, file: &str) -> Outcome<Spooled> {
    let settings = SpoolConfig { max_payload_bytes: config.max_payload_bytes, ..SpoolConfig::new(file) };
    Ok(Spooled::open(settings, producer(config), Arc::new(SystemClock), Arc::new(OsEntropy)).await?)
}

fn producer(config: &Config) -> Arc<LateProducer> {
    Arc::new(LateProducer::new(rooms::connect(config)))
}

/// Starts the relay that runs beside a worker, if the settings want one; it stops when the worker is to drain. With `first`
/// it comes back only when what lies there now has been moved: for a worker that ends when there is nothing to do.
pub async fn start(config: &Config, shutdown: &Shutdown, first: bool) -> Outcome<Beside> {
    let mut relaying = Beside::new(shutdown);
    if !config.outbox.relay {
        return Ok(relaying);
    }
    let Some(url) = &config.outbox.url else {
        let help = "set outbox.url (LOVAGE_OUTBOX__URL)";
        return Err(Failure::usage("outbox.relay", format!("outbox.relay: it is not said which outbox; {help}")));
    };
    let address: Address = url.reveal().parse()?;
    info!(outbox = %address, "relaying an outbox");
    let mut relay = relay(config, address);
    if first {
        tokio::select! {
            () = relaying.stop.cancelled() => {}
            drained = relay.drain() => {
                drained?;
            }
        }
    }
    relaying.spawn(relay.run(relaying.stop.clone()));
    Ok(relaying)
}

/// What waits in the outbox that the settings name, for `lovage doctor`.
pub async fn finding(config: &Config) -> Option<Outcome<String>> {
    let url = config.outbox.url.as_ref()?;
    Some(look(url.reveal()).await)
}

async fn look(url: &str) -> Outcome<String> {
    let outbox = Outbox::new(url.parse()?);
    let (status, place) = (outbox.status().await?, outbox.address());
    if status.failed > 0 {
        let help = "`lovage outbox status` shows why";
        return Err(Failure::Failed(format!("{place}: {} rows cannot become jobs; {help}", status.failed)));
    }
    let oldest = status.oldest.map(|age| format!(", the oldest for {}", duration::human(age))).unwrap_or_default();
    Ok(format!("{place}: {} rows wait{oldest}", status.waiting))
}

impl From<OutboxError> for Failure {
    fn from(error: OutboxError) -> Self {
        match error {
            OutboxError::Invalid(invalid) => invalid.into(),
            OutboxError::Broker(error) => error.into(),
            OutboxError::Missing(_) => Self::NotFound(error.to_string()),
            OutboxError::Store { .. } => Self::Unavailable(error.to_string()),
            OutboxError::Refused { .. } => Self::Failed(error.to_string()),
        }
    }
}
