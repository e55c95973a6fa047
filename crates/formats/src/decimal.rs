//! Exact numbers as Postgres sends them: groups of four digits, never through a float.

/// An exact number: `numeric` in the binary form of Postgres (`src/backend/utils/adt/numeric.c`, `numeric_send`).
///
/// The value is the sum of `group[i] * 10000^(weight - i)`; `scale` says how many digits behind the point are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    sign: Sign,
    weight: i16,
    scale: u16,
    /// Two bytes a group, big-endian, each 0 to 9999.
    groups: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
    NotANumber,
    Infinity,
    NegativeInfinity,
}

impl<'a> Decimal<'a> {
    /// Reads the binary form; nothing if it is not one.
    pub fn from_binary(bytes: &'a [u8]) -> Option<Self> {
        let (head, groups) = bytes.split_at_checked(8)?;
        let field = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let sign = match field(4) {
            0 => Sign::Plus,
            0x4000 => Sign::Minus,
            0xC000 => Sign::NotANumber,
            0xD000 => Sign::Infinity,
            0xF000 => Sign::NegativeInfinity,
            _ => return None,
        };
        let whole = groups.len() == usize::from(field(0)) * 2;
        let in_range = groups.chunks_exact(2).all(|pair| u16::from_be_bytes([pair[0], pair[1]]) < 10_000);
        (whole && in_range).then_some(Self { sign, weight: field(2) as i16, scale: field(6), groups })
    }

    /// Whether it is a number with a value: neither `NaN` nor infinite.
    pub fn is_finite(&self) -> bool {
        matches!(self.sign, Sign::Plus | Sign::Minus)
    }

    /// Digits behind the point.
    pub fn scale(&self) -> u16 {
        self.scale
    }

    fn group(&self, index: i32) -> u16 {
        let at = usize::try_from(index).ok().map(|index| index * 2);
        at.and_then(|at| self.groups.get(at..at + 2)).map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// Adds its digits to `out`, as Postgres writes them: all of the scale, no exponent, `NaN`, `Infinity`, `-Infinity`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.sign {
            Sign::NotANumber => return out.extend_from_slice(b"NaN"),
            Sign::Infinity => return out.extend_from_slice(b"Infinity"),
            Sign::NegativeInfinity => return out.extend_from_slice(b"-Infinity"),
            Sign::Minus => out.push(b'-'),
            Sign::Plus => {}
        }
        let weight = i32::from(self.weight);
        let begin = out.len();
        for index in 0..=weight {
            let digits = four(self.group(index));
            let zeros = if out.len() == begin { digits.iter().take_while(|&&digit| digit == b'0').count() } else { 0 };
            out.extend_from_slice(&digits[zeros..]);
        }
        if out.len() == begin {
            out.push(b'0');
        }
        if self.scale == 0 {
            return;
        }
        out.push(b'.');
        let mut left = usize::from(self.scale);
        let mut index = weight + 1;
        // Groups between the point and the first stored one are zeros.
        for _ in index..0 {
            let zeros = left.min(4);
            out.extend_from_slice(&b"0000"[..zeros]);
            left -= zeros;
            if left == 0 {
                return;
            }
        }
        index = index.max(0);
        while left > 0 {
            let digits = four(self.group(index));
            let shown = left.min(4);
            out.extend_from_slice(&digits[..shown]);
            left -= shown;
            index += 1;
        }
    }

    /// The value times `10^scale`, if it is finite, has no digit other than 0 beyond, and fits.
    pub fn scaled(&self, scale: u8) -> Option<i128> {
        if !self.is_finite() {
            return None;
        }
        let mut value: i128 = 0;
        for (index, pair) in self.groups.chunks_exact(2).enumerate() {
            let group = i128::from(u16::from_be_bytes([pair[0], pair[1]]));
            // The power of ten of the group's last digit, in units of the result.
            let power = (i32::from(self.weight) - i32::try_from(index).ok()?) * 4 + i32::from(scale);
            let term = match u32::try_from(power) {
                _ if group == 0 => 0,
                Ok(power) => group.checked_mul(10_i128.checked_pow(power)?)?,
                Err(_) => {
                    let divisor = 10_i128.checked_pow(power.unsigned_abs())?;
                    if group % divisor != 0 {
                        return None;
                    }
                    group / divisor
                }
            };
            value = value.checked_add(term)?;
        }
        Some(if self.sign == Sign::Minus { -value } else { value })
    }

    /// How many digits it takes from its first that is not 0 to its last shown one; 0 for zero.
    pub fn significant_digits(&self) -> usize {
        let mut text = Vec::with_capacity(32);
        if !self.is_finite() {
            return 0;
        }
        self.write(&mut text);
        text.iter().filter(|byte| byte.is_ascii_digit()).skip_while(|&&digit| digit == b'0').count()
    }
}

