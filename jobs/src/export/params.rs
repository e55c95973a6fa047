//! The parameters of a dataset: what callers may send, checked before any of it comes near a database.
//!
//! A checked value is kept as text in a form that both databases read the same way. SQLite binds it. Postgres' `COPY` takes
//! no bound values, so there the server itself quotes it (`format('%L')`) and it is cast to its type; a text that has
//! passed the check of its type and the server's quoting cannot be anything but one value.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use lovage_core::{Invalid, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The name that stands for the job's tenant in every dataset; callers cannot set it.
pub(super) const TENANT: &str = "tenant";
/// Longest text of one value in bytes, and most values of a list.
const MAX_TEXT: usize = 10_000;
const MAX_LIST: usize = 1_000;

/// A parameter as the configuration declares it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// What its values are.
    #[serde(rename = "type")]
    pub ty: ParamType,
    /// Whether it is a list of such values.
    #[serde(default)]
    pub list: bool,
    /// The value when the caller sends none. Without it the caller has to.
    #[serde(default)]
    pub default: Option<Value>,
    /// Whether the caller may send null, and null is the default.
    #[serde(default)]
    pub nullable: bool,
    /// The only values that are allowed; all when empty.
    #[serde(default)]
    pub one_of: Vec<Value>,
    /// What it means, for people.
    #[serde(default)]
    pub description: Option<String>,
}

/// What the values of a parameter are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// Any text without NUL.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A decimal number, kept exactly.
    Number,
    /// True or false.
    Boolean,
    /// `2024-02-29`.
    Date,
    /// An instant, `2024-02-29T12:00:00+08:00`; without an offset it is UTC.
    Timestamp,
    /// A UUID.
    Uuid,
}

/// A checked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) ty: ParamType,
    /// Whether it is a list, also when it is null.
    pub(super) list: bool,
    pub(super) value: BoundValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BoundValue {
    Null,
    One(String),
    List(Vec<String>),
}

/// The values of all parameters, from what the caller sent and what the configuration says.
pub(super) fn bind(
    declared: &BTreeMap<String, Param>,
    sent: &Map<String, Value>,
    tenant: Option<&Tenant>,
) -> Result<BTreeMap<String, Bound>, Invalid> {
    if let Some(unknown) = sent.keys().find(|name| !declared.contains_key(*name)) {
        let known: Vec<&str> = declared.keys().map(String::as_str).collect();
        let help = match known.as_slice() {
            [] => "the dataset has no parameters".to_owned(),
            known => format!("use one of: {}", known.join(", ")),
        };
        return Err(Invalid::new(format!("params.{unknown}"), "is not a parameter of the dataset", help));
    }
    let mut bound = BTreeMap::new();
    for (name, param) in declared {
        let value = sent.get(name).or(param.default.as_ref());
        bound.insert(name.clone(), param.check(name, value)?);
    }
    let value = tenant.map_or(BoundValue::Null, |tenant| BoundValue::One(tenant.as_str().to_owned()));
    bound.insert(TENANT.to_owned(), Bound { ty: ParamType::Text, list: false, value });
    Ok(bound)
}

impl Param {
    /// Checks the declaration itself; for when the configuration is read.
    pub(super) fn validate(&self, name: &str) -> Result<(), Invalid> {
        for value in &self.one_of {
            self.ty.text(value).map_err(|problem| self.refuse(&format!("{name}.one_of"), &problem))?;
        }
        match &self.default {
            Some(default) => self.check(name, Some(default)).map(|_| ()),
            None => Ok(()),
        }
    }

    fn check(&self, name: &str, value: Option<&Value>) -> Result<Bound, Invalid> {
        let bound = |value| Ok(Bound { ty: self.ty, list: self.list, value });
        match value {
            None | Some(Value::Null) if self.nullable => bound(BoundValue::Null),
            None => Err(self.refuse(name, "is missing")),
            Some(Value::Array(values)) if self.list => {
                if values.len() > MAX_LIST {
                    return Err(
                        self.refuse(name, &format!("has {} values, at most {MAX_LIST} are allowed", values.len()))
                    );
                }
                let texts = values.iter().map(|value| self.one(name, value));
                bound(BoundValue::List(texts.collect::<Result<_, _>>()?))
            }
            // One value is a list of one: that is how it is typed on a command line.
            Some(value) if self.list => bound(BoundValue::List(vec![self.one(name, value)?])),
            Some(value) => bound(BoundValue::One(self.one(name, value)?)),
        }
    }

    fn one(&self, name: &str, value: &Value) -> Result<String, Invalid> {
        let text = self.ty.text(value).map_err(|problem| self.refuse(name, &problem))?;
        let allowed = |allowed: &Value| self.ty.text(allowed).as_deref() == Ok(&text);
        if self.one_of.is_empty() || self.one_of.iter().any(allowed) {
            return Ok(text);
        }
        let values: Vec<String> = self.one_of.iter().map(Value::to_string).collect();
        Err(Invalid::new(format!("params.{name}"), format!("is {value}"), format!("use one of: {}", values.join(", "))))
    }

    fn refuse(&self, name: &str, problem: &str) -> Invalid {
        let list = if self.list { "a list, each " } else { "" };
        Invalid::new(format!("params.{name}"), problem, format!("send {list}{}", self.ty.form()))
    }
}

