//! What the kernel knows of this process, the gate that all processes of a run start from, and the middle of numbers.

use std::io::{BufRead as _, Write as _};

use crate::Result;

/// Ticks of the kernel's clock in a second, as `/proc` counts on Linux.
const TICKS: f64 = 100.0;

/// Seconds of processor time that this process has used, in all its threads.
pub fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program stands in brackets and may hold anything.
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks = |at: usize| -> Result<f64> { Ok(behind.split_whitespace().nth(at).unwrap_or("0").parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// Says that everything is prepared and waits for a line, so that several processes begin together.
pub fn gate() -> Result<()> {
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

/// The value that `part` (0 to 1) of the sorted values do not exceed.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * part).ceil() as usize).saturating_sub(1);
    values.get(at).copied().unwrap_or(f64::NAN)
}
