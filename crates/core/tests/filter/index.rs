//! What an index is built with: the scalars of the arguments, numbers as text, words of errors.

use lovage_core::filter::{ErrorWords, Leaf, canonical_number, leaves, words};
use proptest::prelude::*;
use serde_json::Value;

fn shown(json: &str) -> Vec<String> {
    leaves(json, 100).into_iter().map(|(path, leaf)| format!("{}={leaf:?}", path.join("."))).collect()
}

#[test]
fn every_scalar_under_a_key_is_a_leaf() {
    let json =
        r#" {"a": {"b": 1.0, "c": [true, {"d": "x\"\u00fc"}, [null]]}, "a": {"b": 2}, "": "", "e": [], "f": {}} "#;
    assert_eq!(
        shown(json),
        [
            "a.b=Number(\"1\")",
            "a.c=Bool(true)",
            "a.c.d=Text(\"x\\\"ü\")",
            "a.c=Null",
            "a.b=Number(\"2\")",
            "=Text(\"\")"
        ]
    );
}

#[test]
fn big_numbers_stay_exact() {
    assert_eq!(shown(r#"{"n": 123456789012345678901234567890}"#), ["n=Number(\"123456789012345678901234567890\")"]);
    assert_eq!(shown(r#"{"n": 9007199254740993.0}"#), ["n=Number(\"9007199254740993\")"]);
    assert_eq!(shown(r#"{"n": 1e999999999}"#), ["n=Number(\"1e999999999\")"]);
}

#[test]
fn what_has_no_path_or_cannot_be_kept_is_left_out() {
    for none in [
        "42",
        "\"x\"",
        "[1, [2]]",
        "[]",
        "{}",
        "",
        "{",
        r#"{"a": 1"#,
        r#"{"a": 1} x"#,
        r#"{"a": 01}"#,
        "nul",
        r#"{"a": "\u0000"}"#,
        r#"{"\u0000": 1}"#,
        r#"{"a": "\ud800"}"#,
    ] {
        assert!(shown(none).is_empty(), "{none}");
    }
    assert_eq!(shown(r#"[{"a": 1}]"#), ["a=Number(\"1\")"]);
    assert_eq!(shown(r#"{"a": "\ud800", "b": 1}"#), ["b=Number(\"1\")"], "the next scalar is still found");
}

#[test]
fn the_limits_of_leaves_are_kept() {
    let text = |length: usize| format!(r#"{{"a": "{}"}}"#, "x".repeat(length));
    assert_eq!((shown(&text(256)).len(), shown(&text(257)).len()), (1, 0));
    let escaped = format!(r#"{{"a": "{}"}}"#, "\\u0078".repeat(256));
    assert_eq!(shown(&escaped).len(), 1, "the text is measured, not its escapes");
    let number = |length: usize| format!(r#"{{"a": {}}}"#, "7".repeat(length));
    assert_eq!((shown(&number(256)).len(), shown(&number(257)).len()), (1, 0));
    let deep = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!((shown(&deep(16)).len(), shown(&deep(17)).len()), (1, 0));
    let key = |length: usize| format!(r#"{{"a": {{"{}": 1}}, "b": 2}}"#, "k".repeat(length));
    assert_eq!((shown(&key(511)).len(), shown(&key(512)).len()), (2, 1));
    assert_eq!(leaves(r#"{"a": [1, 2, 3], "b": 4}"#, 2).len(), 2);
    assert!(leaves(r#"{"a": 1}"#, 0).is_empty());
}

#[test]
fn hostile_documents_end_soon() {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(leaves(&format!(r#"{{"a": {nested}}}"#), 100).is_empty());
    assert!(leaves(&"[".repeat(1_000_000), 100).is_empty());
    assert!(leaves(&r#"{"a":"#.repeat(100_000), 100).is_empty());
}

#[test]
fn the_same_number_has_one_text() {
    for (texts, canonical) in [
        (&["1", "1.0", "1e0", "1E+0", "10e-1", "0.1e1", "1.000e-0"][..], "1"),
        (&["0", "-0", "0.0", "-0.0e5", "0e99999999999999999999"], "0"),
        (&["-12.50e1", "-125", "-1.25E+2"], "-125"),
        (&["0.05", "5e-2", "0.50e-1"], "0.05"),
        (&["12.5", "125e-1"], "12.5"),
        (&["1000", "1e3", "1.0e+03"], "1000"),
        (&["1e39"], "1000000000000000000000000000000000000000"),
        (&["1e40", "10e39"], "1e40"),
        (&["1e-40", "0.1e-39"], "1e-40"),
        (&["9007199254740993", "9007199254740993.0"], "9007199254740993"),
        (&["18446744073709551617"], "18446744073709551617"),
        (&["1e999999999999999999999", "1.0E+00999999999999999999999"], "1e999999999999999999999"),
        (&["-1.50e-999999999999999999999"], "-1.5e-999999999999999999999"),
    ] {
        for text in texts {
            assert_eq!(canonical_number(text), canonical, "{text}");
        }
    }
    for no_number in ["", "-", "01", "+1", "1.", ".5", "1e", "1e+", "0x1", "NaN", "1 ", "١", "1e5e5", "1.2.3", "--1"] {
        assert_eq!(canonical_number(no_number), no_number);
    }
}

#[test]
fn words_are_small_letters_and_digits_of_any_script() {
    let found = |text: &str| words(text).collect::<Vec<_>>();
    assert_eq!(found("ÄPFEL-Straße №5, x_y"), ["äpfel", "straße", "5", "x", "y"]);
    assert_eq!(found("连接 被拒绝"), ["连接", "被拒绝"]);
    assert!(found(" .,-_ ").is_empty());
    assert_eq!(ErrorWords::new("a B a").unwrap().as_slice(), ["a", "b"]);
    assert!(ErrorWords::new("…").is_none());
}

fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,50})(\\.[0-9]{1,50})?([eE][+-]?[0-9]{1,20})?"
}

/// The leaves by another way, for documents of small numbers.
fn expected(value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, Leaf)>) {
    let leaf = match value {
        Value::Object(members) => {
            for (key, value) in members {
                path.push(key.clone());
                expected(value, path, found);
                path.pop();
            }
            return;
        }
        Value::Array(elements) => return elements.iter().for_each(|element| expected(element, path, found)),
        Value::Null => Leaf::Null,
        Value::Bool(value) => Leaf::Bool(*value),
        Value::Number(number) => Leaf::Number(number.to_string()),
        Value::String(text) => Leaf::Text(text.clone()),
    };
    if !path.is_empty() {
        found.push((path.clone(), leaf));
    }
}

fn document() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-zü\"\\\\\n ]{0,8}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c.\"]{0,2}", inner, 0..5)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn leaves_are_what_a_plain_walk_finds(value in document(), most in 0..60usize) {
        let mut all = Vec::new();
        expected(&value, &mut Vec::new(), &mut all);
        all.truncate(most);
        prop_assert_eq!(leaves(&value.to_string(), most), all);
    }

    #[test]
    fn no_text_does_harm_to_leaves(text in "(\\{\"a\":|\\[|\\]|\\}|,|\"[a\\\\u0d8]{0,8}\"|[0-9.eE-]{1,4}|null|\\PC){0,40}") {
        let found = leaves(&text, 10);
        prop_assert!(found.len() <= 10);
        prop_assert!(found.is_empty() || serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn a_canonical_number_is_its_own(text in number()) {
        let canonical = canonical_number(&text);
        prop_assert_eq!(canonical_number(&canonical), canonical);
    }

    #[test]
    fn shifting_the_point_changes_no_number(
        sign in "-?", whole in "0|[1-9][0-9]{0,30}", fraction in "[0-9]{1,30}", zeros in "0{0,50}", exponent in -60..60i64,
    ) {
        let canonical = canonical_number(&format!("{sign}{whole}.{fraction}e{exponent}"));
        let shifted = format!("{whole}{fraction}");
        let shifted = shifted.trim_start_matches('0');
        // No number of JSON has two zeros for its whole part.
        let (shifted, zeros) = if shifted.is_empty() { ("0", "") } else { (shifted, zeros.as_str()) };
        let other = format!("{sign}{shifted}{zeros}e{}", exponent - (fraction.len() + zeros.len()) as i64);
        prop_assert_eq!(canonical_number(&other), canonical.clone());
        prop_assert_eq!(canonical_number(&format!("{sign}{whole}.{fraction}{zeros}E{exponent:+}")), canonical);
    }

    #[test]
    fn different_whole_numbers_have_different_texts(a in any::<i128>(), b in any::<i128>(), zeros in 0..9i32) {
        prop_assert_eq!(canonical_number(&a.to_string()) == canonical_number(&b.to_string()), a == b);
        let text = format!("{a}.{}", "0".repeat(zeros as usize + 1));
        prop_assert_eq!(canonical_number(&text), canonical_number(&a.to_string()));
        if a.unsigned_abs() < 10u128.pow(38) {
            prop_assert_eq!(canonical_number(&text), a.to_string());
        }
    }
}
