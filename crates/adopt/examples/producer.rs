//! A service as many have it: pushes e-mails with plain apalis-redis, and knows nothing of Lovage.
//!
//!     cargo run -p lovage-adopt --example producer -- redis://127.0.0.1:6379/ 20000

#![expect(clippy::print_stdout, reason = "a tool for a terminal speaks on standard output")]

use std::error::Error;

use apalis_core::backend::TaskSink as _;
use apalis_redis::{Config, RedisStorage};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Email {
    to: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "redis://127.0.0.1:6379/".to_owned());
    let count: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let mut storage =
        RedisStorage::new(apalis_redis::connect(url).await?).with_config(Config::default().queue("emails"));
    // Each call is one script in Redis, and apalis waits half a second for it.
    for first in (0..count).step_by(500) {
        let emails = (first..count.min(first + 500)).map(|number| Email { to: format!("{number}@example.com") });
        storage.push_bulk(emails.collect()).await?;
    }
    println!("pushed {count} tasks to the apalis queue \"emails\"");
    Ok(())
}
