//! Anchors of the audit trail from time to time, in `lovage up`, which has everything in one process. Elsewhere a timer runs
//! `lovage audit anchor`.

use std::time::Duration;

use lovage_ledger::Ledger;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::commands::audit::anchor;
use crate::config::Config;

/// How often what has grown is anchored.
const EVERY: Duration = Duration::from_hours(1);

/// Anchors now and then every hour, until the handle goes.
pub fn start(config: &Config, ledger: Ledger) -> AbortOnDropHandle<()> {
    let config = config.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut hours = tokio::time::interval(EVERY);
        loop {
            hours.tick().await;
            match anchor::anchor(&config, &ledger).await {
                Ok(made) if made.is_empty() => {}
                Ok(made) => info!(anchors = made.len(), "the audit trail is anchored"),
                // The next hour tries again, and covers all that this one has left.
                Err(error) => warn!(%error, "the audit trail could not be anchored"),
            }
        }
    }))
}
