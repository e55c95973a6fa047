//! Two hundred thousand jobs due at one instant are promoted, listed, cancelled, purged and vacuumed, and no call keeps
//! Redis for long. `examples/crowd` does the same with as many jobs as one likes and prints what it finds.

#[path = "../examples/crowd/run.rs"]
mod run;

use std::time::Duration;

use run::Crowd;

/// A call over all of these jobs would use a second and more of Redis' processor. What a slice uses depends on the
/// machine, and on what else shares its caches; this is several times as much.
const SLICE: Duration = Duration::from_millis(60);

/// Rows 03 and 21.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_no_call_is_as_long_as_the_crowd_is_large() {
    for run::Phase { name, cpu, slow } in Crowd::new(200_000).await.unwrap().run().await.unwrap() {
        assert!(cpu.len() > 100, "{name}: {} slices", cpu.len());
        assert!(cpu[0] < SLICE, "{name}: the longest call used {:?}; by the clock, {:?}", cpu[0], slow.first());
    }
}
