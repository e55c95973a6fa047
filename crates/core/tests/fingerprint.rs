//! Which failures are the same, and that this never changes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lovage_core::{ErrorClass, Fingerprint, Kind, MAX_TITLE_CHARS, fingerprint};
use proptest::prelude::*;

fn title(message: &str) -> String {
    let kind: Kind = "export.query".parse().unwrap();
    fingerprint(&kind, ErrorClass::Failed, message).1
}

/// Messages and their titles: typical errors of Rust, Python, PostgreSQL, Redis, HTTP clients and S3.
const TITLES: &[(&str, &str)] = &[
    // Rust
    ("Connection refused (os error 111)", "Connection refused (os error <n>)"),
    (
        "the handler panicked: index out of bounds: the len is 3 but the index is 7",
        "the handler panicked: index out of bounds: the len is <n> but the index is <n>",
    ),
    ("no answer after 3.2 s", "no answer after <n>"),
    ("no answer after 1m30s, 1.5µs or 2 minutes", "no answer after <n> or <n>"),
    ("open /var/lib/a b/x.db: Permission denied", "open <path>: Permission denied"),
    ("src/main.rs:42:7: invalid digit found in string", "<path>: invalid digit found in string"),
    ("missing field `user_id` at line 1 column 345", "missing field <value> at line <n> column <n>"),
    ("std::io::Error: failed to fill whole buffer", "std::io::Error: failed to fill whole buffer"),
    ("Os { code: 2, kind: NotFound, message: \"No such file\" }", "Os { code: <n>, kind: NotFound, message: <value> }"),
    // Python
    ("KeyError: b'abc'", "KeyError: b<value>"),
    ("can't open file; it isn't there", "can't open file; it isn't there"),
    (
        "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        "TypeError: unsupported operand type(s) for +: <value> and <value>",
    ),
    ("<Thing object at 0x7f3a2c1d> is not iterable", "<Thing object at <hex>> is not iterable"),
    // PostgreSQL
    (
        "duplicate key value violates unique constraint \"jobs_pkey\" (SQLSTATE 23505)",
        "duplicate key value violates unique constraint <value> (SQLSTATE 23505)",
    ),
    ("deadlock detected (SQLSTATE 40P01)", "deadlock detected (SQLSTATE 40P01)"),
    ("value \"99999999999\" is out of range for type integer", "value <value> is out of range for type integer"),
    // Redis
    ("MOVED 3999 127.0.0.1:6381", "MOVED <n> <ip>:<n>"),
    ("OOM command not allowed when used memory > 'maxmemory'.", "OOM command not allowed when used memory > <value>."),
    (
        "ERR unknown command 'foo', with args beginning with: 'bar' 'baz' ",
        "ERR unknown command <value>, with args beginning with: <value>",
    ),
    // HTTP
    (
        "error sending request for url (https://user:pw@api.example.com:8443/v1/x?id=1,2): timed out",
        "error sending request for url (https://api.example.com): timed out",
    ),
    ("HTTP/1.1 503 after 200 ms", "HTTP/<n> 503 after <n>"),
    ("status code: 404, body of 512 bytes", "status code: 404, body of <n>"),
    ("GET http://[::1]:8080/x and http://10.0.0.1/y", "GET http://<ip> and http://<ip>"),
    (
        "Max retries exceeded with url: /api/v1/items?page=3&ids=1,2 (Caused by x)",
        "Max retries exceeded with url: <path> (Caused by x)",
    ),
    // S3
    (
        "NoSuchKey: s3://exports-eu/2026/11/26/part-0001.parquet (request id 4442587FB7D0A2F9)",
        "NoSuchKey: s3://exports-eu (request id <hex>)",
    ),
    ("Access Denied; HostId: Uuag1LuByRx9e6j5OnimruY9pO4ZVKnJ2Q", "Access Denied; HostId: <id>"),
    // Each kind of thing that varies
    (
        "job 0190f2b4-7c1e-7abc-8def-0123456789ab of job:0190f2b4-7c1e-7abc-8def-0123456789ab.",
        "job <uuid> of job:<uuid>.",
    ),
    ("commit 3f2a9bc, digest DEADBEEF00", "commit <hex>, digest <hex>"),
    ("mail to jane.doe+x@mail.example.com bounced", "mail to <email> bounced"),
    ("at 2026-11-26T10:00:00.123Z and 2026-11-26 10:00:00+01 and 10:00:00", "at <time> and <time> and <time>"),
    ("address fe80::1%eth0, [::1]:80, 2001:db8::8a2e:370:7334", "address <ip>, [<ip>]:<n>, <ip>"),
    ("C:\\Users\\x\\a.txt or \\\\srv\\share\\a or ~/x or ../y.z", "<path> or <path> or <path> or <path>"),
    ("1,234,567 rows, -5 left, 1.5e-7, 95%, #42, [1, 2, 3]", "<n> rows, <n> left, <n>%, #<n>, [<n>]"),
    ("version 1.2.3.4.5 of utf8 sha256 user12345 worker-7", "version <n> of utf8 sha256 user<n> worker-<n>"),
    ("and/or read/write n/a text/html", "and/or read/write n/a text/html"),
    ("读取 第5行 失败: 文件 /data/订单/5.csv", "读取 第<n>行 失败: 文件 <path>"),
    ("it's 'quoted \\' value' and \"not closed", "it's <value> and \"not closed"),
    ("'a', 'b', 'c' or ''", "<value> or <value>"),
    // Which line
    ("\n\n  first\nsecond", "first"),
    ("could not export:\n  no space left", "could not export: no space left"),
    ("a \t b\u{7}\u{1b}[1;31mred\u{1b}[0m \u{1b}x \u{1b}[", "a b red x ["),
    ("", "no message"),
    (" \n ", "no message"),
];

