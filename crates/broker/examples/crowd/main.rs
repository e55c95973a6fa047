//! How long the longest commands of a crowd of jobs are. The number of jobs is the argument: 200,000 without one.
//!
//! `cargo run --release -p lovage-broker --example crowd -- 5000000` needs about 3 GiB for Redis.

#![expect(clippy::print_stdout, reason = "a measurement speaks on standard output")]

mod run;

use std::time::Duration;

use tokio::time::Instant;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let jobs: u64 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let began = Instant::now();
    let phases = run::Crowd::new(jobs).await?.run().await?;
    let longest = |times: &[Duration], share: usize| {
        times.get(times.len() / share).map_or_else(|| "-".to_owned(), |time| format!("{time:.1?}"))
    };
    println!("{jobs} jobs, {:.0} s\n", began.elapsed().as_secs_f64());
    println!(
        "{:<30} {:>8} {:>10} {:>10} {:>10} {:>8} {:>10}",
        "phase", "calls", "cpu p50", "cpu p99", "cpu max", "> 10 ms", "slowest"
    );
    for run::Phase { name, cpu, slow } in phases {
        let (p50, p99, max) = (longest(&cpu, 2), longest(&cpu, 100), longest(&cpu, usize::MAX));
        let slowest = longest(&slow, usize::MAX);
        println!("{name:<30} {:>8} {p50:>10} {p99:>10} {max:>10} {:>8} {slowest:>10}", cpu.len(), slow.len());
    }
    Ok(())
}
