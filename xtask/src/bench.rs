//! Measurements. Never part of the tests: a number that depends on the machine proves nothing about the code.

use anyhow::Result;

use crate::step::{cargo, run};

/// Enqueue and drain of both brokers; the benchmark itself lies with the broker.
pub fn queue() -> Result<()> {
    run(&mut cargo(&["bench", "--package", "lovage-broker", "--bench", "queue"]))
}
