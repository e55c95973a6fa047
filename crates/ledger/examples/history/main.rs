//! A history of many jobs, and how long searching it takes. docs/benchmarks.md has the numbers.
//!
//!     cargo run --release -p lovage-ledger --example history -- load 1000000 postgres://postgres@127.0.0.1/scratch
//!     cargo run --release -p lovage-ledger --example history -- search postgres://postgres@127.0.0.1/scratch
//!
//! `load` writes into an empty ledger, which it makes; the jobs are the same each time. `search` asks named filters, or those
//! whose names begin with the next argument. The last line of both is JSON.

#![expect(clippy::print_stdout, reason = "a tool for a terminal speaks on standard output")]

mod jobs;
mod load;
mod search;

use lovage_ledger::{Ledger, LedgerAddress, migrate};
use serde_json::json;
use sqlx::postgres::PgPool;

type Failed = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["load", count, url] => {
            let ledger = open(url).await?;
            let rate = load::load(&ledger, count.parse()?).await?;
            let housekeeping = load::keep_house(&PgPool::connect(url).await?).await?;
            println!("{}", json!({ "jobs_per_second": rate, "housekeeping_seconds": housekeeping }));
        }
        ["search", url, ref only @ ..] => {
            let ledger = open(url).await?;
            let pool = PgPool::connect(url).await?;
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM lovage.jobs").fetch_one(&pool).await?;
            let found = search::search(&ledger, count as u64, only.first().unwrap_or(&"")).await?;
            println!("{}", json!({ "jobs": count, "searches": found }));
        }
        _ => return Err("use `load JOBS URL` or `search URL [NAME]`".into()),
    }
    Ok(())
}

async fn open(url: &str) -> Result<Ledger, Failed> {
    let address: LedgerAddress = url.parse()?;
    migrate(&address).await?;
    Ok(Ledger::open(&address).await?)
}
