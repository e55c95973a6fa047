//! What is refused: where, why, and what to write instead.

use lovage_core::filter::{FIELDS, Filter};
use lovage_core::{DiscardReason, Invalid, State};

use crate::now;

fn refused(text: &str) -> Invalid {
    let error = Filter::parse(text, now()).unwrap_err();
    assert_eq!(error.field, "filter", "{text}");
    assert!(!error.help.is_empty(), "{text}");
    error
}

/// Text, column, and parts of the problem and of the help.
const REFUSED: &[(&str, usize, &str, &str)] = &[
    ("state:completed refused", 17, "\"refused\" has no field", "error:WORD"),
    ("created:<1h ago", 13, "\"ago\" has no field", "in quotes"),
    ("\"connection refused\"", 1, "has no field", "error:WORD"),
    ("sate:completed", 1, "\"sate\" is not a field", "did you mean `state`?"),
    ("tenants:a", 1, "is not a field", "did you mean `tenant`?"),
    ("Queue:a", 1, "is not a field", "did you mean `queue`?"),
    ("x:a", 1, "\"x\" is not a field", "the fields are state, queue"),
    (":a", 1, "\"\" is not a field", "the fields are"),
    ("state.x:completed", 1, "\"state.x\" is not a field", "the fields are"),
    ("state:", 7, "a value is missing", "right after the colon"),
    ("state: completed", 7, "a value is missing", "without a space"),
    ("state:completed,", 17, "a value is missing", "after each comma"),
    ("state:completed,,running", 17, "a value is missing", "after each comma"),
    ("-", 1, "`-` stands alone", "right before a term"),
    ("- state:running", 1, "`-` stands alone", "right before a term"),
    ("--state:running", 1, "more than one `-`", "use one"),
    ("-stat:running", 2, "is not a field", "did you mean `state`?"),
    ("tag:\"a b", 5, "the quote is not closed", "another quote"),
    ("tag:\"a\\", 7, "a backslash escapes nothing", "write \\\\"),
    ("tag:\"a\\n\"", 7, "a backslash escapes nothing", "write \\\\"),
    ("tag:\"a\"b", 8, "quotes do not hold the whole value", "the whole value in quotes"),
    ("created:<\"1h ago\"", 10, "quotes do not hold the whole value", "the whole value in quotes"),
    ("tag:\"\"", 5, "\"\" is not a tag", "1 to 64 characters"),
    ("tag:ü state:x", 13, "\"x\" is not a state", "scheduled, available"),
    ("state:complete", 7, "\"complete\" is not a state", "did you mean `completed`?"),
    ("reason:expiredd", 8, "is not a reason", "did you mean `expired`?"),
    ("queue:exports,Ä", 15, "queue \"Ä\" contains 'Ä'", "1 to 64 characters of a-z"),
    ("tenant:\"a b\"", 8, "tenant \"a b\" contains ' '", "1 to 128"),
    ("kind:a*b", 6, "kind \"a*b\" contains '*'", "1 to 128"),
    ("kind:a*b*", 6, "kind \"a*b\" contains '*'", "`*` only at the end"),
    ("worker:a/b", 8, "worker \"a/b\" contains '/'", "1 to 128"),
    ("id:a/b", 4, "id \"a/b\" contains '/'", "1 to 128"),
    ("failure:xyz", 9, "is not a fingerprint", "16 digits"),
    ("failure:0123456789ABCDEF", 9, "is not a fingerprint", "16 digits"),
    ("error:\"--- !\"", 7, "no letter or digit", "error:\"connection refused\""),
    ("attempt:x", 9, "is not a number or a range", "attempt:>2"),
    ("attempt:-1", 9, "is not a number or a range", "from 0"),
    ("attempt:4294967296", 9, "is not a number or a range", "4294967295"),
    ("attempt:>4294967295", 9, "holds no number", "4294967295"),
    ("attempt:<0", 9, "holds no number", "from 0"),
    ("attempt:4..2", 9, "ends before it begins", "attempt:2..4"),
    ("attempt:..", 9, "has no end", "attempt:2..4"),
    ("attempt:>2..4", 9, "is not a number or a range", "attempt:2..4"),
    ("created:1h", 9, "is an age without < or >", "created:<1h"),
    ("created:2026-11-26T10:00:00Z", 9, "is an instant without < or >", "created:>="),
    ("created:<1y", 9, "is neither an age nor a date nor an instant", "created:<1h"),
    ("created:yesterday", 9, "is neither an age nor a date nor an instant", "created:2026-11-26"),
    ("created:2026-02-30", 9, "has a date that does not exist", "created:2026-11-26"),
    ("created:>2026-11-26T10:00:00", 9, "no `Z` or offset", "T08:00:00Z"),
    ("created:<1969-12-31", 9, "is not from 1970 to 9998", "created:"),
    ("created:<9999-01-01", 9, "is not from 1970 to 9998", "created:"),
    ("created:7d..1d", 9, "has an age in a range", "created:>7d"),
    ("created:..1d", 9, "has an age in a range", "created:>7d"),
    ("created:..", 9, "has no end", "created:"),
    ("ended:2026-11-26..2026-11-25", 7, "ends before it begins", "created:"),
    ("args:42", 1, "args has no path", "args.user.id:42"),
    ("args.:42", 6, "a key of the path is missing", "after each dot"),
    ("args.a..b:42", 8, "a key of the path is missing", "after each dot"),
    ("args.a", 1, "\"args.a\" has no field", "field:value"),
    ("args.\"a\"b:1", 1, "has no field", "field:value"),
    ("tag:a\0", 6, "U+0000", "leave it out"),
];

