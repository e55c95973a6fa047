//! `lovage audit verify FILE`: checks an exported trail with nothing but the file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};

use lovage_core::audit::{Digest, FileChecker, MAX_AUDIT_BYTES, Proved, hex};
use lovage_ledger::is_signature;
use serde_json::json;

use super::Context;
use super::list::trail;
use crate::error::{Failure, Outcome};

/// Longest line: a record whose every byte JSON writes as two, and what stands beside it.
const LONGEST: usize = 3 * MAX_AUDIT_BYTES;

/// Checks the file at `path`, - for standard input. With a key that one must have signed it.
pub fn run(context: &Context, path: &str, key: Option<Digest>) -> Outcome {
    let checked = read(path, FileChecker::new(key, is_signature))?;
    let at = match checked.end() {
        Ok(proved) => {
            let answer = json!({
                "ok": true, "file": path, "tenant": proved.tenant, "records": proved.records, "first": proved.first,
                "last": proved.last, "removed": proved.removed, "record": proved.record, "key_expected": key.is_some(),
                "anchor": proved.anchor.map(|anchor| json!({
                    "number": anchor.number, "made_at": anchor.made_at, "public_key": hex(&anchor.public_key),
                    "covers": anchor.seq,
                })),
            });
            return context.output.one(&answer, || text(&proved, key.is_some()));
        }
        Err(at) => at,
    };
    if context.output.is_json() {
        context.output.one(&json!({ "ok": false, "file": path, "finding": at }), String::new)?;
    }
    Err(Failure::Failed(format!("{path} is not what was exported: {at}")))
}

fn read(path: &str, mut checker: FileChecker) -> Outcome<FileChecker> {
    let unreadable = |error: &std::io::Error| {
        Failure::usage("file", format!("file: {path} cannot be read ({error}); name a file of `lovage audit export`"))
    };
    let mut input: Box<dyn BufRead> = if path == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(path).map_err(|error| unreadable(&error))?))
    };
    loop {
        let mut bytes = Vec::new();
        let count =
            (&mut input).take(LONGEST as u64).read_until(b'\n', &mut bytes).map_err(|error| unreadable(&error))?;
        // What is no UTF-8, or longer than any line, is no line of an export: the checker says so of the part.
        if count == 0 || !checker.push(&String::from_utf8_lossy(&bytes)) {
            return Ok(checker);
        }
    }
}

/// What exactly is proved, in sentences.
fn text(proved: &Proved, expected: bool) -> String {
    let of = trail(&proved.tenant);
    let what = match proved.record {
        Some(record) => format!("Record {record} of {of}"),
        None => format!("Records {} to {} of {of}, {} in the file,", proved.first, proved.last, proved.records),
    };
    let mut text = match (proved.anchor, proved.record) {
        (None, Some(_)) => format!("{what} fits the seal of its batch."),
        (None, None) => format!("{what} follow from each other."),
        (Some(_), Some(_)) => format!("{what} is as it was written."),
        (Some(_), None) => format!("{what} are as they were written, and none is missing between them."),
    };
    // Writing to a text cannot fail.
    if proved.removed > 0 {
        let _ = write!(
            text,
            "\n{} of them are not in the file: retention had removed them, says who exported it. Their batches are proved.",
            proved.removed
        );
    }
    let Some(anchor) = proved.anchor else {
        text.push_str(
            "\nIt is not anchored: the file is consistent in itself, and whoever made it can have made all of it up.",
        );
        return text;
    };
    let _ = write!(
        text,
        "\nSigned by {}\n  in anchor {} at {}, which covers the trail up to record {}.",
        hex(&anchor.public_key),
        anchor.number,
        anchor.made_at,
        anchor.seq
    );
    text.push_str(if expected {
        "\nThat is the key that was expected."
    } else {
        "\nCompare that key with the one that you were given elsewhere, or add --public-key: a forger signs with his own."
    });
    text
}
