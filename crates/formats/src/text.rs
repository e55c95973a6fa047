//! Values as text, in the words of Postgres: what `COPY … (FORMAT csv)` and a cast to `text` show.

use std::io::Write as _;

use jiff::tz::TimeZone;

use crate::civil;
use crate::value::Value;

/// Adds a value's text; a null has none. Instants are written in `zone` with their offset.
pub(crate) fn push(out: &mut Vec<u8>, value: &Value<'_>, zone: &TimeZone) {
    match *value {
        Value::Null => {}
        Value::Bool(value) => out.push(if value { b't' } else { b'f' }),
        Value::Int(number) => push_int(out, number),
        Value::Float32(number) => push_float(out, f64::from(number), &format!("{number:e}"), 6),
        Value::Float64(number) => push_float(out, number, &format!("{number:e}"), 15),
        Value::Decimal(number) => number.write(out),
        Value::Text(text) | Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => push_hex(out, bytes),
        Value::Date(days) => {
            if !civil::push_infinite_day(out, days) {
                let before_christ = civil::push_date(out, days.into());
                push_era(out, before_christ);
            }
        }
        Value::Time(micros) => civil::push_time(out, micros, 6),
        Value::Timestamp(micros) => {
            if !civil::push_infinite_instant(out, micros) {
                let before_christ = push_moment(out, micros, b' ', 6);
                push_era(out, before_christ);
            }
        }
        Value::TimestampTz(micros) => {
            if !civil::push_infinite_instant(out, micros) {
                let offset = civil::offset(zone, micros);
                let before_christ = push_moment(out, local(micros, offset), b' ', 6);
                civil::push_offset(out, offset);
                push_era(out, before_christ);
            }
        }
        Value::Uuid(bytes) => push_uuid(out, &bytes),
    }
}

/// The local time at an instant, in the unit of both; the last instants of all stay as they are.
pub(crate) fn local(micros: i64, offset: i32) -> i64 {
    micros.saturating_add(i64::from(offset) * 1_000_000)
}

/// Adds date and time of day with `between` between them and at most `digits` of the fraction; answers whether it is BC.
pub(crate) fn push_moment(out: &mut Vec<u8>, micros: i64, between: u8, digits: usize) -> bool {
    let before_christ = civil::push_date(out, micros.div_euclid(civil::DAY));
    out.push(between);
    civil::push_time(out, micros.rem_euclid(civil::DAY), digits);
    before_christ
}

/// Adds the mark of years before 1, as Postgres does.
pub(crate) fn push_era(out: &mut Vec<u8>, before_christ: bool) {
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Adds a whole number.
pub(crate) fn push_int(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Adds `\x` and hexadecimal digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    out.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}

/// Adds a UUID in its usual form.
pub(crate) fn push_uuid(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Adds the shortest digits that read back as the same number, laid out as Postgres does: plain while the exponent is at
/// least -4 and below `limit`, else with a sign and at least two digits of the exponent. `shortest` has the digits in
/// scientific form (`1.25e-7`).
fn push_float(out: &mut Vec<u8>, number: f64, shortest: &str, limit: i32) {
    if number.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if number.is_infinite() {
        return out.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits = match mantissa.strip_prefix('-') {
        Some(rest) => {
            out.push(b'-');
            rest
        }
        None => mantissa,
    };
    // Writing to a vector cannot fail.
    if !(-4..limit).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        drop(write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs()));
        return;
    }
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_digit).collect();
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend_from_slice(&digits);
        return;
    }
    let whole = exponent as usize + 1;
    out.extend_from_slice(&digits[..whole.min(digits.len())]);
    out.extend(std::iter::repeat_n(b'0', whole.saturating_sub(digits.len())));
    if let Some(fraction) = digits.get(whole..).filter(|fraction| !fraction.is_empty()) {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::{DAY_INFINITY, MICROS_INFINITY, MICROS_NEG_INFINITY};

    fn text(value: Value<'_>) -> String {
        in_zone(value, &TimeZone::UTC)
    }

    fn in_zone(value: Value<'_>, zone: &TimeZone) -> String {
        let mut out = Vec::new();
        push(&mut out, &value, zone);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_as_in_postgres() {
        // Right sides: `select x::float8` and `select x::float4` of PostgreSQL 15.
        for (number, shown) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (2.0, "2"),
            (0.1, "0.1"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (1e300, "1e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(Value::Float64(number)), shown);
        }
        assert_eq!(text(Value::Float32(0.1)), "0.1");
        assert_eq!(text(Value::Float32(1e6)), "1e+06");
        assert_eq!(text(Value::Float32(123_456.0)), "123456");
    }

    #[test]
    fn times_look_as_in_postgres() {
        assert_eq!(text(Value::Date(DAY_INFINITY)), "infinity");
        assert_eq!(text(Value::Date(-730_120)), "0001-12-31 BC");
        assert_eq!(text(Value::Timestamp(-1)), "1999-12-31 23:59:59.999999");
        assert_eq!(text(Value::TimestampTz(0)), "2000-01-01 00:00:00+00");
        assert_eq!(text(Value::TimestampTz(MICROS_INFINITY)), "infinity");
        assert_eq!(text(Value::Timestamp(MICROS_NEG_INFINITY)), "-infinity");
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        assert_eq!(in_zone(Value::TimestampTz(0), &shanghai), "2000-01-01 08:00:00+08");
        // The last instant that Postgres holds, in the year 294276.
        assert_eq!(text(Value::TimestampTz(9_223_371_331_199_999_999)), "294276-12-31 23:59:59.999999+00");
    }

    #[test]
    fn bytes_and_uuids_have_their_usual_form() {
        assert_eq!(text(Value::Bytes(&[0, 0xab])), "\\x00ab");
        assert_eq!(text(Value::Uuid([0xa0; 16])), "a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0");
    }

    proptest! {
        #[test]
        fn any_float_reads_back_as_itself(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            prop_assert_eq!(text(Value::Float64(number)).parse::<f64>().unwrap().to_bits(), bits);
            let number = f32::from_bits(bits as u32);
            prop_assume!(number.is_finite());
            prop_assert_eq!(text(Value::Float32(number)).parse::<f32>().unwrap().to_bits(), bits as u32);
        }
    }
}
