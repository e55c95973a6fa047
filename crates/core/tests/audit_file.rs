//! The file of a trail: what was written verifies, and whatever is changed in it is found.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lovage_core::Timestamp;
use lovage_core::audit::{
    ANCHOR_VERSION, Anchor, AnchoredChain, Batch, BatchLine, BatchSeal, Digest, EventDraft, FILE_FORMAT, FILE_VERSION,
    FileChecker, FileHeader, FileLine, Flaw, FlawAt, Head, HeadLine, Hex32, Moment, Proved, Record, RecordLine,
    batch_hash, hex, leaf, proof, record_hash, root,
};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

const KEY: Digest = [3; 32];

/// Stands for a signature: Ed25519 is not in this crate.
fn sign(key: &Digest, bytes: &[u8]) -> String {
    hex(&Sha256::new().chain_update(key).chain_update(bytes).finalize())
}

fn is_signed(key: &Digest, bytes: &[u8], signature: &str) -> bool {
    sign(key, bytes) == signature
}

/// A trail of batches of 1, 3, 2 and 2 records, and the heads from before the first to behind the last.
fn trail() -> (Vec<(Batch, Vec<Record>)>, Vec<Head>) {
    let mut head = Head::before_first("acme");
    let (mut batches, mut heads) = (Vec::new(), vec![head]);
    for size in [1, 3, 2, 2] {
        let (first, mut records) = (head.seq + 1, Vec::new());
        for _ in 0..size {
            head.seq += 1;
            let text = r#"{"actor":"user:7","action":"order.refund","target":"订单:1","ip":"::1","before":{"b": 1.00,
                "a":"\u0000"},"metadata":[]}"#;
            let draft: EventDraft = serde_json::from_str(text).unwrap();
            let draft = EventDraft { tenant: "acme".parse().ok(), ..draft };
            let now = Timestamp::from_millis(1_700_000_000_000 + head.seq);
            let event = draft.complete(Uuid::from_u128(head.seq.into()), now).unwrap();
            head.record = record_hash(&head.record, head.seq, &leaf(&event));
            records.push(Record { seq: head.seq, event, hash: head.record });
        }
        let leaves: Vec<Digest> = records.iter().map(|record| leaf(&record.event)).collect();
        let seal = BatchSeal { first, last: head.seq, root: root(&leaves), record: head.record };
        head.batch = batch_hash(&head.batch, &seal);
        batches
            .push((Batch { seal, hash: head.batch, written_at: Timestamp::from_millis(1_700_000_001_000) }, records));
        heads.push(head);
    }
    (batches, heads)
}

fn anchor(head: Head) -> Anchor {
    let chain = |tenant: &str| AnchoredChain {
        tenant: tenant.to_owned(),
        seq: head.seq,
        record: Hex32(head.record),
        batch: Hex32(head.batch),
    };
    let mut anchor = Anchor {
        version: ANCHOR_VERSION,
        number: 4,
        made_at: Moment(Timestamp::from_millis(1_700_000_002_000)),
        previous: Hex32([0; 32]),
        chains: vec![chain(""), chain("acme"), chain("globex")],
        public_key: Hex32(KEY),
        signature: String::new(),
    };
    anchor.signature = sign(&KEY, &anchor.signed_bytes());
    anchor
}

fn header(before: Head, after: Head, anchored: Option<Head>) -> FileHeader {
    FileHeader {
        format: FILE_FORMAT.to_owned(),
        version: FILE_VERSION,
        tenant: "acme".to_owned(),
        exported_at: Moment(Timestamp::from_millis(1_700_000_003_000)),
        from: Some(Moment(Timestamp::from_millis(1))),
        to: None,
        record: None,
        before: before.into(),
        after: after.into(),
        anchor: anchored.map(|head| anchor(head).proof("acme").unwrap()),
    }
}

/// The lines of a file, without the last one.
fn lines(header: &FileHeader, content: Vec<FileLine>) -> Vec<String> {
    let content = content.iter().map(|line| serde_json::to_string(line).unwrap());
    std::iter::once(serde_json::to_string(header).unwrap()).chain(content).collect()
}

/// All lines, ended and with the last one that they should have.
fn whole(lines: &[String]) -> String {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let sha = hex(&Sha256::digest(&text));
    format!("{text}{{\"end\":{{\"sha256\":\"{sha}\"}}}}\n")
}

fn verify(text: &str, key: Option<Digest>) -> Result<Proved, FlawAt> {
    let mut checker = FileChecker::new(key, is_signed);
    for line in text.split_inclusive('\n') {
        if !checker.push(line) {
            break;
        }
    }
    checker.end()
}

/// The first three batches; the fourth leads to the anchor.
fn export() -> Vec<String> {
    let (batches, heads) = trail();
    let mut content = Vec::new();
    for (batch, records) in &batches[..3] {
        content.push(FileLine::Batch(BatchLine::new(batch, 0)));
        let line = |record: &Record| FileLine::Record(Box::new(RecordLine::new(record.clone()).unwrap()));
        content.extend(records.iter().map(line));
    }
    content.push(FileLine::Link(BatchLine::new(&batches[3].0, 0)));
    lines(&header(heads[0], heads[3], Some(heads[4])), content)
}

