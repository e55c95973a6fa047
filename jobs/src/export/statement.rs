//! Reads just enough of a query to accept one reading statement and nothing else.
//!
//! For Postgres this is a courtesy: clear errors, and a trailing semicolon or comment that `COPY (…)` would trip over is
//! cut off. What protects there is the server, which parses the text as one prepared statement of its own before it is
//! put between parentheses, in a read-only transaction. SQLite's driver would run several statements in one text,
//! and `ATTACH` or `PRAGMA` even on a read-only connection, so there this file is the gate.

use std::ops::Range;

use lovage_core::Invalid;

/// Whose quoting rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    Sqlite,
}

/// One reading statement, without what follows its last token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    text: String,
    /// Where `:name` stands for the value of a parameter, in order.
    placeholders: Vec<Range<usize>>,
}

impl Statement {
    /// Reads a query.
    pub(super) fn parse(sql: &str, dialect: Dialect) -> Result<Self, Invalid> {
        let help = "send one statement that begins with SELECT, WITH or VALUES";
        let refuse = |problem: String| Err(Invalid::new("sql", problem, help));
        if sql.contains('\0') {
            return refuse("contains a NUL character".to_owned());
        }
        let scan = Scan::of(sql, dialect);
        if scan.second_statement {
            return refuse("contains more than one statement".to_owned());
        }
        if scan.unterminated {
            return refuse("ends inside a quoted text or a comment".to_owned());
        }
        let allowed = match dialect {
            Dialect::Postgres => ["select", "with", "values", "table"].as_slice(),
            Dialect::Sqlite => &["select", "with", "values"],
        };
        let first = scan.first_word.to_ascii_lowercase();
        if first.is_empty() && scan.end == 0 {
            return refuse("is empty".to_owned());
        }
        if !allowed.contains(&first.as_str()) {
            return refuse(format!("begins with {:?}", sql.trim_start().chars().take(20).collect::<String>()));
        }
        Ok(Self { text: sql[..scan.end].to_owned(), placeholders: scan.placeholders })
    }

    /// Its text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, every `:name` left as it stands: for texts whose caller cannot send values.
    pub(super) fn verbatim(self) -> Self {
        Self { placeholders: Vec::new(), ..self }
    }

    /// The names of the parameters in the order in which they are used; one may come several times.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.placeholders.iter().map(|range| &self.text[range.start + 1..range.end])
    }

    /// The text with what `expression` answers in the place of each `:name`.
    pub(super) fn fill(&self, mut expression: impl FnMut(&str) -> String) -> String {
        let (mut text, mut at) = (String::with_capacity(self.text.len()), 0);
        for range in &self.placeholders {
            text.push_str(&self.text[at..range.start]);
            text.push_str(&expression(&self.text[range.start + 1..range.end]));
            at = range.end;
        }
        text.push_str(&self.text[at..]);
        text
    }
}

/// What one pass over the text finds.
struct Scan<'a> {
    first_word: &'a str,
    /// The end of the last token that is no semicolon.
    end: usize,
    second_statement: bool,
    unterminated: bool,
    placeholders: Vec<Range<usize>>,
}

impl<'a> Scan<'a> {
    fn of(sql: &'a str, dialect: Dialect) -> Self {
        let mut scan =
            Self { first_word: "", end: 0, second_statement: false, unterminated: false, placeholders: Vec::new() };
        let (mut at, mut semicolon, mut word) = (0, false, "");
        while at < sql.len() {
            let (mut token, mut length) = next(&sql[at..], word, dialect);
            if let Some(name) = placeholder(sql, at) {
                (token, length) = (Token::Mark, name);
                scan.placeholders.push(at..at + name);
            }
            word = if token == Token::Word { &sql[at..at + length] } else { "" };
            match token {
                Token::Blank => {}
                Token::Semicolon => semicolon = true,
                Token::Unterminated => scan.unterminated = true,
                Token::Text | Token::Word | Token::Mark => {
                    scan.second_statement |= semicolon;
                    if token == Token::Word && scan.first_word.is_empty() {
                        scan.first_word = &sql[at..at + length];
                    }
                    // Only parentheses may come before the first word.
                    if scan.first_word.is_empty() && !sql[at..].starts_with('(') {
                        scan.first_word = "?";
                    }
                    scan.end = at + length;
                }
            }
            at += length;
        }
        scan
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// White space or a comment.
    Blank,
    Semicolon,
    /// A quoted text or name.
    Text,
    Word,
    Mark,
    /// Goes on beyond the end.
    Unterminated,
}

/// The first token of `rest` (not empty) and its length; `word` is the word right in front of it, if there is one.
fn next(rest: &str, word: &str, dialect: Dialect) -> (Token, usize) {
    let first = rest.chars().next().unwrap_or_default();
    let closed = |end: Option<usize>| end.map_or((Token::Unterminated, rest.len()), |end| (Token::Text, end));
    match first {
        c if c.is_whitespace() => (Token::Blank, c.len_utf8()),
        '-' if rest.starts_with("--") => {
            let end = if dialect == Dialect::Postgres { rest.find(['\n', '\r']) } else { rest.find('\n') };
            (Token::Blank, end.unwrap_or(rest.len()))
        }
        '/' if rest.starts_with("/*") => match comment(rest, dialect) {
            Some(end) => (Token::Blank, end),
            None => (Token::Unterminated, rest.len()),
        },
        ';' => (Token::Semicolon, 1),
        '\'' if dialect == Dialect::Postgres && word.eq_ignore_ascii_case("e") => closed(escaped(rest)),
        '\'' | '"' => closed(quoted(rest, first)),
        '`' if dialect == Dialect::Sqlite => closed(quoted(rest, '`')),
        '[' if dialect == Dialect::Sqlite => closed(rest.find(']').map(|at| at + 1)),
        '$' if dialect == Dialect::Postgres => match dollar_tag(rest) {
            Some(tag) => closed(rest[tag.len()..].find(tag).map(|at| at + 2 * tag.len())),
            None => (Token::Mark, 1),
        },
        c if is_word(c) => (Token::Word, rest.find(|c| !is_word(c) && c != '$').unwrap_or(rest.len())),
        c => (Token::Mark, c.len_utf8()),
    }
}

/// The length of the `:name` at `at`, if there is one: not a cast (`::date`), and not the bound of a slice (`[a:b]`), in
/// front of which something stands.
fn placeholder(sql: &str, at: usize) -> Option<usize> {
    let rest = sql[at..].strip_prefix(':')?;
    let before = sql[..at].chars().next_back();
    if before.is_some_and(|c| is_word(c) || matches!(c, ':' | ']' | ')' | '"' | '\'')) {
        return None;
    }
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    (length > 0 && !rest.starts_with(|c: char| c.is_ascii_digit())).then_some(length + 1)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric() || !c.is_ascii() && !c.is_whitespace()
}

/// The end of a text between `quote`s; a doubled one is read as two texts side by side, which ends at the same place.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    rest[1..].find(quote).map(|at| at + 2)
}

