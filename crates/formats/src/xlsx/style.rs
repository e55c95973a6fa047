//! How cells look: the few formats that a workbook has, each with its number in `styles.xml`.

/// A cell's format, by its place in the list that [`sheet`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style(u8);

impl Style {
    /// Whatever the program thinks fit.
    pub(super) const GENERAL: Self = Self(0);
    /// A column's name.
    pub(super) const HEADER: Self = Self(1);
    /// Text that stays text when somebody edits the cell.
    pub(super) const TEXT: Self = Self(2);
    /// A number or a time that is kept as text: at the right, where its neighbours stand.
    pub(super) const KEPT: Self = Self(3);
    /// A whole number. The general format would show one of twelve digits with an exponent.
    pub(super) const INT: Self = Self(4);
    /// A date.
    pub(super) const DATE: Self = Self(5);
    /// Date and time, to the second.
    pub(super) const MOMENT: Self = Self(6);
    /// Date and time, to the millisecond.
    pub(super) const MOMENT_MILLIS: Self = Self(7);
    /// A time of day, to the second.
    pub(super) const TIME: Self = Self(8);
    /// A time of day, to the millisecond.
    pub(super) const TIME_MILLIS: Self = Self(9);
    /// The end of the day: the other format would show it as its begin.
    pub(super) const MIDNIGHT: Self = Self(10);
    /// True or false. Excel needs none, but other programs show 0 and 1 in the general format.
    pub(super) const BOOL: Self = Self(11);
    /// The last before those for exact numbers.
    const BEFORE_FIXED: u8 = 11;
    /// The most digits behind the point that a format shows.
    const MOST_DIGITS: u8 = 15;

    /// An exact number with so many digits behind the point.
    pub(super) fn fixed(scale: u16) -> Self {
        match u8::try_from(scale) {
            Ok(0) => Self::INT,
            Ok(scale @ 1..=Self::MOST_DIGITS) => Self(Self::BEFORE_FIXED + scale),
            _ => Self::GENERAL,
        }
    }

    /// Adds its number.
    pub(super) fn push(self, out: &mut Vec<u8>) {
        if self.0 >= 10 {
            out.push(b'0' + self.0 / 10);
        }
        out.push(b'0' + self.0 % 10);
    }
}

/// Formats of numbers that every program knows.
const GENERAL: u16 = 0;
const WHOLE: u16 = 1;
const TEXT: u16 = 49;
/// Positive, negative, zero.
const BOOL: &str = "&quot;TRUE&quot;;&quot;TRUE&quot;;&quot;FALSE&quot;";
/// The first number that is free for formats of a workbook's own.
const OWN: u16 = 164;

/// `xl/styles.xml`. It needs nothing that is only known at the end, so it can stand in front of the records.
pub(super) fn sheet() -> String {
    let others = [
        "yyyy-mm-dd",
        "yyyy-mm-dd hh:mm:ss",
        "yyyy-mm-dd hh:mm:ss.000",
        "hh:mm:ss",
        "hh:mm:ss.000",
        "[hh]:mm:ss",
        BOOL,
    ];
    let fractions = (1..=Style::MOST_DIGITS).map(|scale| format!("0.{}", "0".repeat(scale.into())));
    let formats: Vec<String> = others.into_iter().map(str::to_owned).chain(fractions).collect();
    let look =
        |format: u16, rest: &str| format!(r#"<xf numFmtId="{format}" borderId="0" applyNumberFormat="1" {rest}</xf>"#);
    let plain = |format| look(format, r#"fontId="0" fillId="0">"#);
    let mut cells = vec![
        plain(GENERAL),
        look(TEXT, r#"fontId="1" fillId="2" applyFont="1" applyFill="1">"#),
        plain(TEXT),
        look(TEXT, r#"fontId="0" fillId="0" applyAlignment="1"><alignment horizontal="right"/>"#),
        plain(WHOLE),
    ];
    cells.extend((OWN..).take(formats.len()).map(plain));
    let formats: Vec<String> = (OWN..)
        .zip(&formats)
        .map(|(number, format)| format!(r#"<numFmt numFmtId="{number}" formatCode="{format}"/>"#))
        .collect();
    format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
            "\n",
            r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">"#,
            r#"<numFmts count="{}">{}</numFmts>"#,
            r#"<fonts count="2"><font><sz val="11"/><name val="Calibri"/><family val="2"/></font>"#,
            r#"<font><b/><sz val="11"/><name val="Calibri"/><family val="2"/></font></fonts>"#,
            r#"<fills count="3"><fill><patternFill patternType="none"/></fill>"#,
            r#"<fill><patternFill patternType="gray125"/></fill>"#,
            r#"<fill><patternFill patternType="solid"><fgColor rgb="FFE2EFDA"/><bgColor indexed="64"/></patternFill></fill></fills>"#,
            r#"<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>"#,
            r#"<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>"#,
            r#"<cellXfs count="{}">{}</cellXfs>"#,
            r#"<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>"#,
        ),
        formats.len(),
        formats.concat(),
        cells.len(),
        cells.concat(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_has_its_place_in_the_list() {
        let sheet = sheet();
        let list = sheet.split_once("<cellXfs").unwrap().1.split_once("</cellXfs>").unwrap().0;
        let styles: Vec<&str> = list.split("<xf ").skip(1).collect();
        let format = |style: Style| {
            let number = styles[usize::from(style.0)].split('"').nth(1).unwrap();
            let own = sheet.split_once(&format!("<numFmt numFmtId=\"{number}\" formatCode=\""));
            own.map_or(number, |(_, rest)| rest.split('"').next().unwrap()).to_owned()
        };
        let known = [Style::GENERAL, Style::HEADER, Style::TEXT, Style::KEPT, Style::INT, Style::DATE, Style::MIDNIGHT];
        assert_eq!(known.map(&format), ["0", "49", "49", "49", "1", "yyyy-mm-dd", "[hh]:mm:ss"]);
        assert_eq!([0, 1, 15, 16].map(Style::fixed).map(&format), ["1", "0.0", "0.000000000000000", "0"]);
        assert_eq!(styles.len(), usize::from(Style::fixed(15).0) + 1);
        assert_eq!(format(Style::BOOL), BOOL);
        let mut digits = Vec::new();
        for style in [Style(9), Style(10), Style(25)] {
            style.push(&mut digits);
        }
        assert_eq!(digits, b"91025");
    }
}
