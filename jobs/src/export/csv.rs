//! Writes records as CSV, in the dialect that Postgres' `COPY ... (FORMAT csv)` writes, so that a file looks the same
//! whichever database it came from.
//!
//! RFC 4180 with LF: a field that contains a comma, a quote or a line break is quoted. NULL is an empty field, an empty
//! text is `""`. Binary data is `\x` and hexadecimal digits. Numbers are never rounded: integers are exact, floats have
//! the shortest digits that read back as the same number.

use std::io::Write as _;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// Adds one record to `out`.
pub(super) fn record<'a>(out: &mut Vec<u8>, cells: impl IntoIterator<Item = Cell<'a>>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, cell);
    }
    end(out);
}

/// Ends a record.
pub(super) fn end(out: &mut Vec<u8>) {
    out.push(b'\n');
}

/// Adds one field to `out`, without the comma before it.
pub(super) fn push(out: &mut Vec<u8>, cell: Cell<'_>) {
    // Writing to a vector cannot fail.
    match cell {
        Cell::Null => {}
        Cell::Integer(number) => drop(write!(out, "{number}")),
        Cell::Real(number) if number.is_infinite() => {
            out.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
        }
        // The debug form is the shortest that reads back, with an exponent where it saves digits.
        Cell::Real(number) => drop(write!(out, "{number:?}")),
        Cell::Text(text) => push_text(out, text),
        Cell::Blob(bytes) => {
            out.extend_from_slice(b"\\x");
            for byte in bytes {
                drop(write!(out, "{byte:02x}"));
            }
        }
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    // `\.` alone on a line would end the data for whoever loads the file with Postgres' COPY.
    let plain =
        !bytes.is_empty() && text != "\\." && !bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if plain {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for (index, piece) in text.split('"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(piece.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(cells: &[Cell<'_>]) -> String {
        let mut out = Vec::new();
        record(&mut out, cells.iter().copied());
        String::from_utf8(out).unwrap()
    }

    /// RFC 4180, written from its grammar and not from the code above. An unquoted empty field is `None`.
    fn parse(text: &str) -> Vec<Vec<Option<String>>> {
        let (mut records, mut record) = (Vec::new(), Vec::new());
        let mut chars = text.chars().peekable();
        while chars.peek().is_some() {
            let mut field = None;
            if chars.next_if_eq(&'"').is_some() {
                let mut value = String::new();
                loop {
                    match chars.next().expect("a quoted field ends") {
                        '"' if chars.next_if_eq(&'"').is_some() => value.push('"'),
                        '"' => break,
                        other => value.push(other),
                    }
                }
                field = Some(value);
            } else {
                while let Some(c) = chars.next_if(|c| !matches!(c, ',' | '\n')) {
                    field.get_or_insert_with(String::new).push(c);
                }
            }
            record.push(field);
            match chars.next().expect("every record ends with a line break") {
                ',' => {}
                '\n' => records.push(std::mem::take(&mut record)),
                other => panic!("{other:?} after a field"),
            }
        }
        records
    }

    #[test]
    fn null_empty_and_marks_are_told_apart() {
        let cells = [Cell::Null, Cell::Text(""), Cell::Text("\\."), Cell::Text("a\"b,c\r\nd"), Cell::Text(" x ")];
        assert_eq!(line(&cells), ",\"\",\"\\.\",\"a\"\"b,c\r\nd\", x \n");
    }

    #[test]
    fn numbers_and_bytes_keep_every_digit() {
        let cells =
            [Cell::Integer(i64::MIN), Cell::Real(0.1), Cell::Real(1e300), Cell::Real(-2.0), Cell::Blob(&[0, 0xab])];
        assert_eq!(line(&cells), "-9223372036854775808,0.1,1e300,-2.0,\\x00ab\n");
        assert_eq!(line(&[Cell::Real(f64::INFINITY), Cell::Real(f64::NEG_INFINITY)]), "Infinity,-Infinity\n");
    }

    proptest! {
        #[test]
        fn any_text_comes_back(rows in prop::collection::vec(prop::collection::vec(prop::option::of(any::<String>()), 1..5), 0..6)) {
            let mut out = Vec::new();
            for row in &rows {
                record(&mut out, row.iter().map(|cell| cell.as_deref().map_or(Cell::Null, Cell::Text)));
            }
            prop_assert_eq!(parse(std::str::from_utf8(&out).unwrap()), rows);
        }

        #[test]
        fn text_full_of_marks_comes_back(row in prop::collection::vec("[\",\\n\\r\\\\. a]{0,8}", 1..4)) {
            let text = line(&row.iter().map(|cell| Cell::Text(cell)).collect::<Vec<_>>());
            prop_assert_eq!(parse(&text), vec![row.into_iter().map(Some).collect::<Vec<_>>()]);
        }

        #[test]
        fn any_float_reads_back_as_itself(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let text = line(&[Cell::Real(number)]);
            prop_assert_eq!(text.trim_end().parse::<f64>().unwrap().to_bits(), bits);
        }
    }
}