#[test]
fn each_error_names_the_column_the_fault_and_the_way_out() {
    for &(text, column, problem, help) in REFUSED {
        let error = refused(text);
        assert!(error.problem.starts_with(&format!("at column {column}: ")), "{text}: {error}");
        assert!(error.problem.contains(problem), "{text}: {error}");
        assert!(error.help.contains(help), "{text}: {error}");
    }
}

#[test]
fn a_word_without_a_field_is_told_all_fields() {
    let help = refused("timeout").help;
    for field in FIELDS {
        assert!(help.contains(field), "{field}: {help}");
    }
}

#[test]
fn an_unknown_state_or_reason_is_told_all_of_them() {
    for state in State::ALL {
        assert!(refused("state:dead").help.contains(state.name()), "{state}");
    }
    for reason in DiscardReason::ALL {
        assert!(refused("reason:bored").help.contains(reason.name()), "{reason}");
    }
}

#[test]
fn the_limits_are_reached_and_not_passed() {
    let now = now();
    let repeated = |what: &str, times: usize, between: &str| vec![what; times].join(between);
    assert!(Filter::parse(&repeated("attempt:1", 32, " "), now).is_ok());
    assert!(refused(&repeated("attempt:1", 33, " ")).problem.contains("column 321: there are more than 32 terms"));
    assert!(Filter::parse(&format!("attempt:{}", repeated("1", 64, ",")), now).is_ok());
    assert!(refused(&format!("attempt:{}", repeated("1", 65, ","))).problem.contains("more than 64 values"));
    assert!(Filter::parse(&format!("error:{}", "x".repeat(4_090)), now).is_ok());
    assert!(refused(&format!("error:{}", "x".repeat(4_091))).problem.contains("is 4097 bytes long"));
    assert!(Filter::parse(&format!("args.a:{}", "x".repeat(256)), now).is_ok());
    assert!(refused(&format!("args.a:{}", "x".repeat(257))).problem.contains("257 bytes long"));
    assert!(Filter::parse(&format!("args{}:1", ".a".repeat(16)), now).is_ok());
    assert!(refused(&format!("args{}:1", ".a".repeat(17))).problem.contains("too many keys"));
    assert!(Filter::parse(&format!("args.{}:1", "a".repeat(512)), now).is_ok());
    assert!(refused(&format!("args.{}:1", "a".repeat(513))).problem.contains("too long"));
}

#[test]
fn what_could_not_be_read_back_is_refused() {
    // Short as ages, longer than a filter may be as instants.
    let ages = format!("created:{}", vec!["<1h"; 64].join(","));
    let error = refused(&vec![ages; 3].join(" "));
    assert!(error.problem.contains("written out (ages as instants), it is 5"), "{error}");
}
