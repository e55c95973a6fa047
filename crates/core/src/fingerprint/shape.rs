//! What a run of characters looks like: an address, an instant, a path, an id, a number with its unit. Each question looks
//! at every character a fixed number of times.

use std::net::{Ipv4Addr, Ipv6Addr};

const UUID_LENGTH: usize = 36;
/// From here on a word of hexadecimal digits is a hash, as short as Git shows one.
const HEX_LENGTH: usize = 7;
/// From here on a word of letters and digits is an id.
const ID_LENGTH: usize = 16;
/// From here on digits at the end of a word are a number: `user12345`, but not `sha256`.
const TAIL_LENGTH: usize = 4;

/// Units of time and size that go with their number, so that `250ms`, `3.2 s` and `1 minute` are the same.
const UNITS: &[&str] = &[
    "ns",
    "us",
    "µs",
    "μs",
    "ms",
    "s",
    "m",
    "h",
    "d",
    "w",
    "msec",
    "msecs",
    "sec",
    "secs",
    "second",
    "seconds",
    "min",
    "mins",
    "minute",
    "minutes",
    "hr",
    "hrs",
    "hour",
    "hours",
    "day",
    "days",
    "week",
    "weeks",
    "nanoseconds",
    "microseconds",
    "millisecond",
    "milliseconds",
    "millis",
    "b",
    "kb",
    "mb",
    "gb",
    "tb",
    "kib",
    "mib",
    "gib",
    "tib",
    "byte",
    "bytes",
];
const LONGEST_UNIT: usize = 12;

/// What a word of ASCII letters and digits is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// To be kept.
    Plain,
    /// A number, with its unit or without.
    Number,
    /// Hexadecimal digits.
    Hex,
    /// Letters and digits without a meaning.
    Id,
    /// To be kept up to this byte; a number follows.
    Numbered(usize),
}

/// What a whole run without spaces is.
pub(super) fn of_run(run: &str) -> Option<&'static str> {
    if is_path(run) {
        Some("<path>")
    } else if is_email(run) {
        Some("<email>")
    } else if is_time(run) {
        Some("<time>")
    } else if is_ipv6(run) {
        Some("<ip>")
    } else {
        None
    }
}

pub(super) fn of_word(word: &str) -> Word {
    let all = |wanted: fn(&u8) -> bool| word.as_bytes().iter().all(wanted);
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let tail = word.bytes().rev().take_while(u8::is_ascii_digit).count();
    let is_0x =
        word.strip_prefix("0x").is_some_and(|hex| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if digits == word.len() || is_measure(word) {
        Word::Number
    } else if is_0x || (all(u8::is_ascii_hexdigit) && word.len() >= HEX_LENGTH && digits > 0) {
        Word::Hex
    } else if word.len() >= ID_LENGTH && digits >= 2 {
        Word::Id
    } else if tail >= TAIL_LENGTH {
        Word::Numbered(word.len() - tail)
    } else {
        Word::Plain
    }
}

/// The length of a unit at the beginning of `text`, if a word ends behind it.
pub(super) fn unit(text: &str) -> Option<usize> {
    let length = text.char_indices().take(LONGEST_UNIT + 1).find(|(_, c)| !c.is_alphabetic());
    let word = &text[..length.map_or_else(|| text.len().min(LONGEST_UNIT + 1), |(at, _)| at)];
    let ends = text[word.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric());
    (ends && is_unit(word)).then_some(word.len())
}

fn is_unit(word: &str) -> bool {
    word.len() <= LONGEST_UNIT && UNITS.contains(&word.to_ascii_lowercase().as_str())
}

/// Numbers with units, one after the other: `30s`, `1h30m`, `5e9`.
fn is_measure(word: &str) -> bool {
    let exponent = |rest: &str| rest.strip_prefix(['e', 'E']).is_some_and(|e| !e.is_empty() && all_digits(e));
    let mut rest = word;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let letters = &rest[number..];
        let unit = letters.find(|c: char| c.is_ascii_digit()).unwrap_or(letters.len());
        if number == 0 || !(is_unit(&letters[..unit]) || exponent(letters)) {
            return false;
        }
        rest = if is_unit(&letters[..unit]) { &letters[unit..] } else { "" };
    }
    true
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether `bytes` begin like `pattern`: `0` stands for a digit, `f` for a hexadecimal one.
fn begins(bytes: &[u8], pattern: &str) -> bool {
    bytes.len() >= pattern.len()
        && pattern.bytes().zip(bytes).all(|(wanted, byte)| match wanted {
            b'0' => byte.is_ascii_digit(),
            b'f' => byte.is_ascii_hexdigit(),
            other => *byte == other,
        })
}

/// The length of a UUID at the beginning of `text`.
pub(super) fn uuid(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let ends = bytes.get(UUID_LENGTH).is_none_or(|b| !b.is_ascii_alphanumeric());
    (ends && begins(bytes, "ffffffff-ffff-ffff-ffff-ffffffffffff")).then_some(UUID_LENGTH)
}

/// The length of an IPv4 address at the beginning of `text`.
pub(super) fn ipv4(text: &str) -> Option<usize> {
    // The longest has 15 characters; one more shows that it ends.
    let bytes = &text.as_bytes()[..text.len().min(16)];
    let length = bytes.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let address = text[..length].trim_end_matches('.');
    let ends = text.as_bytes().get(address.len()).is_none_or(|b| !b.is_ascii_alphanumeric());
    (ends && address.parse::<Ipv4Addr>().is_ok()).then_some(address.len())
}

fn is_ipv6(run: &str) -> bool {
    // Paths of Rust have colons, too, but seldom a digit between hexadecimal letters.
    let address = run.split('%').next().unwrap_or(run);
    address.len() <= 45 && address.bytes().any(|b| b.is_ascii_digit()) && address.parse::<Ipv6Addr>().is_ok()
}

/// A date, a time of day with seconds, or both as in RFC 3339.
fn is_time(run: &str) -> bool {
    let bytes = run.as_bytes();
    let rest = if begins(bytes, "0000-00-00") || begins(bytes, "0000/00/00") {
        match &bytes[10..] {
            [] | [b'Z'] => return true,
            [b'T' | b't' | b'_' | b'-' | b':', rest @ ..] => rest,
            _ => return false,
        }
    } else {
        bytes
    };
    begins(rest, "00:00:00") && rest[8..].iter().all(|b| b.is_ascii_digit() || b".:+-Zz".contains(b))
}

fn is_email(run: &str) -> bool {
    run.split_once('@').is_some_and(|(user, host)| {
        let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        !user.is_empty() && host.bytes().all(is_host) && host.trim_matches('.').contains('.')
    })
}

fn is_path(run: &str) -> bool {
    let bytes = run.as_bytes();
    let drive =
        bytes.len() > 3 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'\\' | b'/');
    let begins = ["/", "./", "../", "~/", "\\\\"].iter().any(|start| run.starts_with(start));
    let steps = run.bytes().filter(|b| matches!(b, b'/' | b'\\')).count();
    let is_step = |b: u8| b.is_ascii_alphanumeric() || !b.is_ascii();
    // `src/main.rs:4:5` has an ending of letters; `HTTP/1.1` and `read/write` have none.
    let ending = || {
        let last = run.rsplit(['/', '\\']).next().unwrap_or_default();
        last.rsplit_once('.').is_some_and(|(_, end)| end.starts_with(|c: char| c.is_ascii_alphabetic()))
    };
    steps > 0 && !is_time(run) && run.bytes().any(is_step) && (drive || begins || steps > 1 || ending())
}
