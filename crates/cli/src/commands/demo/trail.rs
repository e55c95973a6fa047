//! The demo's audit trail: events of a shop, written into a ledger of the demo's own and followed to their end.

use std::time::Duration;

use lovage_broker::OsEntropy;
use lovage_core::Invalid;
use lovage_core::audit::{AuditEvent, EventDraft, event_id};
use lovage_ledger::{Ledger, LedgerAddress, migrate};
use serde::Serialize;
use tokio::time::Instant;

use crate::commands::Context;
use crate::config::Config;
use crate::error::{Failure, Outcome};

/// Events of one run.
const EVENTS: usize = 10_000;
/// Events of one commit.
const COMMIT: usize = 1_000;
/// Whose trail it is.
const TENANT: &str = "demo";
const ACTIONS: [&str; 4] = ["order.create", "order.edit", "order.refund", "export.download"];

/// What became of them.
#[derive(Debug, Serialize)]
pub struct Trail {
    written: usize,
    /// All that the trail has, those of earlier runs included.
    records: u64,
    verified: bool,
    write_ms: u64,
    verify_ms: u64,
    ledger: String,
}

/// Writes the events and verifies the trail.
pub async fn write(config: &Config) -> Outcome<Trail> {
    let address = LedgerAddress::file(config.data_dir.join("demo").join("ledger.db"));
    migrate(&address).await?;
    let ledger = Ledger::open(&address).await?;
    let begun = Instant::now();
    let events = (0..EVENTS).map(event).collect::<Result<Vec<_>, _>>()?;
    for commit in events.chunks(COMMIT) {
        ledger.append(commit).await?;
    }
    let written = Instant::now();
    let chain = ledger.chain(TENANT).await?;
    let chain = chain.ok_or_else(|| Failure::Failed(format!("{} has no trail of {TENANT}", ledger.place())))?;
    let verified = ledger.verify(&chain, Vec::new()).await?;
    if let Some(finding) = verified.finding {
        return Err(Failure::Failed(format!(
            "the trail of {TENANT} in {} is not as written: {finding}",
            ledger.place()
        )));
    }
    ledger.close().await;
    Ok(Trail {
        written: EVENTS,
        records: verified.records,
        verified: true,
        write_ms: written.duration_since(begun).as_millis() as u64,
        verify_ms: written.elapsed().as_millis() as u64,
        ledger: address.to_string(),
    })
}

fn event(number: usize) -> Result<AuditEvent, Invalid> {
    let now = Context::now();
    let draft = EventDraft {
        target: Some(format!("order:{}", 1_000 + number * 7 % 5_000)),
        tenant: TENANT.parse().ok(),
        ..EventDraft::new(format!("user:{}", 1 + number * 13 % 40), ACTIONS[number % ACTIONS.len()])
    };
    draft.complete(event_id(now, &OsEntropy), now)
}

impl Trail {
    /// In words.
    pub fn text(&self) -> String {
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        format!(
            "{} audit events written in {:.2} s, and the trail of {} records verified in {:.2} s ({}).",
            self.written,
            seconds(self.write_ms),
            self.records,
            seconds(self.verify_ms),
            self.ledger
        )
    }
}
