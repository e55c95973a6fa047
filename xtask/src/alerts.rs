//! The alert rules under `deploy/prometheus`, tested with Prometheus' own tool: a rule that never fires is found here
//! and not in the night when it should have.

use anyhow::{Context, Result};

use crate::step::{program, run};

const FOLDER: &str = "deploy/prometheus";
const HOW: &str = "promtool comes with Prometheus; on Debian and Ubuntu: sudo apt-get install prometheus";

/// Checks the configuration and runs the tests of the rules.
pub fn check() -> Result<()> {
    let file = |name: &str| format!("{FOLDER}/{name}");
    let promtool = |arguments: &[&str]| run(&mut program("promtool", arguments)).context(HOW);
    promtool(&["check", "config", &file("prometheus.yml")])?;
    promtool(&["test", "rules", &file("alerts.test.yml")])
}
