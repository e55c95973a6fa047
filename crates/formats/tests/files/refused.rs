//! What formats with typed columns refuse, rather than change it.

use lovage_formats::{
    Column, DAY_INFINITY, DAY_NEG_INFINITY, Decimal, DecimalBuf, EncodeError, Format, MICROS_INFINITY,
    MICROS_NEG_INFINITY, Options, Type, Value, encoder,
};

use crate::{Shared, column, file};

const TYPED: [Format; 2] = [Format::Parquet, Format::Arrow];
const MONEY: Type = Type::Decimal { precision: 5, scale: 2 };

fn refusal(format: Format, ty: Type, value: Value<'_>) -> String {
    let records = [vec![Value::Null], vec![value]];
    match file(format, &Options::default(), &column(ty), &records) {
        Err(error @ EncodeError::Cell { .. }) => error.to_string(),
        other => panic!("{ty:?} takes {value:?}: {other:?}"),
    }
}

#[test]
fn values_that_would_change_are_refused_with_their_place() {
    let [long, fine] = ["1000", "0.125"].map(|text| DecimalBuf::parse(text).unwrap());
    let not_a_number = Decimal::from_binary(&[0, 0, 0, 0, 0xC0, 0, 0, 0]).unwrap();
    let text = "cast the column in the query, e.g. to text";
    let null = "which this format cannot hold; turn it into null or cast the column to text in the query";
    for (ty, value, problem) in [
        (Type::Int16, Value::Int(32768), "is 32768, which int16 cannot hold; cast the column in the query to bigint"),
        (
            Type::Int32,
            Value::Int(-2_147_483_649),
            "is -2147483649, which int32 cannot hold; cast the column in the query to bigint",
        ),
        (MONEY, Value::Decimal(long.get()), &format!("is 1000, which decimal(5,2) cannot hold; {text}")),
        (MONEY, Value::Decimal(fine.get()), &format!("is 0.125, which decimal(5,2) cannot hold; {text}")),
        (MONEY, Value::Decimal(not_a_number), &format!("is NaN, which decimal(5,2) cannot hold; {text}")),
        (Type::Date, Value::Date(DAY_INFINITY), &format!("is infinity, {null}")),
        (Type::Date, Value::Date(DAY_NEG_INFINITY), &format!("is -infinity, {null}")),
        (Type::Timestamp, Value::Timestamp(MICROS_INFINITY), &format!("is infinity, {null}")),
        (Type::TimestampTz, Value::TimestampTz(MICROS_NEG_INFINITY), &format!("is -infinity, {null}")),
        (
            Type::TimestampTz,
            Value::TimestampTz(i64::MAX - 946_684_800_000_000 + 1),
            &format!("is 294247-01-10 04:00:54.775808, {null}"),
        ),
        (
            Type::Time,
            Value::Time(86_400_000_000),
            "is 24:00:00, and this format's day ends before it; cast the column in the query to text",
        ),
    ] {
        for format in TYPED {
            assert_eq!(refusal(format, ty, value), format!("column \"c\" of record 2: {problem}"), "{format}");
        }
    }
}

#[test]
fn a_column_takes_only_values_of_its_type() {
    let number = DecimalBuf::parse("1").unwrap();
    let values = [
        (Type::Bool, Value::Bool(true)),
        (Type::Int64, Value::Int(1)),
        (Type::Float32, Value::Float32(1.0)),
        (Type::Float64, Value::Float64(1.0)),
        (Type::Numeric, Value::Decimal(number.get())),
        (Type::Text, Value::Text("1")),
        (Type::Bytes, Value::Bytes(b"1")),
        (Type::Date, Value::Date(1)),
        (Type::Time, Value::Time(1)),
        (Type::Timestamp, Value::Timestamp(1)),
        (Type::TimestampTz, Value::TimestampTz(1)),
        (Type::Uuid, Value::Uuid([1; 16])),
        (Type::Json, Value::Json("1")),
    ];
    for (ty, _) in values {
        for (other, value) in values {
            if other != ty {
                let found = refusal(Format::Parquet, ty, value);
                let problem = format!("is {} in a column of type {}; cast the column", value.kind(), ty.name());
                assert!(found.contains(&problem), "{found}");
            }
        }
    }
}

#[test]
fn a_file_with_a_refused_record_cannot_be_finished() {
    for format in TYPED {
        let mut encoder =
            encoder(format, &column(Type::Int16), &Options::default(), Box::new(Shared::default())).unwrap();
        encoder.record(&[Value::Int(1)]).unwrap();
        encoder.record(&[Value::Text("x")]).unwrap_err();
        assert_eq!(encoder.finish().unwrap_err().to_string(), "a refused record ended this file");
    }
}

#[test]
fn columns_that_a_format_cannot_hold_are_refused() {
    let message = |format, columns: &[Column]| {
        encoder(format, columns, &Options::default(), Box::new(Shared::default())).err().unwrap().to_string()
    };
    for format in TYPED {
        assert_eq!(message(format, &[]), "columns: has none; select at least one column, or use csv");
        for (precision, scale) in [(0, 0), (39, 0), (4, 5)] {
            let found = message(format, &column(Type::Decimal { precision, scale }));
            assert_eq!(
                found,
                format!(
                    "columns: \"c\" is decimal({precision},{scale}); declare 1 to 38 digits, at most as many behind the point"
                )
            );
        }
    }
}

#[test]
fn only_formats_that_know_columns_by_name_refuse_a_name_twice() {
    let twice = [column(Type::Text), column(Type::Int16)].concat();
    for format in Format::ALL {
        let by_name = matches!(format, Format::Jsonl | Format::Parquet | Format::Arrow);
        let found = encoder(format, &twice, &Options::default(), Box::new(Shared::default())).err();
        let expected = format!(
            "columns: have \"c\" twice; name one of them otherwise in the query: {format} needs different names"
        );
        assert_eq!(found.is_some_and(|error| error.to_string() == expected), by_name, "{format}");
    }
}

#[test]
fn a_record_of_another_width_is_refused() {
    for format in TYPED {
        let error = file(format, &Options::default(), &column(Type::Text), &[vec![]]).unwrap_err();
        assert_eq!(error.to_string(), "columns: are 1, and record 1 has 0 values; give one value for each column");
    }
}
