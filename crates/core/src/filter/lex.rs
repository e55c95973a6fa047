//! Cuts the text of a filter into terms, without knowing what fields there are.

use crate::error::Invalid;
use crate::filter::{MAX_TERMS, MAX_VALUES};

/// A term as it was written.
pub(super) struct Term {
    /// Where it begins, in characters from 1.
    pub column: usize,
    /// Whether `-` stood before it.
    pub negated: bool,
    /// What stands before the first dot or colon.
    pub field: String,
    /// The keys after the field, each after a dot.
    pub path: Vec<String>,
    /// What stands after the colon, at least one.
    pub values: Vec<Word>,
}

/// A value as it was written.
pub(super) struct Word {
    /// Where it begins, in characters from 1.
    pub column: usize,
    /// Without quotes and escapes.
    pub text: String,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// The error of a filter.
pub(super) fn invalid(column: usize, problem: &str, help: &str) -> Invalid {
    Invalid::new("filter", format!("at column {column}: {problem}"), help)
}

/// Whether a key of a path can stand without quotes.
pub(super) fn is_bare_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(in_key)
}

/// Whether a value can stand without quotes.
pub(super) fn is_bare_value(value: &str) -> bool {
    !value.is_empty() && value.chars().all(in_value)
}

fn in_key(c: char) -> bool {
    in_value(c) && c != '.' && c != ':'
}

fn in_value(c: char) -> bool {
    !c.is_whitespace() && c != ',' && c != '"'
}

/// All terms of the text. `bare` makes the error for a word without a field, from its column and its text.
pub(super) fn terms(text: &str, bare: impl Fn(usize, &str) -> Invalid) -> Result<Vec<Term>, Invalid> {
    let mut cursor = Cursor { rest: text, column: 1 };
    let mut terms = Vec::new();
    loop {
        cursor.take_while(char::is_whitespace);
        if cursor.rest.is_empty() {
            return Ok(terms);
        }
        if terms.len() == MAX_TERMS {
            let problem = format!("there are more than {MAX_TERMS} terms");
            return Err(invalid(cursor.column, &problem, "leave some out, or join values of a field with commas"));
        }
        terms.push(cursor.term(&bare)?);
    }
}

/// What is left of the text, and the column at which it begins.
struct Cursor<'a> {
    rest: &'a str,
    column: usize,
}

impl<'a> Cursor<'a> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.column += 1;
        Some(c)
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.rest.starts_with(c);
        if there {
            self.next();
        }
        there
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len()));
        self.rest = rest;
        self.column += taken.chars().count();
        taken
    }

    fn term(&mut self, bare: &impl Fn(usize, &str) -> Invalid) -> Result<Term, Invalid> {
        let column = self.column;
        let negated = self.eat('-');
        if negated && self.rest.starts_with('-') {
            return Err(invalid(column, "a term begins with more than one `-`", "use one `-` to turn a term round"));
        }
        if negated && self.rest.chars().next().is_none_or(char::is_whitespace) {
            return Err(invalid(column, "`-` stands alone", "write it right before a term: -state:completed"));
        }
        let start = self.column;
        let whole = self.rest.split(char::is_whitespace).next().unwrap_or_default();
        let field = self.take_while(in_key).to_owned();
        let mut path = Vec::new();
        while self.eat('.') {
            path.push(self.key()?);
        }
        if !self.eat(':') {
            return Err(bare(start, whole));
        }
        Ok(Term { column: start, negated, field, path, values: self.values()? })
    }

    fn key(&mut self) -> Result<String, Invalid> {
        let column = self.column;
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        let key = self.take_while(in_key);
        if key.is_empty() {
            let help =
                "write a key after each dot: args.user.id:42; an empty key, or one with other characters, in quotes";
            return Err(invalid(column, "a key of the path is missing", help));
        }
        Ok(key.to_owned())
    }

    fn values(&mut self) -> Result<Vec<Word>, Invalid> {
        let mut values = Vec::new();
        loop {
            let column = self.column;
            if values.len() == MAX_VALUES {
                let problem = format!("the term has more than {MAX_VALUES} values");
                return Err(invalid(column, &problem, "leave some out"));
            }
            let quoted = self.rest.starts_with('"');
            let text = if quoted { self.quoted()? } else { self.take_while(in_value).to_owned() };
            if text.is_empty() && !quoted {
                let help = "write a value right after the colon and after each comma, without a space before it";
                return Err(invalid(column, "a value is missing", help));
            }
            values.push(Word { column, text, quoted });
            if self.eat(',') {
                continue;
            }
            if self.rest.chars().next().is_none_or(char::is_whitespace) {
                return Ok(values);
            }
            let help = "put the whole value in quotes, and write \\\" for a quote in it";
            return Err(invalid(self.column, "quotes do not hold the whole value", help));
        }
    }

    /// Reads from the opening to the closing quote.
    fn quoted(&mut self) -> Result<String, Invalid> {
        let opening = self.column;
        self.next();
        let mut text = String::new();
        loop {
            let column = self.column;
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => match self.next() {
                    Some(escaped @ ('"' | '\\')) => text.push(escaped),
                    _ => {
                        return Err(invalid(
                            column,
                            "a backslash escapes nothing",
                            "write \\\\ for a backslash in quotes",
                        ));
                    }
                },
                Some(c) => text.push(c),
                None => return Err(invalid(opening, "the quote is not closed", "end it with another quote")),
            }
        }
    }
}