#[test]
fn what_varies_is_replaced_and_what_says_something_stays() {
    let wrong = TITLES.iter().filter(|(message, expected)| title(message) != *expected);
    let shown: Vec<String> =
        wrong.map(|(message, expected)| format!("{:?} and not {expected:?}", title(message))).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

#[test]
fn a_traceback_is_known_by_its_exception() {
    let traceback = |path: &str, line: u32, last: &str| {
        format!(
            "Traceback (most recent call last):\n  File \"{path}\", line {line}, in run\n    x()\nOSError: first\n\n\
             During handling of the above exception, another exception occurred:\n\n\
             Traceback (most recent call last):\n  File \"{path}\", line {line}, in <module>\n    y()\n{last}\n"
        )
    };
    let one = title(&traceback("/app/a.py", 3, "ValueError: invalid literal for int() with base 10: 'x'\nmore of it"));
    assert_eq!(one, "ValueError: invalid literal for int() with base <n>: <value>");
    assert_eq!(one, title(&traceback("/srv/b.py", 99, "ValueError: invalid literal for int() with base 10: '1,5'")));
    assert_ne!(one, title(&traceback("/app/a.py", 3, "KeyError: 'x'")));
    // Cut off before its end, there is no exception to see.
    assert_eq!(title("Traceback (most recent call last):\n  File \"x"), "Traceback (most recent call last):");
}

#[test]
fn failures_that_differ_in_what_varies_are_the_same() {
    for (one, other) in [
        ("no answer after 3.2 s", "no answer after 30 s"),
        ("no answer after 250ms", "no answer after 1m30s"),
        ("took 1 minute", "took 90 seconds"),
        ("job 0190f2b4-7c1e-7abc-8def-0123456789ab failed", "job 11111111-2222-3333-4444-555555555555 failed"),
        ("tenant \"acme\" has no quota", "tenant \"b c\" has no quota"),
        ("cannot read /data/a.csv", "cannot read /data/x/y/z.parquet"),
        ("GET https://api.example.com/v1/1: timed out", "GET https://api.example.com:8443/v2?x=1: timed out"),
        ("connect 10.0.0.1:5432 failed", "connect 192.168.10.20:6543 failed"),
        ("due 2026-11-26T10:00:00Z", "due 2027-01-01 00:00:00.5"),
        ("ids [1, 2, 3] are gone", "ids [4] are gone"),
        ("1,234 rows", "12 rows"),
        ("-5 left", "5 left"),
        ("failed at src/a.rs:1:2", "failed at src/b/c.rs:30:40"),
        ("no such user jane@example.com", "no such user joe.x@other.org"),
        ("first line\nrequest 1", "first line\nrequest 2"),
    ] {
        assert_eq!(title(one), title(other));
    }
}

#[test]
fn failures_that_say_something_else_are_not() {
    for (one, other) in [
        ("Connection refused (os error 111)", "Connection reset by peer (os error 104)"),
        ("HTTP 503 from https://api.example.com", "HTTP 401 from https://api.example.com"),
        ("status: 404", "status: 500"),
        ("GET https://a.example.com/x: timed out", "GET https://b.example.com/x: timed out"),
        ("error (SQLSTATE 23505)", "error (SQLSTATE 23503)"),
        ("KeyError: 'a'", "ValueError: 'a'"),
        ("cannot read /data/a.csv", "cannot write /data/a.csv"),
        ("invalid utf8", "invalid utf16"),
        ("http://a.example.com is down", "https://a.example.com is down"),
    ] {
        assert_ne!(title(one), title(other));
    }
}

#[test]
fn the_kind_and_the_class_are_part_of_it() {
    let of = |kind: &str, class| fingerprint(&kind.parse().unwrap(), class, "x").0;
    let one = of("a", ErrorClass::Failed);
    assert_eq!(one, of("a", ErrorClass::Failed));
    assert_ne!(one, of("b", ErrorClass::Failed));
    assert_ne!(one, of("a", ErrorClass::Panicked));
}

/// Computed by another program: `sha256("lovage-failure-1\n" + kind + "\n" + class + "\n" + title)[:8]`.
const GOLDEN: &[(&str, ErrorClass, &str, &str)] = &[
    ("export.query", ErrorClass::Failed, "Connection refused (os error 111)", "9bf221ec93d66b05"),
    ("mail", ErrorClass::TimedOut, "no answer after 3.2 s", "301040668fd0aa2c"),
    ("mail", ErrorClass::Panicked, "the handler panicked: index 9", "264d9cba7130d0b2"),
    ("audit.write", ErrorClass::Rejected, "tenant 'acme' is unknown", "fc1f79cb78a27520"),
    ("backup:db", ErrorClass::WorkerLost, "", "319a96018d1ea419"),
    ("a", ErrorClass::Released, "读取 第5行 失败", "4b343daf52df3e24"),
    ("export.query", ErrorClass::Failed, "GET https://api.example.com:8443/v1?x=1: HTTP 503", "ff65786653a9a6c0"),
];

#[test]
fn fingerprints_are_the_same_in_every_release() {
    for (kind, class, message, expected) in GOLDEN {
        let found = fingerprint(&kind.parse().unwrap(), *class, message).0;
        assert_eq!(found.to_string(), *expected, "{kind} {class:?} {message}");
    }
}

#[test]
fn a_fingerprint_is_sixteen_small_hexadecimal_digits() {
    let one = Fingerprint::from_bits(0xfe);
    assert_eq!(one.to_string(), "00000000000000fe");
    assert_eq!("00000000000000fe".parse(), Ok(one));
    assert_eq!(serde_json::to_string(&one).unwrap(), "\"00000000000000fe\"");
    assert_eq!(serde_json::from_str::<Fingerprint>("\"00000000000000fe\"").unwrap(), one);
    assert_eq!((one.to_bits(), one < Fingerprint::from_bits(u64::MAX)), (0xfe, true));
    for bad in
        ["", "fe", "00000000000000FE", "00000000000000fg", "+0000000000000fe", "00000000000000fe0", "ü00000000000000"]
    {
        assert_eq!(bad.parse::<Fingerprint>().unwrap_err().field, "failure", "{bad}");
    }
}

#[test]
fn a_title_is_short() {
    let long = "word ".repeat(100);
    let title = title(&long);
    assert_eq!(title.chars().count(), MAX_TITLE_CHARS);
    assert!(title.ends_with('…'));
}

/// Pieces that a scan could get stuck at, over and over.
const HOSTILE: &[&str] = &[
    "'",
    "\"",
    "`",
    "a'",
    "'a",
    "\\",
    "/",
    "/a",
    "a/",
    "://",
    "a://",
    "http://a,",
    "http://a.,",
    ":",
    "::",
    "1:",
    "1.",
    "1,",
    "-",
    ".",
    "./",
    "~/",
    "1.1.1.1",
    "0a-",
    "ffffffff-",
    "@",
    "a@b.",
    "1e",
    "1e-",
    "5 ",
    "5 s ",
    "5µ",
    "ü",
    "订/",
    "[",
    "<n>",
    "<n> 1",
    "2026-11-26T",
    "10:00:00",
    "Traceback (most recent call last):\n",
    "a:\n",
    "\u{1b}[",
    "\u{1b}[1m",
    "\n",
    " \n",
    "\u{0}",
    "#1?",
    "a. ",
    "?",
    "'a' ",
    "b'",
];

#[test]
fn the_work_grows_with_the_length_and_not_with_its_square() {
    // A megabyte of each: with a square these would take hours.
    for piece in HOSTILE {
        let title = title(&piece.repeat(1_000_000 / piece.len()));
        assert!(title.chars().count() <= MAX_TITLE_CHARS, "{piece:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_message_does_harm(pieces in prop::collection::vec(prop::sample::select(HOSTILE), 0..200), text in "\\PC{0,40}") {
        let message = format!("{text}{}", pieces.concat());
        let title = title(&message);
        prop_assert!(!title.is_empty() && title.chars().count() <= MAX_TITLE_CHARS);
        prop_assert!(!title.chars().any(char::is_control), "{:?}", title);
    }

    #[test]
    fn numbers_never_part_failures(
        a in 0..u64::MAX, b in 0..1_000u32, c in "[0-9]{1,4}\\.[0-9]{1,3}", unit in "ns|us|µs|ms|s|m|h|d|KB|MiB| s| ms| bytes",
    ) {
        let expected = "row <n> of job-<n> after <n> (left: <n>)";
        prop_assert_eq!(title(&format!("row {a} of job-{b} after {c}{unit} (left: {c})")), expected);
    }

    #[test]
    fn ids_never_part_failures(id in any::<u128>(), ip in any::<std::net::Ipv6Addr>(), v4 in any::<std::net::Ipv4Addr>()) {
        let id = uuid::Uuid::from_u128(id);
        // Without any digit an address looks like a path of Rust.
        prop_assume!(ip.to_string().contains(|c: char| c.is_ascii_digit()));
        prop_assert_eq!(title(&format!("{id} at {ip} or {v4}:80")), "<uuid> at <ip> or <ip>:<n>");
    }
}
