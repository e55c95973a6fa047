//! Compares our workbook writer with `rust_xlsxwriter` on records like those of an order table, 14 columns wide:
//!
//!     cargo run --release -p lovage-formats --example xlsx_compare -- all 1000000 3
//!
//! runs every writer three times, by turns, each in a process of its own, and prints a line for each run: processor
//! seconds are what to compare on a busy machine. With the name of a writer in place of `all`, this process runs that
//! one; a path after the number of records keeps the workbook.

#![expect(clippy::print_stdout, reason = "a tool for a terminal speaks on standard output")]

use std::fs::File;
use std::io::{self, Write};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lovage_formats::{Column, Decimal, DecimalBuf, Format, Options, Type, Value, encoder};
use rust_xlsxwriter::{Format as Look, Workbook, Worksheet};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const WRITERS: [&str; 4] = ["ours", "constant-1", "constant-6", "nothing"];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize| arguments.get(at).map(String::as_str);
    let writer = argument(0).unwrap_or("all");
    let records: u64 = argument(1).unwrap_or("1000000").parse()?;
    if writer != "all" {
        return run(writer, records, argument(2));
    }
    let rounds: usize = argument(2).unwrap_or("3").parse()?;
    println!("| writer | wall s | CPU s | peak MiB | first byte s | MB |\n|---|---|---|---|---|---|");
    for _ in 0..rounds {
        for name in WRITERS {
            let status = Command::new(std::env::current_exe()?).args([name, &records.to_string()]).status()?;
            assert!(status.success(), "{name} failed");
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "measuring time is what a benchmark is for")]
fn run(writer: &str, records: u64, path: Option<&str>) -> Outcome<()> {
    static FIRST: AtomicU64 = AtomicU64::new(0);
    static BYTES: AtomicU64 = AtomicU64::new(0);
    let begin = Instant::now();
    let to = path.map(File::create).transpose()?;
    let out = Counted {
        to,
        seen: Box::new(move |bytes| {
            // A workbook's fixed parts are no news: the first byte is one of the records'.
            if BYTES.fetch_add(bytes as u64, Ordering::Relaxed) < 4096 {
                FIRST.store(begin.elapsed().as_micros() as u64, Ordering::Relaxed);
            }
        }),
    };
    match writer {
        "ours" => ours(records, out)?,
        "constant-1" => theirs(records, out, 1)?,
        "constant-6" => theirs(records, out, 6)?,
        "nothing" => nothing(records)?,
        other => return Err(format!("{other:?} is none of all, {}", WRITERS.join(", ")).into()),
    }
    let wall = begin.elapsed().as_secs_f64();
    let (cpu, peak) = used()?;
    let first = FIRST.load(Ordering::Relaxed) as f64 / 1e6;
    let size = BYTES.load(Ordering::Relaxed) as f64 / 1e6;
    println!("| {writer} | {wall:.2} | {cpu:.2} | {peak:.0} | {first:.2} | {size:.1} |");
    Ok(())
}

/// Processor seconds and the most memory in MiB, of this process.
fn used() -> Outcome<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // After the name, which may hold spaces: user and system time are the 12th and 13th, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok((ticks / 100.0, peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0))
}

