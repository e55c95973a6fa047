//! The line of an error that says what happened, with what varies replaced. Linear in the length of the message: a run
//! without spaces is looked at as a whole, then word by word, and never again.

use crate::fingerprint::shape::{self, Word};

/// Longest title of a group of failures, in characters.
pub const MAX_TITLE_CHARS: usize = 200;
const TRACEBACK: &str = "Traceback (most recent call last):";
const NUMBER: &str = "<n>";
/// Most bytes of a terminal's colour that are looked at.
const LONGEST_COLOUR: usize = 24;

pub(super) fn of(message: &str) -> String {
    let mut scan = Scan::default();
    scan.line(line(message).trim());
    let title = scan.out.trim();
    if title.is_empty() {
        return "no message".to_owned();
    }
    if title.chars().count() <= MAX_TITLE_CHARS {
        return title.to_owned();
    }
    title.chars().take(MAX_TITLE_CHARS - 1).chain(['…']).collect()
}

/// The line that says what happened.
fn line(message: &str) -> String {
    let mut lines = message.lines().map(str::trim_end).filter(|line| !line.trim_start().is_empty());
    let first = lines.next().unwrap_or_default();
    if first.trim_start() == TRACEBACK {
        // Of exceptions that led to one another the last is the one that got out. Its frames are indented.
        let last = message.rfind(TRACEBACK).map_or("", |at| &message[at + TRACEBACK.len()..]);
        let exception = last.lines().find(|line| line.starts_with(|c: char| !c.is_whitespace()));
        return exception.unwrap_or(first).to_owned();
    }
    match lines.next() {
        Some(second) if first.ends_with(':') => format!("{first} {}", second.trim_start()),
        _ => first.to_owned(),
    }
}

/// A title that is being written.
#[derive(Default)]
struct Scan {
    out: String,
    /// The last two words of letters, in small ones; the later one is the second.
    words: [String; 2],
    /// Quotes of which none closes from here on.
    unclosed: Vec<char>,
}

fn in_run(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || "_-.+/\\:@%~#&?$*^".contains(c) } else { c.is_alphanumeric() }
}

/// What may stand in a URL or a path behind its beginning.
fn in_address(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !"\"'`<>()[]{}|".contains(c)
}

/// The length of a terminal's colour at the beginning of `rest`: `ESC [ 1 ; 31 m`.
fn colour(rest: &str) -> Option<usize> {
    let numbers = rest.strip_prefix("\u{1b}[")?;
    let end = numbers.bytes().take(LONGEST_COLOUR).position(|b| !b.is_ascii_digit() && b != b';')?;
    (numbers.as_bytes()[end] == b'm').then_some("\u{1b}[m".len() + end)
}

fn run_end(text: &str, inside: fn(char) -> bool) -> usize {
    text.find(|c| !inside(c)).unwrap_or(text.len())
}

/// What ends a sentence is not part of what stands before it.
fn without_end(text: &str) -> &str {
    text.trim_end_matches(['.', ':', ',', ';', '?', '!'])
}

impl Scan {
    fn line(&mut self, line: &str) {
        let mut rest = line;
        // What lies behind the longest title need not be read.
        while let Some(c) = rest.chars().next()
            && self.out.len() <= 4 * MAX_TITLE_CHARS + 64
        {
            let taken = if matches!(c, '"' | '\'' | '`') {
                self.quoted(c, rest)
            } else if in_run(c) {
                self.run(rest)
            } else if let Some(length) = colour(rest) {
                length
            } else {
                self.other(c);
                c.len_utf8()
            };
            rest = &rest[taken..];
        }
    }

    /// Several spaces are one, and whatever else does not show is a space.
    fn other(&mut self, c: char) {
        if c.is_whitespace() || c.is_control() {
            if !self.out.ends_with(' ') {
                self.out.push(' ');
            }
        } else {
            self.out.push(c);
        }
    }

    /// Puts `mark` in the place of something; one mark stands for several in a row: `[1, 2, 3]` is `[<n>]`.
    fn replace(&mut self, mark: &str) {
        let separators: &[&str] = if mark == NUMBER { &[", ", " ", ",", ".", "_"] } else { &[", ", " ", ",", ""] };
        let again = separators.iter().find(|s| self.out.strip_suffix(**s).is_some_and(|before| before.ends_with(mark)));
        match again {
            Some(separator) => self.out.truncate(self.out.len() - separator.len()),
            None => self.out.push_str(mark),
        }
    }

    /// A quoted value, if the quote opens one. Answers how much of `rest` was taken.
    fn quoted(&mut self, quote: char, rest: &str) -> usize {
        if self.opens(quote) {
            if let Some(length) = closing(quote, rest) {
                self.replace("<value>");
                return length;
            }
            self.unclosed.push(quote);
        }
        self.out.push(quote);
        1
    }

    /// An apostrophe within a word opens nothing; behind the letter of a Python literal (`b'x'`) it does.
    fn opens(&self, quote: char) -> bool {
        let mut before = self.out.chars().rev();
        let (last, one_before) = (before.next(), before.next());
        let in_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let literal = matches!(last, Some('b' | 'r' | 'u' | 'f')) && !in_word(one_before);
        !self.unclosed.contains(&quote) && (quote != '\'' || !in_word(last) || literal)
    }