impl ParamType {
    /// The value's text, if it is one of this type. Numbers and flags may also come as text: that is how they are typed
    /// on a command line.
    fn text(self, value: &Value) -> Result<String, String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) if matches!(self, Self::Integer | Self::Number) => number.to_string(),
            Value::Bool(flag) if self == Self::Boolean => flag.to_string(),
            other => return Err(format!("is {other}")),
        };
        let wrong = || format!("is {text:?}");
        if text.len() > MAX_TEXT {
            return Err(format!("is {} bytes long, at most {MAX_TEXT} are allowed", text.len()));
        }
        match self {
            Self::Text if text.contains('\0') => Err("contains a NUL character".to_owned()),
            Self::Text => Ok(text),
            Self::Integer => text.trim().parse::<i64>().map(|number| number.to_string()).map_err(|_| wrong()),
            Self::Number => is_decimal(text.trim()).then(|| text.trim().to_owned()).ok_or_else(wrong),
            Self::Boolean => text.trim().parse::<bool>().map(|flag| flag.to_string()).map_err(|_| wrong()),
            // The library would also take a time and forget it.
            Self::Date if text.trim().len() != 10 => Err(wrong()),
            Self::Date => text.trim().parse::<Date>().map(|date| date.to_string()).map_err(|_| wrong()),
            Self::Timestamp => instant(text.trim()).map(|instant| instant.to_string()).ok_or_else(wrong),
            Self::Uuid => is_uuid(text.trim()).then(|| text.trim().to_ascii_lowercase()).ok_or_else(wrong),
        }
    }

    /// The type in Postgres.
    pub(super) fn postgres(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "bigint",
            Self::Number => "numeric",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamptz",
            Self::Uuid => "uuid",
        }
    }

    /// What to send, for people.
    fn form(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "a whole number, e.g. 42",
            Self::Number => "a number, e.g. 12.50",
            Self::Boolean => "true or false",
            Self::Date => "a date, e.g. 2024-02-29",
            Self::Timestamp => "an instant, e.g. 2024-02-29T12:00:00+08:00",
            Self::Uuid => "a UUID, e.g. 018f3f0e-5c2a-7b7e-8d2c-1f2e3d4c5b6a",
        }
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    let utc = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    text.parse::<Timestamp>().ok().or_else(utc)
}

fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let exponent = exponent.is_none_or(|text| text.parse::<i16>().is_ok_and(|number| number.abs() <= 1_000));
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared(text: &str) -> BTreeMap<String, Param> {
        serde_json::from_str(text).unwrap()
    }

    fn bound(declaration: &str, sent: &Value) -> Result<BTreeMap<String, Bound>, String> {
        let sent = sent.as_object().unwrap();
        bind(&declared(declaration), sent, None).map_err(|error| error.to_string())
    }

    #[test]
    fn each_type_takes_its_values_and_says_what_it_wants_instead() {
        for (ty, good, text, bad) in [
            ("text", json!("it's"), "it's", json!("a\0b")),
            ("integer", json!(-42), "-42", json!(1.5)),
            ("integer", json!("9007199254740993"), "9007199254740993", json!("1; drop table t")),
            ("number", json!("-12.50"), "-12.50", json!("NaN")),
            ("number", json!(12.5), "12.5", json!("1e99999")),
            ("boolean", json!(true), "true", json!("yes")),
            ("date", json!("2024-02-29"), "2024-02-29", json!("2023-02-29")),
            ("date", json!("2024-02-29"), "2024-02-29", json!("2024-02-29 23:00:00")),
            ("timestamp", json!("2024-02-29T12:00:00+08:00"), "2024-02-29T04:00:00Z", json!("noon")),
            ("timestamp", json!("2024-02-29 12:00:00"), "2024-02-29T12:00:00Z", json!(1_709_208_000)),
            ("uuid", json!("018F3F0E-5C2A-7B7E-8D2C-1F2E3D4C5B6A"), "018f3f0e-5c2a-7b7e-8d2c-1f2e3d4c5b6a", json!("1")),
        ] {
            let declaration = format!(r#"{{"p": {{"type": "{ty}"}}}}"#);
            let values = bound(&declaration, &json!({ "p": good })).unwrap();
            assert_eq!(values["p"].value, BoundValue::One(text.to_owned()), "{ty}");
            let error = bound(&declaration, &json!({ "p": bad })).unwrap_err();
            assert!(error.starts_with("params.p: ") && error.contains("; send "), "{error}");
        }
    }

    #[test]
    fn defaults_nulls_lists_and_choices() {
        let declaration = r#"{"a": {"type": "integer", "default": 7}, "b": {"type": "text", "nullable": true},
            "c": {"type": "text", "list": true, "one_of": ["paid", "open"]}}"#;
        let values = bound(declaration, &json!({"c": ["open"]})).unwrap();
        assert_eq!(values["a"].value, BoundValue::One("7".to_owned()));
        assert_eq!(values["b"].value, BoundValue::Null);
        assert_eq!(values["c"].value, BoundValue::List(vec!["open".to_owned()]));
        assert_eq!(bound(declaration, &json!({})).unwrap_err(), "params.c: is missing; send a list, each a text");
        let error = bound(declaration, &json!({"c": ["gone"]})).unwrap_err();
        assert_eq!(error, "params.c: is \"gone\"; use one of: \"paid\", \"open\"");
        let error = bound(declaration, &json!({"c": [], "d": 1})).unwrap_err();
        assert_eq!(error, "params.d: is not a parameter of the dataset; use one of: a, b, c");
    }

    #[test]
    fn the_tenant_comes_from_the_job_and_never_from_the_caller() {
        let sent = json!({"tenant": "other"});
        assert!(bound("{}", &sent).unwrap_err().starts_with("params.tenant: is not a parameter"));
        let tenant: Tenant = "acme".parse().unwrap();
        let values = bind(&BTreeMap::new(), &Map::new(), Some(&tenant)).unwrap();
        assert_eq!(values[TENANT].value, BoundValue::One("acme".to_owned()));
    }
}