fn four(group: u16) -> [u8; 4] {
    let digit = |divisor: u16| b'0' + (group / divisor % 10) as u8;
    [digit(1000), digit(100), digit(10), digit(1)]
}

/// A [`Decimal`] that owns its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecimalBuf(Vec<u8>);

impl DecimalBuf {
    /// Reads a plain decimal text such as `-12.50`; nothing if it is none or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (0x4000_u16, rest),
            None => (0, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !plain(whole) || !plain(fraction) {
            return None;
        }
        let padded = format!(
            "{}{whole}{fraction}{}",
            "0".repeat((4 - whole.len() % 4) % 4),
            "0".repeat((4 - fraction.len() % 4) % 4)
        );
        let groups: Vec<u16> = padded
            .as_bytes()
            .chunks(4)
            .map(|four| four.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
            .collect();
        let weight = i16::try_from(whole.len().div_ceil(4)).ok()? - 1;
        let count = u16::try_from(groups.len()).ok()?;
        let scale = u16::try_from(fraction.len()).ok()?;
        let fields = [count, weight as u16, sign, scale];
        Some(Self(fields.into_iter().chain(groups).flat_map(u16::to_be_bytes).collect()))
    }

    /// The number.
    pub fn get(&self) -> Decimal<'_> {
        // Only built by `parse`, whose form is valid.
        Decimal::from_binary(&self.0).unwrap_or(Decimal { sign: Sign::Plus, weight: 0, scale: 0, groups: &[] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(number: Decimal<'_>) -> String {
        let mut out = Vec::new();
        number.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn binary(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Vec<u8> {
        let head = [groups.len() as u16, weight as u16, sign, scale];
        head.into_iter().chain(groups.iter().copied()).flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn digits_are_those_that_postgres_shows() {
        for (form, shown) in [
            (binary(0, 0, 0, &[]), "0"),
            (binary(0, 0, 2, &[]), "0.00"),
            (binary(0, 0, 2, &[12, 5000]), "12.50"),
            (binary(1, 0x4000, 0, &[1, 2]), "-10002"),
            (binary(2, 0, 0, &[7]), "700000000"),
            (binary(-1, 0, 4, &[1]), "0.0001"),
            (binary(-3, 0, 12, &[1]), "0.000000000001"),
            (binary(-3, 0, 10, &[100]), "0.0000000001"),
            (binary(0, 0xC000, 0, &[]), "NaN"),
            (binary(0, 0xD000, 0, &[]), "Infinity"),
            (binary(0, 0xF000, 0, &[]), "-Infinity"),
        ] {
            assert_eq!(text(Decimal::from_binary(&form).unwrap()), shown);
        }
    }

    #[test]
    fn what_is_not_the_binary_form_is_refused() {
        for form in [&[][..], &[0; 7], &binary(0, 1, 0, &[]), &binary(0, 0, 0, &[10_000]), &binary(0, 0, 0, &[1])[..9]]
        {
            assert_eq!(Decimal::from_binary(form), None, "{form:?}");
        }
    }

    #[test]
    fn scaled_is_exact_or_nothing() {
        let scaled = |text: &str, scale| DecimalBuf::parse(text).unwrap().get().scaled(scale);
        assert_eq!(scaled("-12.50", 2), Some(-1250));
        assert_eq!(scaled("12.5", 4), Some(125_000));
        assert_eq!(scaled("12.505", 2), None, "a digit would be lost");
        assert_eq!(scaled("0", 0), Some(0));
        assert_eq!(scaled("170141183460469231731687303715884105727", 0), Some(i128::MAX));
        assert_eq!(scaled("170141183460469231731687303715884105728", 0), None);
        assert_eq!(Decimal::from_binary(&binary(0, 0xC000, 0, &[])).unwrap().scaled(2), None);
    }

    proptest! {
        #[test]
        fn a_text_comes_back(whole in "(0|[1-9][0-9]{0,40})", fraction in "(|[.][0-9]{1,40})", minus in any::<bool>()) {
            let shown = format!("{}{whole}{fraction}", if minus { "-" } else { "" });
            prop_assert_eq!(text(DecimalBuf::parse(&shown).unwrap().get()), shown);
        }

        #[test]
        fn scaled_agrees_with_the_digits(value in any::<i64>(), scale in 0_u8..19) {
            let digits = format!("{:0>20}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(20 - usize::from(scale));
            let point = if scale > 0 { "." } else { "" };
            let shown = format!("{}{whole}{point}{fraction}", if value < 0 { "-" } else { "" });
            prop_assert_eq!(DecimalBuf::parse(&shown).unwrap().get().scaled(scale), Some(i128::from(value)));
        }
    }
}
