//! Reading what scripts answer. A shape that no script of this release answers is [`BrokerError::Protocol`].

use redis::Value;

use crate::error::BrokerError;

/// Result of reading a reply.
type Result<T> = std::result::Result<T, BrokerError>;

fn odd(wanted: &str, value: &Value) -> BrokerError {
    // The value itself may hold a job's arguments, so only its sort is told.
    let sort = match value {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a text",
        Value::Array(_) => "a list",
        _ => "something else",
    };
    BrokerError::Protocol(format!("wanted {wanted}, got {sort}"))
}

/// A list.
pub(super) fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        other => Err(odd("a list", &other)),
    }
}

/// Bytes; nothing counts as empty.
pub(super) fn bytes(value: Value) -> Result<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        Value::Nil => Ok(Vec::new()),
        other => Err(odd("bytes", &other)),
    }
}

/// A text; nothing counts as empty.
pub(super) fn text(value: Value) -> Result<String> {
    let bytes = bytes(value)?;
    String::from_utf8(bytes).map_err(|_| BrokerError::Protocol("a text is not UTF-8".into()))
}

/// A number, as such or as a text.
pub(super) fn number(value: &Value) -> Result<i64> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::BulkString(digits) => std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<f64>().ok())
            .map(|number| number as i64)
            .ok_or_else(|| odd("a number", value)),
        other => Err(odd("a number", other)),
    }
}

/// A number of things.
pub(super) fn count(value: &Value) -> Result<u64> {
    number(value).map(|number| u64::try_from(number).unwrap_or(0))
}

/// Texts.
pub(super) fn texts(value: Value) -> Result<Vec<String>> {
    list(value)?.into_iter().map(text).collect()
}

/// The items one after another; an error when there are fewer than the reader wants.
pub(super) struct Items(std::vec::IntoIter<Value>);

impl Items {
    pub(super) fn of(value: Value) -> Result<Self> {
        Ok(Self(list(value)?.into_iter()))
    }

    /// The next item.
    pub(super) fn take(&mut self) -> Result<Value> {
        self.0.next().ok_or_else(|| BrokerError::Protocol("an answer is shorter than it should be".into()))
    }

    /// Whether there is no further item.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}
