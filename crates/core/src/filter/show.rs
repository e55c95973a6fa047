//! Writes a filter as the text that is read back as the same filter.

use std::fmt::{self, Display, Write as _};

use crate::filter::lex::{is_bare_key, is_bare_value};
use crate::filter::number::is_number;
use crate::filter::value::{DAY, END, written};
use crate::filter::{ArgumentValue, Clause, ErrorWords, Filter, KindPattern, NumberRange, Test, TimeRange};
use crate::names::Tenant;

impl Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, clause) in self.clauses.iter().enumerate() {
            if index > 0 {
                f.write_char(' ')?;
            }
            clause.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_char('-')?;
        }
        self.test.fmt(f)
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(values) => term(f, "state", values, Display::fmt),
            Self::Kind(values) => term(f, "kind", values, Display::fmt),
            Self::Queue(values) => term(f, "queue", values, Display::fmt),
            Self::Tenant(values) => term(f, "tenant", values, |value, f| tenant(value.as_ref(), f)),
            Self::Tag(values) => term(f, "tag", values, |tag, f| maybe_quoted(tag, is_bare_value(tag), f)),
            Self::Id(values) => term(f, "id", values, Display::fmt),
            Self::Worker(values) => term(f, "worker", values, Display::fmt),
            Self::Reason(values) => term(f, "reason", values, Display::fmt),
            Self::Failure(values) => term(f, "failure", values, Display::fmt),
            Self::Error(values) => term(f, "error", values, error),
            Self::Attempt(values) => term(f, "attempt", values, Display::fmt),
            Self::Created(values) => term(f, "created", values, Display::fmt),
            Self::Ended(values) => term(f, "ended", values, Display::fmt),
            Self::Argument { path, values } => {
                f.write_str("args")?;
                for key in path {
                    f.write_char('.')?;
                    maybe_quoted(key, is_bare_key(key), f)?;
                }
                term(f, "", values, argument)
            }
        }
    }
}

impl Display for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(kind) => kind.fmt(f),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Display for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from == to => from.fmt(f),
            (Some(from), Some(to)) => write!(f, "{from}..{to}"),
            (Some(from), None) => write!(f, ">={from}"),
            (None, Some(to)) => write!(f, "<={to}"),
            (None, None) => f.write_str(">=0"),
        }
    }
}

impl Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_midnight = |millis: u64| millis.is_multiple_of(DAY);
        match (self.from.map(crate::Timestamp::as_millis), self.until.map(crate::Timestamp::as_millis)) {
            (Some(from), Some(until)) if from < until && is_midnight(from) && is_midnight(until) => {
                date(f, from)?;
                if until - from > DAY {
                    f.write_str("..")?;
                    date(f, until - DAY)?;
                }
                Ok(())
            }
            // Both ends of a written range belong to it.
            (Some(from), Some(until)) => write!(f, "{}..{}", written(from), written(until.saturating_sub(1))),
            (Some(from), None) => bound(f, [">=", ">"], from),
            (None, Some(until)) => bound(f, ["<", "<="], until),
            (None, None) => bound(f, [">=", ">"], 0),
        }
    }
}

/// The second operator is for the one instant that is only reached from the one before it.
fn bound(f: &mut fmt::Formatter<'_>, operators: [&str; 2], millis: u64) -> fmt::Result {
    if millis >= END {
        return write!(f, "{}{}", operators[1], written(END - 1));
    }
    f.write_str(operators[0])?;
    if millis.is_multiple_of(DAY) { date(f, millis) } else { write!(f, "{}", written(millis)) }
}

/// The day that begins at this instant.
fn date(f: &mut fmt::Formatter<'_>, midnight: u64) -> fmt::Result {
    let text = written(midnight).to_string();
    f.write_str(text.split('T').next().unwrap_or(&text))
}

type Show<T> = fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result;

fn term<T>(f: &mut fmt::Formatter<'_>, field: &str, values: &[T], show: Show<T>) -> fmt::Result {
    write!(f, "{field}:")?;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            f.write_char(',')?;
        }
        show(value, f)?;
    }
    Ok(())
}

fn tenant(tenant: Option<&Tenant>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match tenant {
        None => f.write_str("none"),
        // Somebody's tenant may have this very name.
        Some(tenant) => maybe_quoted(tenant.as_str(), tenant.as_str() != "none", f),
    }
}

fn error(words: &ErrorWords, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = words.as_slice().join(" ");
    maybe_quoted(&text, is_bare_value(&text), f)
}

fn argument(value: &ArgumentValue, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        ArgumentValue::Text(text) => {
            let is_text = !is_number(text) && !matches!(text.as_str(), "true" | "false" | "null");
            maybe_quoted(text, is_text && is_bare_value(text), f)
        }
        ArgumentValue::Number { written, .. } => f.write_str(written),
        ArgumentValue::Bool(value) => value.fmt(f),
        ArgumentValue::Null => f.write_str("null"),
    }
}

fn maybe_quoted(text: &str, bare: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if bare {
        return f.write_str(text);
    }
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}
