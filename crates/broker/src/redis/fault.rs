//! From Redis' errors to the broker's, by what the caller does about them.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::BrokerError;

/// Replies that mean "not now": out of memory, read-only replica, loading, fail-over, busy, a full disk, too few replicas,
/// a server that became a replica while somebody waited.
const NOT_NOW: [&str; 11] = [
    "OOM",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "BUSY",
    "MISCONF",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "UNKILLABLE",
    "UNBLOCKED",
];
/// Replies about the right to speak.
const NOT_ALLOWED: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "DENIED"];

/// Sorts an error. `address` is host and port.
pub(super) fn broker_error(address: &str, error: &RedisError) -> BrokerError {
    let text = format!("redis at {address}: {error}");
    if error.kind() == ErrorKind::AuthenticationFailed {
        return BrokerError::Misconfigured(format!("{text}; check user and password of the address"));
    }
    if let Some(help) = setup_problem(error, &text) {
        return BrokerError::Misconfigured(format!("{text}; {help}"));
    }
    if is_connection_gone(error) {
        return BrokerError::Unavailable(text);
    }
    let code = error.code().unwrap_or_default();
    // An error inside a script comes as ERR or as its own code; older releases only have it in the text.
    let has = |codes: &[&str]| codes.contains(&code) || codes.iter().any(|code| leads(error.detail(), code));
    if has(&NOT_NOW) || leads(error.detail(), "max number of clients reached") {
        BrokerError::Unavailable(text)
    } else if has(&NOT_ALLOWED) {
        BrokerError::Misconfigured(format!("{text}; check user, password and rights (ACL) of the address"))
    } else if text.contains("The user executing the script can't") {
        // Redis 7.0 does not say which command or key it was.
        let help = "the user lacks a right that the scripts need; ACL LOG names it, docs/guide/redis.md lists them all";
        BrokerError::Misconfigured(format!("{text}; {help}"))
    } else {
        BrokerError::Protocol(text)
    }
}

/// Whether the user of the address lacks the right for a call.
pub(super) fn is_forbidden(error: &BrokerError) -> bool {
    matches!(error, BrokerError::Misconfigured(reason) if reason.contains("NOPERM") || reason.contains("no permission"))
}

/// What a person has to change, when the two sides do not fit together.
fn setup_problem(error: &RedisError, text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    if error.kind() == ErrorKind::MasterNameNotFoundBySentinel {
        Some("check the name behind the sentinels in the address")
    } else if error.is_io_error() && lower.contains("certificate") {
        Some("set redis_ca_file to the authority that signed the server's certificate, and name the server as in it")
    } else if text.contains("cluster support disabled") {
        Some("this server is in no cluster; leave +cluster out of the address")
    } else if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::CrossSlot)) {
        Some("this server is in a cluster; begin the address with redis+cluster:// or rediss+cluster://")
    } else {
        None
    }
}

/// Whether the text begins with the word, after the `ERR` or `-` that some releases put before it.
fn leads(detail: Option<&str>, word: &str) -> bool {
    let detail = detail.unwrap_or_default().trim_start_matches("ERR ").trim_start_matches('-');
    detail.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ':', '\'']))
}

/// Whether the connection must not be used any more: broken, silent for too long, or to a server that became a replica.
pub(super) fn is_connection_gone(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Whether Redis does not have the script.
pub(super) fn is_script_missing(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
