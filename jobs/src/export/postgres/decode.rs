//! The binary form of `COPY` (PostgreSQL manual, chapter "COPY", "Binary Format") as values.

use bytes::Bytes;
use lovage_formats::{Decimal, Value};

use super::columns::{Layout, Wire};
use crate::export::pipeline::{Decode, Recorder, Stop};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Turns messages into records.
pub(in crate::export) struct Decoder {
    wires: Vec<Wire>,
    /// Whether the head of the stream is behind.
    begun: bool,
}

impl Decoder {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { wires: layout.wires.clone(), begun: false }
    }

    /// What follows the stream's head: signature, flags, and an extension of a given length.
    fn after_head(message: &[u8]) -> Option<&[u8]> {
        let rest = message.strip_prefix(SIGNATURE)?;
        let (_flags, rest) = rest.split_at_checked(4)?;
        let (length, rest) = rest.split_at_checked(4)?;
        rest.get(u32::from_be_bytes(length.try_into().ok()?) as usize..)
    }
}

impl Decode for Decoder {
    type Batch = Vec<Bytes>;

    fn decode(&mut self, batch: Vec<Bytes>, records: &mut Recorder) -> Result<(), Stop> {
        let broken = || Stop::Broken("the server's answer is not in the binary form of COPY".to_owned());
        let mut values = Vec::with_capacity(self.wires.len());
        for message in &batch {
            let mut rest = message.as_ref();
            if !self.begun {
                rest = Self::after_head(rest).ok_or_else(broken)?;
                self.begun = true;
            }
            while !rest.is_empty() {
                let fields = i16::from_be_bytes(take::<2>(&mut rest).ok_or_else(broken)?);
                if fields == -1 {
                    return Ok(());
                }
                if usize::try_from(fields).ok() != Some(self.wires.len()) {
                    return Err(broken());
                }
                values.clear();
                for (index, wire) in self.wires.iter().enumerate() {
                    let field = field(&mut rest).ok_or_else(broken)?;
                    let value = field.map_or(Ok(Value::Null), |field| value(*wire, field));
                    values.push(value.map_err(|problem| records.cell(index, problem))?);
                }
                records.record(&values)?;
            }
        }
        Ok(())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// The next field; none of it if it is null.
#[expect(clippy::option_option, reason = "a field that is cut off and a null are two things")]
fn field<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = i32::from_be_bytes(take::<4>(rest)?);
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    let (field, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(Some(field))
}

fn value(wire: Wire, field: &[u8]) -> Result<Value<'_>, &'static str> {
    const FORM: &str = "has an unexpected binary form; cast the column to text in the query";
    fn number<const N: usize>(field: &[u8]) -> Result<[u8; N], &'static str> {
        field.try_into().map_err(|_| FORM)
    }
    let text = |field| std::str::from_utf8(field).map_err(|_| "the text is not valid UTF-8; convert it in the query");
    Ok(match wire {
        Wire::Bool => Value::Bool(number::<1>(field)? != [0]),
        Wire::Int2 => Value::Int(i16::from_be_bytes(number(field)?).into()),
        Wire::Int4 => Value::Int(i32::from_be_bytes(number(field)?).into()),
        Wire::Int8 => Value::Int(i64::from_be_bytes(number(field)?)),
        Wire::Oid => Value::Int(u32::from_be_bytes(number(field)?).into()),
        Wire::Float4 => Value::Float32(f32::from_be_bytes(number(field)?)),
        Wire::Float8 => Value::Float64(f64::from_be_bytes(number(field)?)),
        Wire::Numeric => Value::Decimal(Decimal::from_binary(field).ok_or(FORM)?),
        Wire::Text => Value::Text(text(field)?),
        Wire::Bytes => Value::Bytes(field),
        Wire::Date => Value::Date(i32::from_be_bytes(number(field)?)),
        Wire::Time => Value::Time(i64::from_be_bytes(number(field)?)),
        Wire::Timestamp => Value::Timestamp(i64::from_be_bytes(number(field)?)),
        Wire::TimestampTz => Value::TimestampTz(i64::from_be_bytes(number(field)?)),
        Wire::Uuid => Value::Uuid(number(field)?),
        Wire::Json => Value::Json(text(field)?),
        // The first byte is the version of the form.
        Wire::Jsonb => Value::Json(text(field.strip_prefix(&[1]).ok_or(FORM)?)?),
    })
}

#[cfg(test)]
mod tests {
    use lovage_formats::DAY_INFINITY;

    use super::*;

    #[test]
    fn infinities_are_those_of_the_server() {
        assert_eq!(value(Wire::Date, &i32::MAX.to_be_bytes()), Ok(Value::Date(DAY_INFINITY)));
    }

    #[test]
    fn a_field_of_the_wrong_length_is_an_error_and_no_panic() {
        for wire in
            [Wire::Bool, Wire::Int2, Wire::Int8, Wire::Float4, Wire::Uuid, Wire::Numeric, Wire::Jsonb, Wire::Date]
        {
            assert!(value(wire, &[]).is_err(), "{wire:?}");
        }
        assert!(value(Wire::Text, &[0xff]).is_err());
        assert_eq!(field(&mut &[0, 0, 0, 9, 1][..]), None);
        assert_eq!(field(&mut &[255, 255, 255, 255][..]), Some(None));
    }
}