struct Counted {
    to: Option<File>,
    seen: Box<dyn FnMut(usize) + Send>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.to {
            file.write_all(bytes)?;
        }
        (self.seen)(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn columns() -> Vec<Column> {
    let money = Type::Decimal { precision: 18, scale: 2 };
    [
        ("id", Type::Int64),
        ("order_no", Type::Uuid),
        ("customer", Type::Text),
        ("city", Type::Text),
        ("amount", money),
        ("discount", money),
        ("quantity", Type::Int32),
        ("weight", Type::Float64),
        ("paid", Type::Bool),
        ("status", Type::Text),
        ("created_at", Type::TimestampTz),
        ("shipped_on", Type::Date),
        ("details", Type::Json),
        ("remark", Type::Text),
    ]
    .map(|(name, ty)| Column::new(name, ty))
    .into()
}

/// A record, made anew from its number; text is written into the same place each time.
struct Order {
    number: u64,
    seed: u64,
    uuid: u128,
    customer: String,
    city: &'static str,
    /// The binary form of Postgres' `numeric`, and the same in hundredths.
    amount: DecimalBuf,
    cents: i64,
    status: &'static str,
    micros: i64,
    details: String,
}

impl Order {
    fn first() -> Outcome<Self> {
        let amount = DecimalBuf::parse("0.00").ok_or("a number")?;
        let (customer, details) = (String::new(), String::new());
        let (city, status) = ("", "");
        Ok(Self { number: 0, seed: 1, uuid: 0, customer, city, amount, cents: 0, status, micros: 0, details })
    }

    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.seed ^ self.seed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn next(&mut self) -> std::fmt::Result {
        use std::fmt::Write as _;
        const CITIES: [&str; 6] = ["上海", "北京", "广州", "深圳市南山区", "成都", "Berlin"];
        const STATES: [&str; 4] = ["paid", "shipped", "delivered", "returned"];
        self.number += 1;
        self.uuid = u128::from(self.random()) << 64 | u128::from(self.random());
        let pick = self.random();
        self.city = CITIES[(pick % 6) as usize];
        self.status = STATES[(pick >> 8 & 3) as usize];
        self.cents = (self.random() % 99_999_999) as i64;
        // About a record every half a minute.
        self.micros = 700_000_000_000_000 + self.number as i64 * 30_000_000 + (pick >> 40) as i64;
        self.customer.clear();
        self.details.clear();
        write!(self.customer, "客户 {:06}", pick >> 16 & 0xF_FFFF)?;
        let (sku, items) = (pick >> 20 & 0xFFFF, pick % 9);
        write!(self.details, r#"{{"sku": "A-{sku:05}", "channel": "web", "items": {items}}}"#)
    }

    fn quantity(&self) -> i64 {
        (self.seed >> 9 & 63) as i64
    }

    fn weight(&self) -> f64 {
        (self.seed >> 20 & 0xFFFF) as f64 / 1000.0
    }

    fn day(&self) -> i32 {
        (self.micros / 86_400_000_000) as i32 + 2
    }

    fn remark(&self) -> Option<&str> {
        self.number.is_multiple_of(4).then_some("请在工作日送货, call before <delivery> & ring")
    }
}

fn ours(records: u64, out: Counted) -> Outcome<()> {
    let mut encoder = encoder(Format::Xlsx, &columns(), &Options::default(), Box::new(out))?;
    let mut order = Order::first()?;
    let mut binary = [0_u8; 16];
    for _ in 0..records {
        order.next()?;
        let amount = numeric(order.cents, &mut binary)?;
        encoder.record(&[
            Value::Int(order.number as i64),
            Value::Uuid(order.uuid.to_be_bytes()),
            Value::Text(&order.customer),
            Value::Text(order.city),
            Value::Decimal(amount),
            Value::Decimal(order.amount.get()),
            Value::Int(order.quantity()),
            Value::Float64(order.weight()),
            Value::Bool(order.cents % 3 == 0),
            Value::Text(order.status),
            Value::TimestampTz(order.micros),
            Value::Date(order.day()),
            Value::Json(&order.details),
            order.remark().map_or(Value::Null, Value::Text),
        ])?;
    }
    encoder.finish()?;
    Ok(())
}

/// Hundredths as Postgres sends them: two groups before the point and one behind it.
fn numeric(cents: i64, binary: &mut [u8; 16]) -> Outcome<Decimal<'_>> {
    let (whole, fraction) = (cents / 100, cents % 100 * 100);
    let fields = [3, 1, 0, 2, (whole / 10_000) as u16, (whole % 10_000) as u16, fraction as u16];
    for (place, field) in binary.chunks_exact_mut(2).zip(fields) {
        place.copy_from_slice(&field.to_be_bytes());
    }
    Ok(Decimal::from_binary(&binary[..14]).ok_or("not the binary form")?)
}

fn theirs(records: u64, out: Counted, level: u8) -> Outcome<()> {
    let mut book = Workbook::new();
    book.set_zip_compression_level(level);
    let sheet = book.add_worksheet_with_constant_memory()?;
    let header = Look::new().set_bold();
    sheet.set_freeze_panes(1, 0)?;
    for (at, column) in (0..).zip(columns()) {
        sheet.set_column_width(at, 16)?;
        sheet.write_string_with_format(0, at, column.name, &header)?;
    }
    let mut order = Order::first()?;
    let looks = [Look::new().set_num_format("0.00"), moment(), Look::new().set_num_format("yyyy-mm-dd")];
    for row in 1..=u32::try_from(records)? {
        order.next()?;
        write_order(sheet, row, &order, &looks)?;
    }
    sheet.autofilter(0, 0, u32::try_from(records)?, 13)?;
    book.save_to_writer(out)?;
    Ok(())
}

fn moment() -> Look {
    Look::new().set_num_format("yyyy-mm-dd hh:mm:ss.000")
}

fn write_order(sheet: &mut Worksheet, row: u32, order: &Order, looks: &[Look; 3]) -> Outcome<()> {
    let [money, moment, date] = looks;
    sheet.write_number(row, 0, order.number as f64)?;
    sheet.write_string(row, 1, uuid(order.uuid))?;
    sheet.write_string(row, 2, &order.customer)?;
    sheet.write_string(row, 3, order.city)?;
    sheet.write_number_with_format(row, 4, order.cents as f64 / 100.0, money)?;
    sheet.write_number_with_format(row, 5, 0.0, money)?;
    sheet.write_number(row, 6, order.quantity() as f64)?;
    sheet.write_number(row, 7, order.weight())?;
    sheet.write_boolean(row, 8, order.cents % 3 == 0)?;
    sheet.write_string(row, 9, order.status)?;
    sheet.write_number_with_format(row, 10, (order.micros / 1000) as f64 / 86_400_000.0 + 36_526.0, moment)?;
    sheet.write_number_with_format(row, 11, f64::from(order.day()) + 36_526.0, date)?;
    sheet.write_string(row, 12, &order.details)?;
    if let Some(remark) = order.remark() {
        sheet.write_string(row, 13, remark)?;
    }
    Ok(())
}

fn uuid(number: u128) -> String {
    let digits = format!("{number:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// What making the records costs.
fn nothing(records: u64) -> Outcome<()> {
    let mut order = Order::first()?;
    for _ in 0..records {
        order.next()?;
        std::hint::black_box(&order.details);
    }
    Ok(())
}