    /// A run without spaces and quotes. Answers how much of `rest` was taken.
    fn run(&mut self, rest: &str) -> usize {
        let run = &rest[..run_end(rest, in_run)];
        if let Some(at) = run.find("://") {
            let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
            let start = run[..at].rfind(|c| !is_scheme(c)).map_or(0, |last| last + char_len(run, last));
            self.words(&run[..start]);
            return start + self.url(&rest[start..], at - start);
        }
        let is_ipv6 = run.strip_prefix("::").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()));
        let lead = if is_ipv6 || (run.starts_with(['.', '~']) && run.contains(['/', '\\'])) {
            0
        } else {
            run_end(run, |c| ":-+.#@&?*%$^~".contains(c))
        };
        let core = without_end(&run[lead..]);
        // A sign belongs to its number.
        let signed = matches!(&run[..lead], "-" | "+") && core.starts_with(|c: char| c.is_ascii_digit());
        self.out.push_str(if signed { "" } else { &run[..lead] });
        let Some(mark) = shape::of_run(core) else {
            self.words(core);
            return lead + core.len() + self.unit(&rest[lead + core.len()..]);
        };
        self.replace(mark);
        if mark == "<path>" && core.starts_with('/') {
            // It may go on with what ends other runs: `/find?ids=1,2`.
            return lead + without_end(&rest[lead..lead + run_end(&rest[lead..], in_address)]).len().max(core.len());
        }
        lead + core.len()
    }

    /// A URL whose scheme is `scheme` bytes long: the scheme and the host stay. Answers how much was taken.
    fn url(&mut self, rest: &str, scheme: usize) -> usize {
        let start = scheme + "://".len();
        let in_brackets = |c: char| c.is_ascii_hexdigit() || matches!(c, '[' | ']' | ':' | '.' | '%');
        let behind = &rest[start..];
        // `[::1]:80` has brackets that end addresses elsewhere.
        let head = if behind.starts_with('[') { run_end(behind, in_brackets) } else { 0 };
        let whole = head + without_end(&behind[head..head + run_end(&behind[head..], in_address)]).len();
        let authority = behind[..whole].split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        self.out.push_str(&rest[..start]);
        if host.starts_with('[') || shape::ipv4(host).is_some() {
            self.out.push_str("<ip>");
        } else {
            self.out.push_str(host.split(':').next().unwrap_or_default());
        }
        start + whole
    }

    /// The words of a run, one by one.
    fn words(&mut self, run: &str) {
        let mut rest = run;
        while let Some(c) = rest.chars().next() {
            let taken = if !c.is_ascii_alphanumeric() {
                self.out.push(c);
                c.len_utf8()
            } else if let Some(length) = shape::uuid(rest) {
                self.replace("<uuid>");
                length
            } else if let Some(length) = shape::ipv4(rest).filter(|_| !self.out.ends_with('.')) {
                self.replace("<ip>");
                length
            } else {
                let word = &rest[..run_end(rest, |c| c.is_ascii_alphanumeric())];
                self.word(word);
                let behind = &rest[word.len()..];
                word.len() + self.signed_exponent(word, behind).max(self.micro(behind))
            };
            rest = &rest[taken..];
        }
    }

    fn word(&mut self, word: &str) {
        match shape::of_word(word) {
            Word::Number if self.is_code(word) => {
                self.out.push_str(word);
                self.words = [String::new(), String::new()];
            }
            Word::Number => self.replace(NUMBER),
            Word::Hex => self.replace("<hex>"),
            Word::Id => self.replace("<id>"),
            Word::Numbered(end) => {
                self.out.push_str(&word[..end]);
                self.out.push_str(NUMBER);
            }
            Word::Plain => {
                self.out.push_str(word);
                self.words.swap(0, 1);
                self.words[1] = word.to_ascii_lowercase();
            }
        }
    }

    /// `5µs`: the one unit that is not ASCII. Answers how much of `rest` belongs to the number.
    fn micro(&self, rest: &str) -> usize {
        let unit = rest.starts_with(['µ', 'μ']) && self.out.ends_with(NUMBER);
        if unit { shape::unit(rest).unwrap_or(0) } else { 0 }
    }

    /// `1.5e-7`: the sign parts what is one number. Answers how much of `rest` belongs to it.
    fn signed_exponent(&mut self, word: &str, rest: &str) -> usize {
        let mantissa = word.strip_suffix(['e', 'E']).unwrap_or_default();
        let is_mantissa = !mantissa.is_empty() && mantissa.bytes().all(|b| b.is_ascii_digit());
        let digits = rest.strip_prefix(['-', '+']).map_or(0, |rest| run_end(rest, |c| c.is_ascii_digit()));
        if !is_mantissa || digits == 0 {
            return 0;
        }
        self.out.truncate(self.out.len() - word.len());
        self.replace(NUMBER);
        1 + digits
    }

    /// Whether the number says what happened: an HTTP status or an SQLSTATE, right behind its name.
    fn is_code(&self, number: &str) -> bool {
        let is_status = || matches!(number.as_bytes(), [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']);
        match [self.words[0].as_str(), self.words[1].as_str()] {
            [_, "sqlstate"] => number.len() == 5,
            [_, "http" | "https" | "status" | "statuscode"] | ["status", "code"] => is_status(),
            _ => false,
        }
    }

    /// A unit that stands behind a number and a space belongs to the number. Answers how much of `rest` was taken.
    fn unit(&self, rest: &str) -> usize {
        let unit = rest.strip_prefix(' ').filter(|_| self.out.ends_with(NUMBER)).and_then(shape::unit);
        unit.map_or(0, |length| 1 + length)
    }
}

fn char_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

/// The length of the quoted value at the beginning of `rest`, quotes included; none if it is not closed.
fn closing(quote: char, rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        let in_word = || rest[at + 1..].chars().next().is_some_and(char::is_alphanumeric);
        if bytes[at] == b'\\' {
            at += 1;
        } else if bytes[at] == quote as u8 && (quote != '\'' || !in_word()) {
            return Some(at + 1);
        }
        at += 1;
    }
    None
}
