//! Text in cells: cut to what a cell holds, and escaped.
//!
//! XML has no way to write most control characters, so the format adds one of its own, `_x0007_`, and whoever reads it
//! takes every such mark for a character. A text that holds the mark itself is written with its first underscore marked.

/// The most that a cell holds, in units of UTF-16.
const CELL: usize = 32_767;

/// As much of a text as a cell holds, cut between characters, and whether that is less than all.
pub(super) fn fitting(text: &str) -> (&str, bool) {
    // No character has more units than bytes.
    if text.len() <= CELL {
        return (text, false);
    }
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > CELL
    });
    end.map_or((text, false), |(at, _)| (&text[..at], true))
}

/// Whether a reader would drop spaces unless it is told not to.
pub(super) fn has_outer_space(text: &str) -> bool {
    let space = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n'));
    space(text.as_bytes().first()) || space(text.as_bytes().last())
}

/// Bytes at which escaping has to look closer. A line feed and a tab stand for themselves; a carriage return would come
/// back as a line feed.
const NOTABLE: [bool; 256] = {
    let mut notable = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        notable[control] = control != b'\t' as usize && control != b'\n' as usize;
        control += 1;
    }
    notable[b'&' as usize] = true;
    notable[b'<' as usize] = true;
    notable[b'>' as usize] = true;
    notable[b'_' as usize] = true;
    // The first byte of U+FFFE and U+FFFF, which XML forbids, among others.
    notable[0xEF] = true;
    notable
};

/// Adds a text, escaped.
pub(super) fn push(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let (mut written, mut at) = (0, 0);
    while let Some(plain) = bytes[at..].iter().position(|&byte| NOTABLE[usize::from(byte)]) {
        at += plain;
        let mark;
        let (escape, length): (&[u8], usize) = match bytes[at] {
            b'&' => (b"&amp;", 1),
            b'<' => (b"&lt;", 1),
            b'>' => (b"&gt;", 1),
            b'_' if begins_mark(&bytes[at..]) => (b"_x005F_", 1),
            control if control < 0x20 => {
                mark = control_mark(control);
                (&mark, 1)
            }
            0xEF => match bytes[at..] {
                [_, 0xBF, 0xBE, ..] => (b"_xFFFE_", 3),
                [_, 0xBF, 0xBF, ..] => (b"_xFFFF_", 3),
                _ => {
                    at += 3;
                    continue;
                }
            },
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[written..at]);
        out.extend_from_slice(escape);
        at += length;
        written = at;
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Whether what begins with an underscore would be read as a mark. Its last underscore may be the first of another one
/// that is yet to be written.
fn begins_mark(bytes: &[u8]) -> bool {
    let [b'_', b'x', digits @ ..] = bytes else { return false };
    let Some((digits, rest)) = digits.split_at_checked(4) else { return false };
    let closes = match rest {
        [b'_', ..] | [0xEF, 0xBF, 0xBE | 0xBF, ..] => true,
        [control, ..] => *control < 0x20 && !matches!(control, b'\t' | b'\n'),
        [] => false,
    };
    closes && digits.iter().all(u8::is_ascii_hexdigit)
}

fn control_mark(control: u8) -> [u8; 7] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [b'_', b'x', b'0', b'0', DIGITS[usize::from(control >> 4)], DIGITS[usize::from(control & 15)], b'_']
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        push(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    /// What a reader makes of it: first XML, then the marks, from left to right.
    fn read(xml: &str) -> String {
        let xml = xml.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let mut text = String::new();
        let mut rest = xml.as_str();
        while let Some(first) = rest.chars().next() {
            let mark = rest.get(..7).filter(|mark| mark.starts_with("_x") && mark.ends_with('_'));
            let code = mark.map(|mark| &mark[2..6]).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
            if let Some(code) = code.and_then(|code| u32::from_str_radix(code, 16).ok()) {
                text.push(char::from_u32(code).unwrap_or('?'));
                rest = &rest[7..];
            } else {
                text.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        text
    }

    #[test]
    fn what_xml_cannot_write_gets_a_mark() {
        assert_eq!(escaped("a<b>&\"'"), "a&lt;b&gt;&amp;\"'");
        assert_eq!(escaped("\0\u{7}\t\r\n\u{1f}"), "_x0000__x0007_\t_x000D_\n_x001F_");
        assert_eq!(escaped("\u{fffe}\u{ffff}，＝\u{fffd}"), "_xFFFE__xFFFF_，＝\u{fffd}");
        assert_eq!(escaped("_x0041_ _x004G_ _x41_ snake_case"), "_x005F_x0041_ _x004G_ _x41_ snake_case");
        assert_eq!(escaped("_x0041_x0042_"), "_x005F_x0041_x005F_x0042_");
        // Neither is a mark by itself, but the mark of the control character would close the first.
        assert_eq!(escaped("_x0041\u{1}"), "_x005F_x0041_x0001_");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let longest = "x".repeat(CELL);
        assert_eq!(fitting(&longest), (longest.as_str(), false));
        let longer = format!("{longest}y");
        assert_eq!(fitting(&longer), (longest.as_str(), true));
        // Three bytes and one unit each.
        let chinese = "王".repeat(CELL);
        assert_eq!(fitting(&chinese), (chinese.as_str(), false));
        // Two units, of which only the first would fit.
        let split = format!("{}😀", &longest[1..]);
        assert_eq!(fitting(&split), (&longest[1..], true));
    }

    #[test]
    fn outer_spaces_are_kept() {
        assert!([" a", "a ", "\ta", "a\n", " "].into_iter().all(has_outer_space));
        assert!(!["", "a", "a b", "a\nb"].into_iter().any(has_outer_space));
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in any::<String>()) {
            prop_assert_eq!(read(&escaped(&text)), text);
        }

        #[test]
        fn text_full_of_marks_is_read_back(text in "[_x04F\u{1}\r\u{ffff}<&，]{0,40}") {
            prop_assert_eq!(read(&escaped(&text)), text.clone());
            let legal = |c: char| !matches!(c, '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' | '<');
            prop_assert!(escaped(&text).chars().all(legal));
        }
    }
}
