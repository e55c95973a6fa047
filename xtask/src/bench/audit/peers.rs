//! The peers: Celery with a row a task, and psycopg without a queue, both in `xtask/peers/audit_peer.py`.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::bench::export::peers::Python;
use crate::bench::export::postgres::Postgres;
use crate::bench::program::{call, count};

/// What is installed, by exact version.
pub const PACKAGES: [&str; 2] = ["celery[redis]==5.7.0", "psycopg[binary]==3.3.9"];

/// The peers' names with their versions, for people.
pub fn versions() -> String {
    PACKAGES.join(", ").replace("==", " ").replace("[redis]", "").replace("[binary]", "")
}

/// Lets a peer write so many events of a file into a fresh table that is like ours, and proves that they are there.
pub fn write(
    python: &Python,
    server: &mut Postgres,
    verb: &str,
    file: &Path,
    events: u64,
    broker: &str,
) -> Result<Value> {
    server.ask("DROP TABLE IF EXISTS peer_events")?;
    server.ask("CREATE TABLE peer_events (LIKE lovage.audit_events INCLUDING ALL)")?;
    server.ask("CHECKPOINT")?;
    let mut command = python.script("audit_peer.py");
    command.args([verb, &server.url()]).arg(file).args([&events.to_string(), broker]);
    let result = call(command)?;
    let there = server.ask("SELECT count(*), count(DISTINCT id) FROM peer_events")?;
    ensure!(there == format!("{events}|{events}"), "of {events} rows (there, different ones) are {there}");
    ensure!(count(&result, "rows")? == events, "the peer says otherwise: {result}");
    server.ask("DROP TABLE peer_events")?;
    Ok(result)
}
