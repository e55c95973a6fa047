//! Which failures are the same: the text of an error without what varies, and a number for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Invalid;
use crate::names::Kind;
use crate::outcome::ErrorClass;

mod shape;
mod title;

pub use title::MAX_TITLE_CHARS;

/// What the hash begins with. A change of the title's rules needs another one, and all groups begin anew.
const DOMAIN: &str = "lovage-failure-1";

/// The name of a group of failures: 64 bits, shown and read as 16 small hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint with these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits, e.g. to be kept as an integer.
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bits = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        bits.map(Self).ok_or_else(|| {
            Invalid::new(
                "failure",
                format!("{text:?} is not a fingerprint"),
                "use 16 digits of 0-9 and a-f, as it is shown",
            )
        })
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// The group of a failure, and the group's title: what the error says without what varies from job to job.
///
/// The title is one line of at most [`MAX_TITLE_CHARS`] characters: the message's first (the exception of a Python
/// traceback; a line that ends with a colon goes on with the next one). Replaced are quoted values (`<value>`), paths
/// (`<path>`), addresses (`<ip>`, `<email>`), instants (`<time>`), UUIDs, hexadecimal runs and other long ids (`<uuid>`,
/// `<hex>`, `<id>`) and numbers with their units (`<n>`); of a URL the scheme and the host stay. Kept are an HTTP status
/// and an SQLSTATE behind their names, and short numbers within a word (`utf8`). Several of the same in a row are one.
///
/// The fingerprint is the first 8 bytes of the SHA-256 of `lovage-failure-1`, the kind, the class as it is stored
/// (`failed`) and the title, joined with line feeds. It is the same in every release.
///
/// ```
/// use lovage_core::{ErrorClass, fingerprint};
///
/// let kind = "export.query".parse()?;
/// let (one, title) = fingerprint(&kind, ErrorClass::Failed, "job 4711: no answer from 10.0.0.7:6379 after 3.2 s");
/// assert_eq!(title, "job <n>: no answer from <ip>:<n> after <n>");
/// let (other, _) = fingerprint(&kind, ErrorClass::Failed, "job 12: no answer from 10.0.0.9:6379 after 30 s");
/// assert_eq!(one, other);
/// # Ok::<(), lovage_core::Invalid>(())
/// ```
pub fn fingerprint(kind: &Kind, class: ErrorClass, message: &str) -> (Fingerprint, String) {
    let title = title::of(message);
    let hash = Sha256::digest(format!("{DOMAIN}\n{kind}\n{}\n{title}", class_name(class)));
    let bits = hash.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    (Fingerprint(bits), title)
}

/// The class as it is stored. Spelled out here, for a renamed variant must not change a fingerprint.
const fn class_name(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Failed => "failed",
        ErrorClass::Panicked => "panicked",
        ErrorClass::TimedOut => "timed_out",
        ErrorClass::Rejected => "rejected",
        ErrorClass::WorkerLost => "worker_lost",
        ErrorClass::Released => "released",
    }
}