/// The end of a text in which a backslash escapes the next character.
fn escaped(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '\'' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The `$tag$` with which a quoted text begins, if it does.
fn dollar_tag(rest: &str) -> Option<&str> {
    let tag = &rest[..rest[1..].find('$')? + 2];
    let name = &tag[1..tag.len() - 1];
    let valid = !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_word);
    valid.then_some(tag)
}

/// The end of a comment; Postgres nests them.
fn comment(rest: &str, dialect: Dialect) -> Option<usize> {
    if dialect == Dialect::Sqlite {
        return rest[2..].find("*/").map(|at| at + 4);
    }
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let opens = rest[at..].find("/*");
        let closes = rest[at..].find("*/")?;
        match opens {
            Some(open) if open < closes => (at, depth) = (at + open + 2, depth + 1),
            _ => (at, depth) = (at + closes + 2, depth - 1),
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::Postgres, Dialect::Sqlite];

    #[test]
    fn what_follows_the_last_token_is_cut_off() {
        for dialect in BOTH {
            for tail in ["", ";", " ; ;\n", " -- done", "; /* done; */ -- really;\n"] {
                let sql = format!(" /* a */ select ';' as \"b;c\" -- d;\n from e{tail}");
                let statement = Statement::parse(&sql, dialect).unwrap();
                assert_eq!(statement.as_str(), " /* a */ select ';' as \"b;c\" -- d;\n from e", "{dialect:?}");
            }
            assert!(Statement::parse("((select 1) union (values (2)))", dialect).is_ok());
            assert!(Statement::parse("WITH a AS (select 1) select * from a", dialect).is_ok());
        }
    }

    #[test]
    fn quoting_follows_the_dialect() {
        for sql in [
            r"select E'a\';' , 1",
            r"select 1 like'a\'",
            "select 1 -- a\r + 1",
            "select $$;$$, $a$ ; $$ ; $a$",
            "select a[1], /* /* ; */ ; */ 2",
            "select 'it''s;'",
        ] {
            assert_eq!(Statement::parse(sql, Dialect::Postgres).unwrap().as_str(), sql);
        }
        for sql in ["select [a;b], `c;d` from t", "select 'a\\' as b", "select 'it''s;', x'00'"] {
            assert_eq!(Statement::parse(sql, Dialect::Sqlite).unwrap().as_str(), sql);
        }
    }

    #[test]
    fn placeholders_are_found_where_a_value_can_stand_and_nowhere_else() {
        let sql =
            "select ':a', \":b\", x::date, y [1:n], $$:c$$, /* :d */ :e, (:e)::int from t -- :f\n where z>=:from_1";
        let statement = Statement::parse(sql, Dialect::Postgres).unwrap();
        assert_eq!(statement.placeholders().collect::<Vec<_>>(), ["e", "e", "from_1"]);
        assert_eq!(
            statement.fill(|name| format!("<{name}>")),
            "select ':a', \":b\", x::date, y [1:n], $$:c$$, /* :d */ <e>, (<e>)::int from t -- :f\n where z>=<from_1>"
        );
        assert_eq!(Statement::parse("select 1 where a = :", Dialect::Sqlite).unwrap().placeholders().count(), 0);
        assert_eq!(Statement::parse("select é:a, :é, :1", Dialect::Sqlite).unwrap().placeholders().count(), 0);
    }

    #[test]
    fn a_second_statement_and_other_verbs_are_refused() {
        for (sql, problem) in [
            ("select 1; select 2", "more than one statement"),
            ("select 1); attach 'x' as y; select (1", "more than one statement"),
            ("select '\\'; attach 'x' as y --'", "more than one statement"),
            ("attach 'x' as y", "begins with"),
            ("pragma query_only = off", "begins with"),
            ("delete from t", "begins with"),
            (";", "is empty"),
            ("-- nothing", "is empty"),
            ("", "is empty"),
            ("select 'a", "ends inside"),
            ("select 1 /* a", "ends inside"),
            ("select 1\0; select 2", "NUL"),
            ("'select' 1", "begins with"),
            ("*select", "begins with"),
        ] {
            let error = Statement::parse(sql, Dialect::Sqlite).unwrap_err().to_string();
            assert!(error.contains(problem), "{sql}: {error}");
        }
        for sql in ["select 1; drop table t", "copy t to program 'x'", "explain select 1", "select $a$ ; $b$"] {
            assert!(Statement::parse(sql, Dialect::Postgres).is_err(), "{sql}");
        }
    }
}
