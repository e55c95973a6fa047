//! From which queue of apalis to which of ours: `[SOURCE@]QUEUE=KIND`.

use std::fmt;
use std::str::FromStr;

use lovage_core::{Invalid, Kind, QueueName};

/// The name of the setting and the option, for errors.
const FIELD: &str = "adopt.apalis";
const HELP: &str = "use [SOURCE@]QUEUE=KIND: what apalis calls the queue (the same as ours if left out), our queue, and \
                    the kind that its jobs become, e.g. shop::Email@emails=email.send";
/// Longest name of a source: a type's name may be long, a key must not be endless.
const MAX_SOURCE_BYTES: usize = 512;

/// Tasks of one apalis queue become jobs of one kind in one of our queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// What apalis calls its queue: the name given to its `Config::queue`, else the name of the argument's Rust type.
    pub source: String,
    /// Our queue.
    pub queue: QueueName,
    /// The kind of the jobs.
    pub kind: Kind,
}

impl FromStr for Adoption {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |problem: String| Invalid::new(FIELD, problem, HELP);
        // From the end: neither a kind nor a queue contains the signs, a type's name may.
        let Some((left, kind)) = text.rsplit_once('=') else {
            return Err(wrong(format!("{text:?} has no `=KIND`")));
        };
        let (source, queue) = left.rsplit_once('@').unwrap_or((left, left));
        let (source, queue) = (source.trim(), queue.trim());
        if source.is_empty() || source.len() > MAX_SOURCE_BYTES || source.chars().any(char::is_control) {
            return Err(wrong(format!("the source of {text:?} is empty, too long or has a control character")));
        }
        Ok(Self {
            source: source.to_owned(),
            queue: queue.parse().map_err(|error| wrong(format!("{text:?}: {error}")))?,
            kind: kind.trim().parse().map_err(|error| wrong(format!("{text:?}: {error}")))?,
        })
    }
}

impl fmt::Display for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source != self.queue.as_str() {
            write!(f, "{}@", self.source)?;
        }
        write!(f, "{}={}", self.queue, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_and_written_back() {
        for (text, source) in [
            ("emails=email.send", "emails"),
            ("shop::mail::Email@emails=email.send", "shop::mail::Email"),
            ("alloc::vec::Vec<u8>@bytes=bytes.take", "alloc::vec::Vec<u8>"),
            ("a@b=c@emails=email.send", "a@b=c"),
        ] {
            let adoption: Adoption = text.parse().unwrap();
            assert_eq!(adoption.source, source);
            assert_eq!(adoption.kind.as_str().split('.').count(), 2);
            assert_eq!(adoption.to_string(), text);
        }
        assert_eq!("emails@emails=k".parse::<Adoption>().unwrap().to_string(), "emails=k");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("emails", "has no `=KIND`"),
            ("=k", "the source of"),
            ("@q=k", "the source of"),
            ("shop::Email=email.send", "queue: \"shop::Email\" contains ':'"),
            ("emails=", "kind: is empty"),
            ("a\nb@q=k", "control character"),
        ] {
            let error = text.parse::<Adoption>().unwrap_err();
            assert_eq!(error.field, "adopt.apalis");
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }
}
