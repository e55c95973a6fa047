//! Types of columns by the names that people write.

use lovage_core::Invalid;
use polars::prelude::{DataType, TimeUnit};

/// Reads a type's name.
pub(crate) fn parse(field: &str, name: &str) -> Result<DataType, Invalid> {
    let lower = name.trim().to_ascii_lowercase();
    let found = match lower.as_str() {
        "text" => Some(DataType::String),
        "integer" => Some(DataType::Int64),
        "number" => Some(DataType::Float64),
        "boolean" => Some(DataType::Boolean),
        "date" => Some(DataType::Date),
        "datetime" => Some(DataType::Datetime(TimeUnit::Microseconds, None)),
        other => decimal(other),
    };
    found.ok_or_else(|| {
        let help = "use text, integer, number, boolean, date, datetime or decimal(PRECISION,SCALE) with a precision of at \
                    most 38";
        Invalid::new(field, format!("is {name:?}"), help)
    })
}

fn decimal(text: &str) -> Option<DataType> {
    let inner = text.strip_prefix("decimal(")?.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',')?;
    let (precision, scale): (usize, usize) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=38).contains(&precision) && scale <= precision).then_some(DataType::Decimal(precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_types_and_others_are_refused() {
        assert_eq!(parse("f", "Decimal(18, 2)").unwrap(), DataType::Decimal(18, 2));
        assert_eq!(parse("f", "text").unwrap(), DataType::String);
        for name in ["", "varchar", "decimal", "decimal(39,2)", "decimal(2,3)", "decimal(0,0)", "decimal(a,b)"] {
            assert!(parse("f", name).is_err(), "{name}");
        }
    }
}
