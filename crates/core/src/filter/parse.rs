//! From terms to clauses: what each field takes for a value.

use std::str::FromStr;

use crate::clock::Timestamp;
use crate::error::Invalid;
use crate::filter::lex::{Term, Word, invalid, terms};
use crate::filter::number::{canonical_number, is_number};
use crate::filter::{
    ArgumentValue, Clause, ErrorWords, FIELDS, Filter, KindPattern, MAX_DEPTH, MAX_FILTER_BYTES, MAX_PATH_BYTES,
    MAX_SCALAR_BYTES, Test, value,
};
use crate::names::Kind;
use crate::nearest;
use crate::state::{DiscardReason, State};
use crate::validate;

pub(super) fn filter(text: &str, now: Timestamp) -> Result<Filter, Invalid> {
    let too_long = |what: &str, bytes: usize| {
        let help = format!("use at most {MAX_FILTER_BYTES} bytes");
        Invalid::new("filter", format!("{what} {bytes} bytes long"), help)
    };
    if text.len() > MAX_FILTER_BYTES {
        return Err(too_long("is", text.len()));
    }
    if let Some(at) = text.chars().position(|c| c == '\0') {
        return Err(invalid(at + 1, "there is a character U+0000", "leave it out: no job that is kept holds one"));
    }
    let terms = terms(text, bare_word)?;
    let clauses = terms
        .into_iter()
        .map(|term| Ok(Clause { negated: term.negated, test: test(&term, now)? }))
        .collect::<Result<_, Invalid>>()?;
    let filter = Filter { clauses };
    // Ages grow when they are written as instants; what is written back must be readable, too.
    let written = filter.to_string().len();
    if written > MAX_FILTER_BYTES {
        return Err(too_long("written out (ages as instants), it is", written));
    }
    Ok(filter)
}

fn test(term: &Term, now: Timestamp) -> Result<Test, Invalid> {
    if term.field != "args" && !term.path.is_empty() {
        let mut written = vec![term.field.as_str()];
        written.extend(term.path.iter().map(String::as_str));
        return Err(unknown_field(term.column, &written.join(".")));
    }
    Ok(match term.field.as_str() {
        "state" => {
            Test::State(each(term, |word| named(word, "state", &State::ALL.map(State::name), State::from_name))?)
        }
        "reason" => {
            let names = DiscardReason::ALL.map(DiscardReason::name);
            Test::Reason(each(term, |word| named(word, "reason", &names, DiscardReason::from_name))?)
        }
        "queue" => Test::Queue(each(term, parsed)?),
        "tenant" => Test::Tenant(each(term, |word| {
            if word.text == "none" && !word.quoted { Ok(None) } else { parsed(word).map(Some) }
        })?),
        "kind" => Test::Kind(each(term, kind)?),
        "tag" => Test::Tag(each(term, |word| match validate::tag(&word.text) {
            Ok(()) => Ok(word.text.clone()),
            Err(error) => Err(invalid(word.column, &format!("{:?} is not a tag", word.text), &error.help)),
        })?),
        "id" => Test::Id(each(term, parsed)?),
        "worker" => Test::Worker(each(term, parsed)?),
        "failure" => Test::Failure(each(term, parsed)?),
        "error" => Test::Error(each(term, |word| {
            let help = "write words that stand in the error: error:\"connection refused\"";
            ErrorWords::new(&word.text)
                .ok_or_else(|| invalid(word.column, &format!("{:?} has no letter or digit", word.text), help))
        })?),
        "attempt" => Test::Attempt(each(term, value::number_range)?),
        "created" => Test::Created(each(term, |word| value::time_range(word, now))?),
        "ended" => Test::Ended(each(term, |word| value::time_range(word, now))?),
        "args" => Test::Argument { path: path(term)?, values: each(term, argument)? },
        other => return Err(unknown_field(term.column, other)),
    })
}

fn each<T>(term: &Term, read: impl Fn(&Word) -> Result<T, Invalid>) -> Result<Vec<T>, Invalid> {
    term.values.iter().map(read).collect()
}

/// A value whose type checks it.
fn parsed<T: FromStr<Err = Invalid>>(word: &Word) -> Result<T, Invalid> {
    word.text.parse().map_err(|error: Invalid| at(word, &error))
}

/// The error of a value's type, with its place.
fn at(word: &Word, error: &Invalid) -> Invalid {
    // What an id's type says about leaving it out is meant for a new job.
    let help = error.help.trim_end_matches(", or leave it out");
    invalid(word.column, &format!("{} {}", error.field, error.problem), help)
}

fn named<T>(word: &Word, what: &str, names: &[&str], read: fn(&str) -> Option<T>) -> Result<T, Invalid> {
    read(&word.text).ok_or_else(|| {
        let meant = nearest(&word.text, names.iter().copied())
            .map(|name| format!("did you mean `{name}`? "))
            .unwrap_or_default();
        let help = format!("{meant}use one of {}", names.join(", "));
        invalid(word.column, &format!("{:?} is not a {what}", word.text), &help)
    })
}

fn kind(word: &Word) -> Result<KindPattern, Invalid> {
    let Some(prefix) = word.text.strip_suffix('*') else { return parsed(word).map(KindPattern::Exact) };
    if !prefix.is_empty() {
        let checked: Result<Kind, Invalid> = prefix.parse();
        checked.map_err(|error| {
            let error = Invalid { help: format!("{}, with `*` only at the end", error.help), ..error };
            at(word, &error)
        })?;
    }
    Ok(KindPattern::Prefix(prefix.to_owned()))
}

fn path(term: &Term) -> Result<Vec<String>, Invalid> {
    let problem = if term.path.is_empty() {
        "args has no path"
    } else if term.path.len() > MAX_DEPTH {
        "the path has too many keys"
    } else if term.path.iter().map(String::len).sum::<usize>() > MAX_PATH_BYTES {
        "the path is too long"
    } else {
        return Ok(term.path.clone());
    };
    let help = format!("write 1 to {MAX_DEPTH} keys of together at most {MAX_PATH_BYTES} bytes: args.user.id:42");
    Err(invalid(term.column, problem, &help))
}

fn argument(word: &Word) -> Result<ArgumentValue, Invalid> {
    let text = &word.text;
    if text.len() > MAX_SCALAR_BYTES {
        let help = format!("use at most {MAX_SCALAR_BYTES}: longer values of arguments are not searched");
        return Err(invalid(word.column, &format!("the value is {} bytes long", text.len()), &help));
    }
    Ok(match text.as_str() {
        text if word.quoted => ArgumentValue::Text(text.to_owned()),
        "true" => ArgumentValue::Bool(true),
        "false" => ArgumentValue::Bool(false),
        "null" => ArgumentValue::Null,
        text if is_number(text) => {
            ArgumentValue::Number { written: text.to_owned(), canonical: canonical_number(text) }
        }
        text => ArgumentValue::Text(text.to_owned()),
    })
}

fn unknown_field(column: usize, field: &str) -> Invalid {
    let meant = nearest(field, FIELDS).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    let help = format!("{meant}the fields are {} and args.PATH", FIELDS[..FIELDS.len() - 1].join(", "));
    invalid(column, &format!("{field:?} is not a field"), &help)
}

/// Nothing is searched everywhere: that would be slow by accident.
fn bare_word(column: usize, word: &str) -> Invalid {
    let fields = FIELDS[..FIELDS.len() - 1].join(", ");
    let help = format!(
        "write field:value with one of the fields {fields} or args.PATH; a value with spaces stands in quotes; \
         error:WORD searches errors"
    );
    invalid(column, &format!("{word:?} has no field"), &help)
}
