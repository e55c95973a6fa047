//! Secrets in events: what is declared secret is stored as a keyed hash. Equal values can be told to be equal, and nobody
//! without the key finds out what they were, not even by trying all card numbers.

use std::fmt;

use lovage_core::audit::{EventDraft, hex};
use lovage_core::{Invalid, RawJson};
use ring::hmac;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a stored value begins with.
const MARK: &str = "hmac-sha256:";
/// Fewest bytes of a key.
const LEAST_KEY: usize = 16;
const HELP: &str = "use paths into before, after and metadata, e.g. after.card.number,metadata.token";

/// Which parts of events are secret, and the key of their hashes.
pub struct Redaction {
    paths: Vec<(Document, Vec<String>)>,
    key: hmac::Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Document {
    Before,
    After,
    Metadata,
}

/// A JSON object whose fields stay in their order and, but for those that are replaced, byte for byte.
struct Object(Vec<(String, RawJson)>);

impl Redaction {
    /// Reads paths, with commas between them: `after.card.number,metadata.token`. A path into a list means each of its elements.
    pub fn parse(paths: &str, key: &str) -> Result<Self, Invalid> {
        let paths: Vec<_> =
            paths.split(',').map(str::trim).filter(|path| !path.is_empty()).map(path).collect::<Result<_, _>>()?;
        if paths.is_empty() {
            return Err(Invalid::new("audit.secret", "names no path", HELP));
        }
        if key.len() < LEAST_KEY {
            let help = "use at least 16 bytes, e.g. what `openssl rand -hex 32` writes, and keep it";
            return Err(Invalid::new("audit.secret_key", format!("has {} bytes", key.len()), help));
        }
        Ok(Self { paths, key: hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()) })
    }

    /// Replaces what is secret. An event that is sent twice is the same afterwards, too.
    pub fn apply(&self, event: &mut EventDraft) {
        for (document, path) in &self.paths {
            let json = match document {
                Document::Before => &mut event.before,
                Document::After => &mut event.after,
                Document::Metadata => &mut event.metadata,
            };
            if let Some(replaced) = json.as_ref().and_then(|json| self.replaced(json.get(), path)) {
                *json = Some(replaced);
            }
        }
    }

    /// The text with what `path` leads to replaced; nothing if there is nothing.
    fn replaced(&self, text: &str, path: &[String]) -> Option<RawJson> {
        if let Ok(mut elements) = serde_json::from_str::<Vec<RawJson>>(text) {
            if path.is_empty() {
                return self.hashed(text);
            }
            let mut any = false;
            for element in &mut elements {
                if let Some(replaced) = self.replaced(element.get(), path) {
                    *element = replaced;
                    any = true;
                }
            }
            return any.then(|| serde_json::value::to_raw_value(&elements).ok()).flatten();
        }
        let Some((first, rest)) = path.split_first() else { return self.hashed(text) };
        let mut object: Object = serde_json::from_str(text).ok()?;
        let mut any = false;
        // A name may stand there twice, and readers differ in which one they take.
        for (_, value) in object.0.iter_mut().filter(|(name, _)| name == first) {
            if let Some(replaced) = self.replaced(value.get(), rest) {
                *value = replaced;
                any = true;
            }
        }
        any.then(|| serde_json::value::to_raw_value(&object).ok()).flatten()
    }

    fn hashed(&self, text: &str) -> Option<RawJson> {
        // That there is nothing is no secret; and what is a hash already stays one.
        if text == "null" || text.starts_with(&format!("\"{MARK}")) {
            return None;
        }
        let tag = hmac::sign(&self.key, text.as_bytes());
        serde_json::value::to_raw_value(&format!("{MARK}{}", hex(tag.as_ref()))).ok()
    }
}

fn path(text: &str) -> Result<(Document, Vec<String>), Invalid> {
    let wrong = || Invalid::new("audit.secret", format!("has the path {text:?}"), HELP);
    let (document, rest) = text.split_once('.').unwrap_or((text, ""));
    let document = match document {
        "before" => Document::Before,
        "after" => Document::After,
        "metadata" => Document::Metadata,
        _ => return Err(wrong()),
    };
    let parts: Vec<String> = rest.split('.').map(str::to_owned).collect();
    if parts.iter().any(String::is_empty) {
        return Err(wrong());
    }
    Ok((document, parts))
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn after(paths: &str, json: &str) -> String {
        let mut event: EventDraft =
            serde_json::from_str(&format!(r#"{{"actor":"a","action":"b","after":{json}}}"#)).unwrap();
        Redaction::parse(paths, KEY).unwrap().apply(&mut event);
        event.after.map(|json| json.get().to_owned()).unwrap_or_default()
    }

    #[test]
    fn what_is_secret_is_a_keyed_hash_and_the_rest_stays_as_it_was() {
        let text = after(
            "after.card.number",
            r#"{"z": 1.00,"card":{"number":"4111","brand":"v"},"big":12345678901234567890}"#,
        );
        assert!(text.starts_with(r#"{"z":1.00,"card":{"number":"hmac-sha256:"#), "{text}");
        assert!(text.ends_with(r#"","brand":"v"},"big":12345678901234567890}"#) && !text.contains("4111"), "{text}");
        assert_eq!(after("after.card.number", &text), text, "applied twice it changes nothing");
        // As `printf '"4111"' | openssl dgst -sha256 -hmac 0123456789abcdef` has it.
        assert!(text.contains("aef39dbe4b95d3356d2ed1db2cd75ad5d07011dcc09a9d62ba0d6e4d730b5f3d"), "{text}");
        let other = after("after.card.number", r#"{"card":{"number":"4112"}}"#);
        assert!(!other.contains("aef39dbe4b95d3356d2ed1db2cd75ad5d07011dcc09a9d62ba0d6e4d730b5f3d"));
    }

    #[test]
    fn paths_lead_into_lists_and_past_what_is_not_there() {
        let text = after("after.cards.number", r#"{"cards":[{"number":1},{"number":2},{}, "x"]}"#);
        assert_eq!(text.matches(MARK).count(), 2, "{text}");
        assert_eq!(after("after.list", r#"{"list":[1,2]}"#).matches(MARK).count(), 1, "a list is one value");
        assert_eq!(after("after.a,after.a.b", r#"{"a":"x","a":"y"}"#).matches(MARK).count(), 2, "both of one name");
        for json in [r#"{"card":null}"#, "[]", "7", r#""card""#, r#"{"cards":{}}"#] {
            assert_eq!(after("after.card,before.x,metadata.y", json), json);
        }
        assert_eq!(after("after.card.number", "null"), "");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (paths, key, part) in [
            ("", KEY, "audit.secret: names no path"),
            ("actor", KEY, "audit.secret: has the path \"actor\""),
            ("after", KEY, "has the path \"after\""),
            ("after..b", KEY, "has the path"),
            ("after.a", "short", "audit.secret_key: has 5 bytes"),
        ] {
            let text = Redaction::parse(paths, key).unwrap_err().to_string();
            assert!(text.contains(part), "{paths}: {text}");
        }
        assert!(!format!("{:?}", Redaction::parse("after.a", KEY).unwrap()).contains(KEY));
    }
}
