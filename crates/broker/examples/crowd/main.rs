//! How long the longest commands of a crowd of jobs are. The number of jobs is the argument: 200,000 without one.
//!
//! `cargo run --release -p lovage-broker --example crowd -- 5000000` needs about 3 GiB for Redis.

#![expect(clippy::print_stdout, reason = "a measurement speaks on standard output")]

mod run;

use tokio::time::Instant;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let jobs: u64 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let began = Instant::now();
    let phases = run::Crowd::new(jobs).await?.run().await?;
    println!(
        "{jobs} jobs, {:.0} s; commands that took Redis longer than {:?}\n",
        began.elapsed().as_secs_f64(),
        run::SLOW
    );
    println!("{:<30} {:>8} {:>8} {:>10}", "phase", "calls", "slow", "slowest");
    for run::Phase { name, calls, slow } in phases {
        let slowest = slow.first().map_or_else(|| "-".to_owned(), |longest| format!("{longest:.1?}"));
        println!("{name:<30} {calls:>8} {:>8} {slowest:>10}", slow.len());
    }
    Ok(())
}
