//! Two hundred thousand jobs due at one instant, listed, cancelled, purged and vacuumed: no command of Redis is long.
//! `examples/crowd` does the same with as many jobs as one likes and prints what it finds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/crowd/run.rs"]
mod run;

use std::time::Duration;

use run::{Crowd, SLOW};

/// Rows 03 and 21. A command over all jobs would take hundreds of milliseconds; a machine that is busy with other tests
/// may stop Redis for some, so a few commands may be a little late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_no_command_of_a_crowd_is_long() {
    for phase in Crowd::new(200_000).await.unwrap().run().await.unwrap() {
        assert!(phase.slow.len() as u64 <= 2 + phase.calls / 20, "more than {SLOW:?}: {phase:?}");
        assert!(phase.slow.first().is_none_or(|slowest| *slowest < Duration::from_millis(100)), "{phase:?}");
    }
}
