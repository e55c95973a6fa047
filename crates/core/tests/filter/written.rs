//! A filter is written as the text that is read back as the same filter.

use lovage_core::Timestamp;
use lovage_core::filter::Filter;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use crate::{now, read};

#[test]
fn the_canonical_text_is_short_and_stable() {
    for (text, canonical) in [
        ("  state:discarded,cancelled\n -queue:a  ", "state:discarded,cancelled -queue:a"),
        ("state:\"discarded\" kind:\"a.*\"", "state:discarded kind:a.*"),
        ("tenant:none,\"none\",\"acme\"", "tenant:none,\"none\",acme"),
        (r#"tag:"a b","c,d","e\"f","g\\h""#, r#"tag:"a b","c,d","e\"f",g\h"#),
        ("error:\"Refused,  refused connection\"", "error:\"refused connection\""),
        ("error:Refused", "error:refused"),
        ("attempt:>2,<2,2..2,..5,5..,2..4", "attempt:>=3,<=1,2,<=5,>=5,2..4"),
        ("created:<1h", "created:>=2026-11-26T11:00:00.001Z"),
        ("created:>1d", "created:<2026-11-25T12:00:00.000Z"),
        ("created:2026-11-26,2026-11-01..2026-11-30", "created:2026-11-26,2026-11-01..2026-11-30"),
        ("ended:>=2026-11-26,<2026-11-26T00:00:00Z", "ended:>=2026-11-26,<2026-11-26"),
        ("ended:2026-11-26T10:00:00Z..2026-11-26", "ended:2026-11-26T10:00:00.000Z..2026-11-26T23:59:59.999Z"),
        ("ended:>9998-12-31T23:59:59.999Z", "ended:>9998-12-31T23:59:59.999Z"),
        ("ended:<=9998-12-31T23:59:59.999Z", "ended:<=9998-12-31T23:59:59.999Z"),
        ("args.a:1.0,\"1.0\",true,\"true\",-5,x,\"x\",\"\"", "args.a:1.0,\"1.0\",true,\"true\",-5,x,x,\"\""),
        (r#"args."a"."b c"."d.e"."".f:1"#, r#"args.a."b c"."d.e"."".f:1"#),
        ("id:order:42", "id:order:42"),
        ("", ""),
    ] {
        let filter = read(text);
        assert_eq!(filter.to_string(), canonical, "{text}");
        assert_eq!(read(canonical), filter, "{text}");
    }
}

/// Text as somebody writes it, of the pieces that mean something.
fn terms() -> impl Strategy<Value = String> {
    let quoted = "\"([ -!#-\\[\\]-~üλ订]|\\\\\"|\\\\\\\\){0,12}\"";
    let name = "[a-z][a-z0-9_-]{0,6}";
    let date = "(19[7-9][0-9]|20[0-9][0-9]|9998)-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
    let time = "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]0[0-9]:00)";
    let instants = format!("{date}({time})?");
    let times = format!(
        "(<|>|<=|>=)({date}({time})?|[0-9]{{1,4}}(s|m|h|d|w))|\"[<>][0-9]h ago\"|{date}|{instants}\\.\\.|\\.\\.{instants}|{instants}\\.\\.{instants}"
    );
    let scalar = "(-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?|true|false|null|[a-z0-9.:-]{1,8})";
    let key = format!("\\.([a-z0-9_-]{{1,5}}|{quoted})");
    let all = [
        "state:(scheduled|running|discarded)(,completed)?".to_owned(),
        "reason:(expired|corrupt)".to_owned(),
        format!("queue:{name}(,{name})?"),
        format!("tenant:(none|\"none\"|{name})"),
        "kind:[A-Za-z.:_-]{1,6}\\*?".to_owned(),
        format!("(tag|error):({quoted}|[^\\s,\"\\x00-\\x1f\\x7f-\\xa0]{{1,9}})"),
        format!("(id|worker):{name}"),
        "failure:[0-9a-f]{16}".to_owned(),
        "attempt:((<|>|<=|>=)?[0-9]{1,9}|[0-9]{0,3}\\.\\.[0-9]{4}|[0-9]\\.\\.)".to_owned(),
        format!("(created|ended):({times})(,({times}))?"),
        format!("args({key}){{1,3}}:({scalar}|{quoted})(,({scalar}|{quoted}))?"),
    ];
    let term = proptest::strategy::Union::new(all.map(|pattern| proptest::string::string_regex(&pattern).unwrap()));
    prop::collection::vec((prop::bool::ANY, term), 0..6).prop_map(|terms| {
        let terms: Vec<String> =
            terms.into_iter().map(|(not, term)| format!("{}{term}", if not { "-" } else { "" })).collect();
        terms.join(" ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_is_read_back(text in terms(), now in 0..4_000_000_000_000u64) {
        let now = Timestamp::from_millis(now);
        // Some are refused: an empty tag, a range that ends before it begins.
        if let Ok(filter) = Filter::parse(&text, now) {
            let written = filter.to_string();
            // At another time, for nothing that is written moves with the clock.
            prop_assert_eq!(Filter::parse(&written, Timestamp::from_millis(0)), Ok(filter), "{}", written);
        }
    }

    #[test]
    fn no_text_does_harm(text in "(state|args|created|tag|[a-z.:,\"\\\\ <>0-9-]|\\PC){0,60}") {
        if let Ok(filter) = Filter::parse(&text, now()) {
            prop_assert_eq!(read(&filter.to_string()), filter);
        }
    }
}

#[test]
fn most_texts_of_the_property_are_filters() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let texts = (0..300).map(|_| terms().new_tree(&mut runner).unwrap().current());
    let read = texts.filter(|text| Filter::parse(text, now()).is_ok()).count();
    assert!(read > 150, "{read} of 300");
}
