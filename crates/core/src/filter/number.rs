//! One text for each number, without a float in between: `1.0`, `1e0` and `1` are the same, and big integers stay exact.

/// Longest number that is written without an exponent, in digits.
const PLAIN_DIGITS: u64 = 40;

/// A number of JSON taken apart: its value is `digits` times ten to the power of `exponent`.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    /// With its sign; `0` if there is none.
    exponent: &'a str,
}

/// The one text for all ways to write the same number of JSON: `1.0`, `1e0` and `10e-1` give `1`, `-0.0` gives `0`.
///
/// Exact for any number of digits. Numbers of more than 40 digits that are not whole or end in zeros are written with an
/// exponent, so the text never grows much longer than what was given. An exponent of more than 18 digits is kept apart
/// from its digits, so there two ways to write the same number may differ. What is not a number of JSON comes back as it is.
///
/// ```
/// use lovage_core::filter::canonical_number;
///
/// assert_eq!(canonical_number("12.50e1"), "125");
/// assert_eq!(canonical_number("9007199254740993"), "9007199254740993");
/// ```
pub fn canonical_number(text: &str) -> String {
    let Some(parts) = parts(text) else { return text.to_owned() };
    let digits = format!("{}{}", parts.whole, parts.fraction);
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let sign = if parts.negative { "-" } else { "" };
    let shift = (digits.len() - significant.len()) as i64 - parts.fraction.len() as i64;
    match exponent(parts.exponent) {
        Ok(exponent) => format!("{sign}{}", written(significant, exponent + shift)),
        Err(far) => {
            let fraction = parts.fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{sign}{}{point}{fraction}e{far}", parts.whole)
        }
    }
}

/// Whether `text` is a number of JSON.
pub(super) fn is_number(text: &str) -> bool {
    parts(text).is_some()
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(whole, part)| (whole, Some(part)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let right = digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    right.then_some(Parts { negative, whole, fraction: fraction.unwrap_or(""), exponent })
}

/// The exponent, or its shortest text if it has more than 18 digits.
fn exponent(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let digits = digits.trim_start_matches('0');
    let far = || format!("{sign}{digits}");
    if digits.len() > 18 {
        return Err(far());
    }
    let value = if digits.is_empty() { 0 } else { digits.parse::<i64>().map_err(|_| far())? };
    Ok(if sign.is_empty() { value } else { -value })
}

/// `digits` times ten to the power of `exponent`; the digits neither begin nor end with a zero.
fn written(digits: &str, exponent: i64) -> String {
    let (length, power) = (digits.len() as u64, exponent.unsigned_abs());
    if exponent == 0 {
        digits.to_owned()
    } else if length.max(power) > PLAIN_DIGITS || length + power > PLAIN_DIGITS {
        format!("{digits}e{exponent}")
    } else if exponent > 0 {
        format!("{digits}{}", "0".repeat(power as usize))
    } else if power < length {
        let (whole, fraction) = digits.split_at((length - power) as usize);
        format!("{whole}.{fraction}")
    } else {
        format!("0.{}{digits}", "0".repeat((power - length) as usize))
    }
}
