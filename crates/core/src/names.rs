//! Validated names. Each can only be built by parsing, so a function that takes one need not check it again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::limits::{MAX_NAME_CHARS, MAX_QUEUE_CHARS};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $field:literal, $max:expr, $allowed:expr, $help:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() {
                    return Err(Invalid::new($field, "is empty", $help));
                }
                if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
                    return Err(Invalid::new($field, format!("{text:?} contains {bad:?}"), $help));
                }
                // Only ASCII is allowed, so bytes are characters from here on.
                if text.len() > $max {
                    return Err(Invalid::new($field, format!("is {} characters long", text.len()), $help));
                }
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-')
}

name!(
    /// A named line of jobs: `[a-z0-9_-]{1,64}`.
    QueueName, "queue", MAX_QUEUE_CHARS,
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'),
    "use 1 to 64 characters of a-z, 0-9, `_` and `-`"
);
name!(
    /// The registered name of a handler, e.g. `export.query`: `[A-Za-z0-9_.:-]{1,128}`.
    Kind, "kind", MAX_NAME_CHARS, word,
    "use 1 to 128 characters of A-Z, a-z, 0-9, `_`, `.`, `:` and `-`"
);
name!(
    /// The customer or team that a job belongs to: `[A-Za-z0-9_.:-]{1,128}`.
    Tenant, "tenant", MAX_NAME_CHARS, word,
    "use 1 to 128 characters of A-Z, a-z, 0-9, `_`, `.`, `:` and `-`"
);
name!(
    /// What jobs are limited by together, beside their tenant: an account, a host, a table. 1 to 128 visible ASCII
    /// characters other than `*`.
    FlowKey, "key", MAX_NAME_CHARS,
    |c| c.is_ascii_graphic() && c != '*',
    "use 1 to 128 visible ASCII characters other than `*`"
);
name!(
    /// The id of a worker process, unique per start: `[A-Za-z0-9_.:-]{1,128}`.
    WorkerId, "worker", MAX_NAME_CHARS, word,
    "use 1 to 128 characters of A-Z, a-z, 0-9, `_`, `.`, `:` and `-`"
);

name!(
    /// The name of a schedule: `[a-z0-9_.-]{1,64}`.
    ScheduleName, "name", MAX_QUEUE_CHARS,
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-'),
    "use 1 to 64 characters of a-z, 0-9, `_`, `.` and `-`"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_name_is_lower_case_and_short() {
        assert!("exports-2_b".parse::<QueueName>().is_ok());
        for bad in ["", "Exports", "a b", "ü", "a{b}", &"x".repeat(65)] {
            let error = bad.parse::<QueueName>().unwrap_err();
            assert_eq!(error.field, "queue", "{bad}");
            assert!(error.help.contains("1 to 64"), "{error}");
        }
    }

    #[test]
    fn a_name_read_from_json_is_checked_too() {
        assert!(serde_json::from_str::<Kind>("\"export.query\"").is_ok());
        assert!(serde_json::from_str::<Kind>("\"export query\"").is_err());
    }
}
