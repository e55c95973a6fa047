//! Every type, with ordinary and extreme values and nulls.

use lovage_formats::{Column, Decimal, DecimalBuf, Format, Options, Type, Value};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use proptest::prelude::*;

use crate::{column, file, read};

/// The last instant that 64 bits hold when they count from 1970, in microseconds since 2000.
const LAST: i64 = i64::MAX - 946_684_800_000_000;
/// The first day of Postgres' calendar.
const FIRST_DAY: i32 = -2_451_545;
const DAY: i64 = 86_400_000_000;

/// The name of a column, its type, a value, another one, and the line with which Python shows the column.
type Case<'a> = (&'static str, Type, Value<'a>, Value<'a>, &'static str);

fn check(cases: &[Case<'_>]) {
    let columns: Vec<Column> = cases.iter().map(|case| Column::new(case.0, case.1)).collect();
    let records = [
        cases.iter().map(|case| case.2).collect(),
        cases.iter().map(|case| case.3).collect(),
        cases.iter().map(|_| Value::Null).collect::<Vec<_>>(),
    ];
    let expected: Vec<String> = cases.iter().map(|case| format!("{}: {}", case.0, case.4)).collect();
    for format in [Format::Parquet, Format::Arrow] {
        let (bytes, _) = file(format, &Options::default(), &columns, &records).unwrap();
        assert_eq!(read(format.as_str(), &bytes).lines().collect::<Vec<_>>(), expected, "{format}");
    }
}

#[test]
fn numbers_come_back_exactly() {
    let decimals = ["-12.5", "9999999999999999.99", "99999999999999999999999999999999999999", "-1"];
    let [plain, most, digits, minus] = decimals.map(|text| DecimalBuf::parse(text).unwrap());
    let numeric = DecimalBuf::parse("12345678901234567890123456789012345678901234567890.10").unwrap();
    let not_a_number = Decimal::from_binary(&[0, 0, 0, 0, 0xC0, 0, 0, 0]).unwrap();
    check(&[
        ("bool", Type::Bool, Value::Bool(true), Value::Bool(false), "bool: [True, False, None]"),
        ("int16", Type::Int16, Value::Int(-32768), Value::Int(32767), "int16: [-32768, 32767, None]"),
        (
            "int32",
            Type::Int32,
            Value::Int(i32::MIN.into()),
            Value::Int(i32::MAX.into()),
            "int32: [-2147483648, 2147483647, None]",
        ),
        (
            "int64",
            Type::Int64,
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            "int64: [-9223372036854775808, 9223372036854775807, None]",
        ),
        (
            "float32",
            Type::Float32,
            Value::Float32(0.1),
            Value::Float32(f32::MAX),
            "float: [0.10000000149011612, 3.4028234663852886e+38, None]",
        ),
        ("float64", Type::Float64, Value::Float64(0.1), Value::Float64(f64::NAN), "double: [0.1, nan, None]"),
        (
            "decimal",
            Type::Decimal { precision: 18, scale: 2 },
            Value::Decimal(plain.get()),
            Value::Decimal(most.get()),
            "decimal128(18, 2): [Decimal('-12.50'), Decimal('9999999999999999.99'), None]",
        ),
        (
            "widest",
            Type::Decimal { precision: 38, scale: 0 },
            Value::Decimal(digits.get()),
            Value::Decimal(minus.get()),
            "decimal128(38, 0): [Decimal('99999999999999999999999999999999999999'), Decimal('-1'), None]",
        ),
        (
            "numeric",
            Type::Numeric,
            Value::Decimal(numeric.get()),
            Value::Decimal(not_a_number),
            "string: ['12345678901234567890123456789012345678901234567890.10', 'NaN', None]",
        ),
    ]);
}

#[test]
fn texts_bytes_and_marked_types_come_back_exactly() {
    check(&[
        ("text", Type::Text, Value::Text(""), Value::Text("王\0x"), "string: ['', '王\\x00x', None]"),
        ("bytes", Type::Bytes, Value::Bytes(b""), Value::Bytes(&[0, 255]), "binary: [b'', b'\\x00\\xff', None]"),
        (
            "uuid",
            Type::Uuid,
            Value::Uuid([17; 16]),
            Value::Uuid([255; 16]),
            "extension<arrow.uuid>: [UUID('11111111-1111-1111-1111-111111111111'), \
             UUID('ffffffff-ffff-ffff-ffff-ffffffffffff'), None]",
        ),
        (
            "json",
            Type::Json,
            Value::Json("{\"b\" : 0.20000000000000000000}"),
            Value::Json("null"),
            "extension<arrow.json>: ['{\"b\" : 0.20000000000000000000}', 'null', None]",
        ),
        ("any", Type::Any, Value::Int(-1), Value::Bytes(&[1]), "string: ['-1', '\\\\x01', None]"),
    ]);
}

#[test]
fn dates_and_times_come_back_exactly() {
    check(&[
        (
            "date",
            Type::Date,
            Value::Date(-730_119),
            Value::Date(2_921_939),
            "date32[day]: [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None]",
        ),
        ("far_date", Type::Date, Value::Date(FIRST_DAY), Value::Date(0), "date32[day]: [-2440588, 10957, None]"),
        (
            "time",
            Type::Time,
            Value::Time(0),
            Value::Time(DAY - 1),
            "time64[us]: [datetime.time(0, 0), datetime.time(23, 59, 59, 999999), None]",
        ),
        (
            "timestamp",
            Type::Timestamp,
            Value::Timestamp(-1),
            Value::Timestamp(0),
            "timestamp[us]: [datetime.datetime(1999, 12, 31, 23, 59, 59, 999999), datetime.datetime(2000, 1, 1, 0, 0), None]",
        ),
        (
            "far_timestamp",
            Type::Timestamp,
            Value::Timestamp(LAST),
            Value::Timestamp(i64::from(FIRST_DAY) * DAY),
            "timestamp[us]: [9223372036854775807, -210866803200000000, None]",
        ),
        (
            "timestamptz",
            Type::TimestampTz,
            Value::TimestampTz(1_234_567),
            Value::TimestampTz(-DAY),
            "timestamp[us, tz=UTC]: [datetime.datetime(2000, 1, 1, 0, 0, 1, 234567, tzinfo=zoneinfo.ZoneInfo(key='UTC')), \
             datetime.datetime(1999, 12, 31, 0, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')), None]",
        ),
    ]);
}

#[test]
fn readers_that_do_not_know_arrow_find_logical_types_in_parquet() {
    for (ty, shown) in [
        (Type::Uuid, "fixed_len_byte_array(16) field_id=-1 c (UUID)"),
        (Type::Json, "binary field_id=-1 c (JSON)"),
        (Type::Text, "binary field_id=-1 c (String)"),
        (Type::Decimal { precision: 9, scale: 2 }, "int32 field_id=-1 c (Decimal(precision=9, scale=2))"),
        (Type::TimestampTz, "isAdjustedToUTC=true, timeUnit=microseconds"),
        (Type::Timestamp, "isAdjustedToUTC=false, timeUnit=microseconds"),
    ] {
        let (bytes, _) = file(Format::Parquet, &Options::default(), &column(ty), &[]).unwrap();
        let schema = read("parquet-schema", &bytes);
        assert!(schema.contains(shown), "{shown} in {schema}");
    }
}

#[test]
fn columns_that_became_text_are_named_with_what_would_help() {
    let columns = [("a", Type::Numeric), ("b", Type::Any), ("c", Type::Text), ("d", Type::Numeric)]
        .map(|(n, t)| Column::new(n, t));
    for format in [Format::Parquet, Format::Arrow] {
        let (_, notes) = file(format, &Options::default(), &columns, &[]).unwrap();
        assert_eq!(
            notes,
            [
                "written as text, because their numbers have no declared precision: a, d; cast them in the query to get \
                 numbers, e.g. to numeric(18,2)",
                "written as text, because their values are of no one type: b; cast them in the query to get one",
            ]
        );
    }
}

proptest! {
    #[test]
    fn any_records_come_back_from_parquet_in_their_order(
        rows in prop::collection::vec((prop::option::of(any::<i64>()), prop::option::of(any::<String>())), 0..40),
    ) {
        let columns = [Column::new("n", Type::Int64), Column::new("t", Type::Text)];
        let records: Vec<Vec<Value<'_>>> = rows
            .iter()
            .map(|(n, t)| vec![n.map_or(Value::Null, Value::Int), t.as_deref().map_or(Value::Null, Value::Text)])
            .collect();
        let (bytes, _) = file(Format::Parquet, &Options::default(), &columns, &records).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let found: Vec<(Field, Field)> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                let fields: Vec<Field> = row.unwrap().get_column_iter().map(|(_, field)| field.clone()).collect();
                (fields[0].clone(), fields[1].clone())
            })
            .collect();
        let expected: Vec<(Field, Field)> = rows
            .into_iter()
            .map(|(n, t)| (n.map_or(Field::Null, Field::Long), t.map_or(Field::Null, Field::Str)))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
