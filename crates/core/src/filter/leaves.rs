//! The scalars of a job's arguments with the keys that lead to them.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::filter::number::canonical_number;
use crate::filter::{MAX_DEPTH, MAX_PATH_BYTES, MAX_SCALAR_BYTES};

/// A scalar of JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leaf {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as [`canonical_number`] writes it.
    Number(String),
    /// A string without its quotes and escapes.
    Text(String),
}

/// The scalars of a JSON document with the object keys that lead to each, in the order of the text, at most `most`.
///
/// Elements of an array have the array's path. Left out are: a scalar under no key, scalars longer than
/// [`MAX_SCALAR_BYTES`], what lies deeper than [`MAX_DEPTH`] objects and arrays, what lies under keys of more than
/// [`MAX_PATH_BYTES`] together, and strings and keys that no ledger can hold (half a surrogate pair, U+0000). The same path
/// may come more than once, also with the same leaf. A text that is not JSON has no leaves.
///
/// ```
/// use lovage_core::filter::{Leaf, leaves};
///
/// let found = leaves(r#"{"user": {"id": 42.0}, "tags": ["a", null]}"#, 100);
/// assert_eq!(found[0], (vec!["user".to_owned(), "id".to_owned()], Leaf::Number("42".to_owned())));
/// assert_eq!(found[2], (vec!["tags".to_owned()], Leaf::Null));
/// ```
pub fn leaves(args_json: &str, most: usize) -> Vec<(Vec<String>, Leaf)> {
    let mut walk = Walk { path: Vec::new(), path_bytes: 0, depth: 0, most, found: Vec::new() };
    // Reads the whole text before anything is taken from it: what follows meets only valid JSON.
    if let Ok(document) = serde_json::from_str::<&RawValue>(args_json) {
        walk.value(document.get());
    }
    walk.found
}

struct Walk {
    path: Vec<String>,
    path_bytes: usize,
    depth: usize,
    most: usize,
    found: Vec<(Vec<String>, Leaf)>,
}

impl Walk {
    fn is_full(&self) -> bool {
        self.found.len() >= self.most
    }

    /// Takes the leaves of one value, given as its text. A container's text is read once for each level around it, which
    /// [`MAX_DEPTH`] bounds; that is what keeping numbers as text costs.
    fn value(&mut self, json: &str) {
        match json.as_bytes().first() {
            Some(b'{' | b'[') => self.container(json),
            _ if self.path.is_empty() || self.is_full() => {}
            _ => {
                if let Some(leaf) = scalar(json) {
                    self.found.push((self.path.clone(), leaf));
                }
            }
        }
    }

    fn container(&mut self, json: &str) {
        if self.depth == MAX_DEPTH {
            return;
        }
        self.depth += 1;
        // An error means that enough was found, or half a surrogate pair in a key: what came before it stays.
        let _ = serde_json::Deserializer::from_str(json).deserialize_any(&mut *self);
        self.depth -= 1;
    }

    fn member(&mut self, key: String, json: &str) {
        let bytes = key.len();
        if self.path_bytes + bytes > MAX_PATH_BYTES || key.contains('\0') {
            return;
        }
        self.path.push(key);
        self.path_bytes += bytes;
        self.value(json);
        self.path_bytes -= bytes;
        self.path.pop();
    }
}

impl<'de> Visitor<'de> for &mut Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            self.member(key, value.get());
            if self.is_full() {
                return Err(A::Error::custom("enough"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            self.value(element.get());
            if self.is_full() {
                return Err(A::Error::custom("enough"));
            }
        }
        Ok(())
    }
}

/// The leaf of a scalar's text; none if it is too long or cannot be held.
fn scalar(json: &str) -> Option<Leaf> {
    // An escape takes at most 6 bytes for one; what is longer need not be decoded to know that it is too long.
    if json.len() > 6 * MAX_SCALAR_BYTES + 2 {
        return None;
    }
    let leaf = match json.as_bytes().first()? {
        b'n' => Leaf::Null,
        b't' => Leaf::Bool(true),
        b'f' => Leaf::Bool(false),
        b'"' => Leaf::Text(serde_json::from_str(json).ok()?),
        _ if json.len() > MAX_SCALAR_BYTES => return None,
        _ => Leaf::Number(canonical_number(json)),
    };
    match &leaf {
        Leaf::Text(text) | Leaf::Number(text) if text.len() > MAX_SCALAR_BYTES || text.contains('\0') => None,
        _ => Some(leaf),
    }
}
