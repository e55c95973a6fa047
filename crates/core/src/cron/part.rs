//! A piece of an expression that knows where it stands, and the errors that say so.

use crate::error::Invalid;

/// Most characters of the text that an error repeats.
const SHOWN_CHARS: usize = 24;

/// A piece of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// Where it begins, in characters from 1.
    pub column: usize,
    /// Its characters.
    pub text: &'a str,
}

impl<'a> Part<'a> {
    /// The words of a text, between spaces.
    pub fn words(text: &'a str) -> Vec<Self> {
        let mut words = Vec::new();
        let mut rest = Self { column: 1, text };
        loop {
            rest = rest.after(rest.text.len() - rest.text.trim_start().len());
            if rest.text.is_empty() {
                return words;
            }
            let end = rest.text.find(char::is_whitespace).unwrap_or(rest.text.len());
            words.push(Self { column: rest.column, text: &rest.text[..end] });
            rest = rest.after(end);
        }
    }

    /// What stands before and after the first `separator`.
    pub fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((Self { column: self.column, text: &self.text[..at] }, self.after(at + separator.len_utf8())))
    }

    /// What stands between commas.
    pub fn items(self) -> Vec<Self> {
        let mut items = Vec::new();
        let mut rest = self;
        while let Some((item, tail)) = rest.split_once(',') {
            items.push(item);
            rest = tail;
        }
        items.push(rest);
        items
    }

    /// What is left after the first `bytes`, which end at a character's end.
    pub fn after(self, bytes: usize) -> Self {
        Self { column: self.column + self.text[..bytes].chars().count(), text: &self.text[bytes..] }
    }

    /// The piece without its last character, if that is `letter` in any case.
    pub fn strip_last(self, letter: char) -> Option<Self> {
        let text = self.text.strip_suffix([letter.to_ascii_lowercase(), letter.to_ascii_uppercase()])?;
        Some(Self { text, ..self })
    }

    /// The error of this piece: `minute: 60 at column 1 is out of range`.
    pub fn invalid(self, field: &str, problem: &str, help: impl Into<String>) -> Invalid {
        let what = if is_plain(self.text) { self.shown() } else { format!("{:?}", self.shown()) };
        invalid(format!("{field}: {what} at column {} {problem}", self.column), help)
    }

    /// The error of a place where something should stand.
    pub fn missing(self, field: &str, what: &str, help: impl Into<String>) -> Invalid {
        invalid(format!("{field}: {what} is missing at column {}", self.column), help)
    }

    fn shown(self) -> String {
        let mut shown: String = self.text.chars().take(SHOWN_CHARS).collect();
        if shown.len() < self.text.len() {
            shown.push_str("...");
        }
        shown
    }
}

/// The error of an expression.
pub(super) fn invalid(problem: impl Into<String>, help: impl Into<String>) -> Invalid {
    Invalid::new("cron", problem, help)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}