/// The third record, which is the middle one of its batch.
fn export_of_one() -> Vec<String> {
    let (batches, heads) = trail();
    let (batch, records) = &batches[1];
    let leaves: Vec<Digest> = records.iter().map(|record| leaf(&record.event)).collect();
    let mut record = RecordLine::new(records[1].clone()).unwrap();
    record.hash = None;
    record.path = Some(proof(&leaves, 1).unwrap().into_iter().map(Hex32).collect());
    let mut content = vec![FileLine::Batch(BatchLine::new(batch, 0)), FileLine::Record(Box::new(record))];
    content.extend(batches[2..].iter().map(|(batch, _)| FileLine::Link(BatchLine::new(batch, 0))));
    let mut header = header(heads[1], heads[2], Some(heads[4]));
    header.record = Some(3);
    header.before = HeadLine { record: None, ..header.before };
    lines(&header, content)
}

fn flaw(lines: &[String]) -> Flaw {
    verify(&whole(lines), None).unwrap_err().flaw
}

#[test]
fn what_was_written_verifies_and_says_what_it_proves() {
    let proved = verify(&whole(&export()), Some(KEY)).unwrap();
    assert_eq!((proved.first, proved.last, proved.records, proved.removed), (1, 6, 6, 0));
    let anchor = proved.anchor.unwrap();
    assert_eq!((anchor.number, anchor.seq, anchor.public_key), (4, 8, KEY));
    let proved = verify(&whole(&export_of_one()), Some(KEY)).unwrap();
    assert_eq!((proved.record, proved.first, proved.last, proved.records), (Some(3), 2, 4, 1));
    assert!(!whole(&export()).contains("globex"), "whom else the anchor covers is nobody's business");
}

#[test]
fn a_part_of_a_trail_verifies_without_an_anchor_unless_a_key_is_expected() {
    let (batches, heads) = trail();
    let mut content = vec![FileLine::Batch(BatchLine::new(&batches[1].0, 0))];
    let line = |record: &Record| FileLine::Record(Box::new(RecordLine::new(record.clone()).unwrap()));
    content.extend(batches[1].1.iter().map(line));
    let text = whole(&lines(&header(heads[1], heads[2], None), content));
    assert_eq!(verify(&text, None).unwrap().anchor, None);
    assert_eq!(verify(&text, Some(KEY)).unwrap_err().flaw, Flaw::Unsigned);
    assert_eq!(
        verify(&whole(&export()), Some([4; 32])).unwrap_err().flaw,
        Flaw::OtherKey { public_key: hex(&KEY) },
        "what another key has signed"
    );
}

#[test]
fn what_retention_has_removed_is_told_and_cannot_be_more() {
    let (batches, heads) = trail();
    let mut content: Vec<FileLine> =
        batches[..2].iter().map(|(batch, _)| FileLine::Batch(BatchLine::new(batch, 4))).collect();
    let line = |record: &Record| FileLine::Record(Box::new(RecordLine::new(record.clone()).unwrap()));
    content.push(FileLine::Batch(BatchLine::new(&batches[2].0, 4)));
    content.extend(batches[2].1.iter().map(line));
    let proved = verify(&whole(&lines(&header(heads[0], heads[3], None), content)), None).unwrap();
    assert_eq!((proved.records, proved.removed), (2, 4));
}

#[test]
fn lines_that_are_missing_inserted_or_have_changed_places_are_named() {
    // Lines: head, batch 1, record 1, batch 2, records 2 to 4, batch 3, records 5 and 6, link, end.
    let without = |index: usize| {
        let mut lines = export();
        lines.remove(index);
        flaw(&lines)
    };
    assert_eq!(without(2), Flaw::Missing { first: 1, last: 1 });
    assert_eq!(without(5), Flaw::Missing { first: 3, last: 3 });
    assert_eq!(without(6), Flaw::Missing { first: 4, last: 4 });
    assert_eq!(without(3), Flaw::Outside { seq: 2 });
    assert_eq!(without(10), Flaw::Missing { first: 7, last: 8 });
    assert_eq!(without(0), Flaw::NotAnExport);
    let mut shorter = export();
    shorter.drain(3..7);
    assert_eq!(flaw(&shorter), Flaw::Missing { first: 2, last: 4 }, "a batch with its records");

    let swapped = |a: usize, b: usize| {
        let mut lines = export();
        lines.swap(a, b);
        flaw(&lines)
    };
    assert_eq!(swapped(4, 5), Flaw::Reordered { seq: 2, with: 3 });
    assert_eq!(swapped(4, 9), Flaw::Reordered { seq: 2, with: 6 });
    assert_eq!(swapped(3, 7), Flaw::Reordered { seq: 2, with: 5 });
    assert_eq!(swapped(7, 10), Flaw::Reordered { seq: 5, with: 7 });

    let twice = |index: usize| {
        let mut lines = export();
        lines.insert(index, lines[index].clone());
        flaw(&lines)
    };
    assert_eq!(twice(5), Flaw::Inserted { seq: 3 });
    assert_eq!(twice(9), Flaw::Outside { seq: 6 });
    assert_eq!(twice(10), Flaw::Inserted { seq: 7 });
    let mut blank = export();
    blank.insert(3, String::new());
    assert!(matches!(flaw(&blank), Flaw::Unreadable { .. }));
    let text = whole(&export());
    let behind = format!("{text}{}\n", export()[2]);
    assert_eq!(verify(&behind, None).unwrap_err(), FlawAt { line: 13, flaw: Flaw::BehindEnd });
}

