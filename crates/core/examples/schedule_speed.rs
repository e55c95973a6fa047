//! How long `Recurrence::next` takes:
//!
//!     cargo run --release -p lovage-core --example schedule_speed
//!
//! walks 100,000 runs of some expressions in a zone whose clocks are changed, and prints a line for each.

#![expect(clippy::print_stdout, reason = "a tool for a terminal speaks on standard output")]

use std::time::Instant;

use jiff::tz::TimeZone;
use lovage_core::Timestamp;
use lovage_core::cron::Recurrence;

const CALLS: u32 = 100_000;
const EXPRESSIONS: [&str; 8] = [
    "* * * * * *",
    "*/5 * * * *",
    "*/15 9-17 * * 1-5",
    "30 3 * * *",
    "0 9 * * friL",
    "0 0 29 2 *",
    "0 0 30 2 *",
    "@every 5m",
];

#[expect(clippy::disallowed_methods, reason = "measuring time is what a benchmark is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let zone = TimeZone::get("Europe/Berlin")?;
    // 2026-01-01T00:00:00Z
    let start = Timestamp::from_millis(1_767_225_600_000);
    println!("| expression | ms for {CALLS} calls | ns a call |\n|---|---|---|");
    for text in EXPRESSIONS {
        let recurrence = Recurrence::parse(text)?;
        let begin = Instant::now();
        let mut last = start;
        for _ in 0..CALLS {
            // What has no run any more, or is far from now, begins again.
            last = recurrence.next(last, &zone).filter(|at| at.as_millis() < 4_102_444_800_000).unwrap_or(start);
        }
        let took = begin.elapsed();
        println!("| `{text}` | {} | {} |", took.as_millis(), (took / CALLS).as_nanos());
    }
    Ok(())
}
