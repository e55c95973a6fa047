//! Writes orders in one format and says what it took: `cargo run --release -p lovage-formats --example parquet_compare
//! -- parquet orders.parquet 1000000`. ADR 013 has what it showed.

#![expect(clippy::print_stdout, reason = "a tool for a terminal speaks on standard output")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod orders;

use std::error::Error;
use std::fs::File;
use std::time::Instant;

use lovage_formats::{Column, Compression, DecimalBuf, Encoder, Format, Options, Type, Value, encoder};
use orders::{Dice, Order};

const COLUMNS: [(&str, Type); 14] = [
    ("id", Type::Int64),
    ("number", Type::Uuid),
    ("customer", Type::Text),
    ("email", Type::Text),
    ("status", Type::Text),
    ("amount", Type::Decimal { precision: 18, scale: 2 }),
    ("quantity", Type::Int32),
    ("created", Type::TimestampTz),
    ("paid", Type::TimestampTz),
    ("details", Type::Json),
    ("gift", Type::Bool),
    ("note", Type::Text),
    ("city", Type::Text),
    ("weight", Type::Float64),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |usual: &str| arguments.next().unwrap_or_else(|| usual.to_owned());
    let (format, path) = (argument("parquet"), argument("/tmp/orders.parquet"));
    let (records, compression) = (argument("1000000").parse()?, argument("none").parse()?);
    let begun = Instant::now();
    write(format.parse()?, compression, &path, records)?;
    let wall = begun.elapsed();
    let bytes = std::fs::metadata(&path)?.len();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("{format} {compression}: {records} records in {wall:.2?}, {bytes} bytes, {peak}");
    Ok(())
}

fn write(format: Format, compression: Compression, path: &str, records: i64) -> Result<(), Box<dyn Error>> {
    let columns = COLUMNS.map(|(name, ty)| Column::new(name, ty));
    let options = Options { compression, ..Options::default() };
    let mut encoder = encoder(format, &columns, &options, Box::new(File::create(path)?))?;
    let mut dice = Dice::new();
    for id in 1..=records {
        record(encoder.as_mut(), &dice.order(id))?;
    }
    encoder.finish()?;
    Ok(())
}

fn record(encoder: &mut dyn Encoder, order: &Order) -> Result<(), Box<dyn Error>> {
    let sign = if order.amount < 0 { "-" } else { "" };
    let (whole, cents) = (order.amount.unsigned_abs() / 100, order.amount.unsigned_abs() % 100);
    let amount = DecimalBuf::parse(&format!("{sign}{whole}.{cents:02}")).ok_or("a decimal")?;
    encoder.record(&[
        Value::Int(order.id),
        Value::Uuid(order.number),
        Value::Text(&order.customer),
        Value::Text(&order.email),
        Value::Text(order.status),
        Value::Decimal(amount.get()),
        Value::Int(order.quantity.into()),
        Value::TimestampTz(order.created),
        order.paid.map_or(Value::Null, Value::TimestampTz),
        Value::Json(&order.details),
        Value::Bool(order.gift),
        order.note.as_deref().map_or(Value::Null, Value::Text),
        Value::Text(order.city),
        Value::Float64(order.weight),
    ])?;
    Ok(())
}
