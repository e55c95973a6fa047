//! The events that are written: the same each time, about 280 bytes of JSON each, as a file of events and as one of jobs.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Result;

/// When the first one happened, in milliseconds since 1970; each happened a millisecond after the one before it.
const BEGIN: u64 = 1_767_225_600_000;

/// Event number `n`, its id a UUID of version 7 of its time.
fn event(n: u64) -> String {
    let time = BEGIN + n;
    let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = format!(
        "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
        time >> 16,
        time & 0xffff,
        random & 0xfff,
        (random >> 12) & 0xfff,
        n
    );
    let (user, order, city) = (random % 9_973, random % 899_981, ["上海", "北京", "广州"][(n % 3) as usize]);
    format!(
        r#"{{"id":"{id}","time":{time},"actor":"user:{user}","action":"order.refund","target":"order:{order}","ip":"203.0.113.{}","request_id":"req-{n:08x}","before":{{"total":{}.00,"status":"paid"}},"after":{{"total":0,"status":"refunded","city":"{city}"}}}}"#,
        n % 250,
        random % 5_003,
    )
}

/// Writes `count` events into a file, one a line, for `lovage audit import`.
pub fn write_events(path: &Path, count: u64) -> Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    (0..count).try_for_each(|n| writeln!(file, "{}", event(n)))?;
    Ok(file.flush()?)
}

/// Writes `count` jobs with an event each into a file, for `lovage job enqueue --ndjson`.
pub fn write_jobs(path: &Path, count: u64) -> Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    let job = |n| format!(r#"{{"queue":"audit","kind":"audit.write","args":{}}}"#, event(n));
    (0..count).try_for_each(|n| writeln!(file, "{}", job(n)))?;
    Ok(file.flush()?)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn events_are_json_of_about_280_bytes_each_with_an_id_of_its_own() {
        for n in [0, 1, 99_999, 999_999] {
            let text = event(n);
            let event: Value = serde_json::from_str(&text).unwrap();
            assert!((260..=320).contains(&text.len()), "{} bytes", text.len());
            let id = event["id"].as_str().unwrap();
            assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "{id}");
        }
        assert_ne!(event(7), event(8));
    }
}
