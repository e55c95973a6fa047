//! Rates as people write them: `100/s`, `5/m`, `1000/h`, `10/250ms`.

use lovage_core::Rate;

use lovage_core::duration;

const HELP: &str = "use a count and a time: 100/s, 5/m, 1000/h or 10/250ms";

/// Reads a rate. The error says what is wrong and what would be right, without naming the field.
pub fn parse(text: &str) -> Result<Rate, String> {
    let Some((count, per)) = text.split_once('/') else {
        return Err(format!("{text:?} has no time; {HELP}"));
    };
    let Ok(count) = count.parse() else {
        return Err(format!("{count:?} is not a number that can be used; {HELP}"));
    };
    // `5/m` is `5/1m`.
    let whole = if per.starts_with(|c: char| c.is_ascii_alphabetic()) { format!("1{per}") } else { per.to_owned() };
    match duration::parse(&whole) {
        Ok(per) => Ok(Rate { count, per_ms: per.as_millis() as u64, burst: None }),
        Err(_) => Err(format!("{per:?} is not a time; {HELP}")),
    }
}
