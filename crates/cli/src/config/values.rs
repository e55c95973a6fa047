//! From the text of a setting to its value. An error says what is wrong and what to do; the caller names the setting.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lovage_core::{Kind, duration};

use super::Secret;

pub(super) fn number<T: FromStr + PartialOrd + Display + Copy>(text: &str, least: T, most: T) -> Result<T, String> {
    let wrong = || format!("is {text:?}; use a whole number from {least} to {most}");
    text.trim().replace('_', "").parse::<T>().ok().filter(|value| *value >= least && *value <= most).ok_or_else(wrong)
}

pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text.trim() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        other => Err(format!("is {other:?}; use true or false")),
    }
}

pub(super) fn optional(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn shown(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// The forms of Redis; the broker says what belongs behind each.
pub(super) const REDIS: &[&str] =
    &["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];

pub(super) fn path(value: Option<&PathBuf>) -> String {
    value.map(|path| path.display().to_string()).unwrap_or_default()
}

/// A URL with one of these schemes; the text itself is never repeated, it may carry a password.
pub(super) fn address(text: &str, schemes: &[&str]) -> Result<Option<Secret>, String> {
    let Some(text) = optional(text) else { return Ok(None) };
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    if !schemes.contains(&scheme) {
        let known: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}:")).collect();
        return Err(format!("is not an address that works here; begin it with {}", known.join(" or ")));
    }
    Ok(Some(Secret::new(text)))
}

/// Where to listen. A port alone would leave open for whom.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let help = "use an address with a port, e.g. 127.0.0.1:9090, or 0.0.0.0:9090 for all networks";
    text.trim().parse().map_err(|_| format!("is {text:?}; {help}"))
}

/// A token that nobody guesses; its text is never repeated.
pub(super) fn token(text: &str) -> Result<Option<Secret>, String> {
    let Some(text) = optional(text) else { return Ok(None) };
    if text.len() < 16 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let help = "use at least 16 letters, digits and signs without blanks, e.g. from `openssl rand -hex 32`";
        return Err(format!("is no token that can be used; {help}"));
    }
    Ok(Some(Secret::new(text)))
}

/// Kinds with commas between.
pub(super) fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| name.parse().map_err(|invalid: lovage_core::Invalid| invalid.to_string())).collect()
}

pub(super) fn age(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}