#[test]
fn a_file_that_was_cut_anywhere_is_told_from_a_whole_one() {
    for text in [whole(&export()), whole(&export_of_one())] {
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            assert!(verify(&text[..end], None).is_err(), "cut after {end} bytes");
        }
    }
    let text = whole(&export());
    let cut = text.split_inclusive('\n').take(6).collect::<String>();
    assert_eq!(verify(&cut, None).unwrap_err().flaw, Flaw::Truncated { after: 3, last: 8 });
    assert_eq!(verify(&text[..cut.len() - 9], None).unwrap_err().flaw, Flaw::Truncated { after: 2, last: 8 });
}

#[test]
fn a_rewritten_record_is_found_by_the_seal_and_a_rewritten_seal_by_the_anchor() {
    let mut lines = export();
    let mut record: Value = serde_json::from_str(&lines[9]).unwrap();
    record["record"]["actor"] = "nobody".into();
    lines[9] = record.to_string();
    assert_eq!(flaw(&lines), Flaw::Changed { seq: 6 });
    let FileLine::Record(line) = serde_json::from_str(&lines[9]).unwrap() else { panic!() };
    let FileLine::Record(before) = serde_json::from_str(&lines[8]).unwrap() else { panic!() };
    let hash = record_hash(&before.hash.unwrap().0, 6, &leaf(&line.event("acme")));
    record["record"]["hash"] = hex(&hash).into();
    lines[9] = record.to_string();
    assert_eq!(flaw(&lines), Flaw::BatchChanged { first: 5, last: 6 });
}

#[test]
fn a_newer_file_is_not_misread() {
    let mut lines = export();
    lines[0] = lines[0].replace("\"version\":1,\"tenant\"", "\"version\":2,\"tenant\"");
    assert_eq!(flaw(&lines), Flaw::Newer { version: 2 });
}

/// What nothing but the last line covers, and the guide says so.
const UNPROVED: [&str; 4] = ["/exported_at", "/from", "/batch/written_at", "/link/written_at"];

/// The places of all values in a line.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), found));
        }
        Value::Array(values) if !values.is_empty() => {
            values.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

/// Another value of the same kind.
fn other(value: &Value, seed: usize) -> Value {
    match value {
        Value::Number(number) => (number.as_u64().unwrap() ^ (1 << (seed % 8))).into(),
        Value::String(text) if text.is_empty() => "x".into(),
        Value::String(text) => {
            let mut letters: Vec<char> = text.chars().collect();
            let at = seed % letters.len();
            letters[at] = if letters[at] == '7' { '4' } else { '7' };
            letters.into_iter().collect::<String>().into()
        }
        _ => panic!("{value} is no value of a file"),
    }
}

#[test]
fn each_value_that_is_changed_is_found_though_the_last_line_is_made_anew() {
    for lines in [export(), export_of_one()] {
        for index in 0..lines.len() {
            let value: Value = serde_json::from_str(&lines[index]).unwrap();
            let mut found = Vec::new();
            places(&value, "", &mut found);
            assert!(found.len() > 4);
            for place in found.iter().filter(|place| !UNPROVED.contains(&place.as_str())) {
                for seed in 0..8 {
                    let mut changed = value.clone();
                    let at = changed.pointer_mut(place).unwrap();
                    *at = other(at, seed * 7 + 3);
                    let mut lines = lines.clone();
                    lines[index] = changed.to_string();
                    assert!(verify(&whole(&lines), None).is_err(), "{place} of line {}: {changed}", index + 1);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_byte_can_be_changed_taken_away_or_put_in_unnoticed(one: bool, at: prop::sample::Index, byte in 0x20_u8..0x7f, way in 0..3) {
        let text = whole(&if one { export_of_one() } else { export() });
        let mut bytes = text.clone().into_bytes();
        let at = at.index(bytes.len());
        match way {
            0 => bytes[at] = byte,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, byte),
        }
        // What is no UTF-8 any more is not even read.
        if let Ok(changed) = String::from_utf8(bytes) && changed != text {
            prop_assert!(verify(&changed, None).is_err(), "byte {at}");
        }
    }
}
