//! Row groups and batches are closed in time: they are what the encoder holds in memory, and what a reader must hold.

use std::io::Cursor;

use arrow_ipc::reader::FileReader;
use lovage_formats::{Column, Encoder, Format, Options, Type, Value, encoder};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::statistics::Statistics;

use crate::{Shared, column};

const MIB: usize = 1024 * 1024;

fn written(format: Format, columns: &[Column], write: impl FnOnce(&mut dyn Encoder)) -> Vec<u8> {
    let out = Shared::default();
    let mut encoder = encoder(format, columns, &Options::default(), Box::new(out.clone())).unwrap();
    write(encoder.as_mut());
    encoder.finish().unwrap();
    out.bytes()
}

fn metadata(file: Vec<u8>) -> ParquetMetaData {
    SerializedFileReader::new(bytes::Bytes::from(file)).unwrap().metadata().clone()
}

fn numbers(count: i64) -> impl FnOnce(&mut dyn Encoder) {
    move |encoder| (0..count).for_each(|number| encoder.record(&[Value::Int(number)]).unwrap())
}

/// `count` texts of 16 KiB that hardly compress.
fn texts(count: usize) -> impl FnOnce(&mut dyn Encoder) {
    move |encoder| {
        let mut state = 42_u64;
        let mut text = String::new();
        for _ in 0..count {
            text.clear();
            while text.len() < 16 * 1024 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(char::from(b' ' + (state >> 33) as u8 % 95));
            }
            encoder.record(&[Value::Text(&text)]).unwrap();
        }
    }
}

#[test]
fn a_row_group_ends_after_131072_records_and_says_its_least_and_greatest_value() {
    let file = metadata(written(Format::Parquet, &column(Type::Int64), numbers(300_000)));
    let rows: Vec<i64> = file.row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(rows, [131_072, 131_072, 37_856]);
    match file.row_group(1).column(0).statistics() {
        Some(Statistics::Int64(found)) => {
            assert_eq!((found.min_opt(), found.max_opt()), (Some(&131_072), Some(&262_143)));
            assert_eq!(found.null_count_opt(), Some(0));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_row_group_of_long_texts_ends_earlier() {
    // 32 MiB.
    let file = metadata(written(Format::Parquet, &column(Type::Text), texts(2048)));
    assert!(file.num_row_groups() >= 2, "{} row groups", file.num_row_groups());
    for group in file.row_groups() {
        assert!(group.compressed_size() as usize <= 20 * MIB, "{} bytes", group.compressed_size());
    }
}

#[test]
fn a_row_group_of_many_columns_ends_earlier() {
    // All values differ: 1,000 columns of 8 bytes, each with a dictionary of its own.
    let columns: Vec<Column> = (0..1000).map(|index| Column::new(format!("c{index}"), Type::Int64)).collect();
    let file = metadata(written(Format::Parquet, &columns, |encoder| {
        for record in 0..1500 {
            let values: Vec<Value<'_>> = (0..1000).map(|index| Value::Int(record * 1000 + index)).collect();
            encoder.record(&values).unwrap();
        }
    }));
    assert!(file.num_row_groups() >= 2, "{} row groups", file.num_row_groups());
}

#[test]
fn a_batch_ends_by_its_records_or_by_its_bytes() {
    let rows = |file| -> Vec<usize> {
        let reader = FileReader::try_new(Cursor::new(file), None).unwrap();
        reader.map(|batch| batch.unwrap().num_rows()).collect()
    };
    assert_eq!(rows(written(Format::Arrow, &column(Type::Int64), numbers(100_000))), [65_536, 34_464]);
    // 4 MiB are 256 texts of 16 KiB and a little less, because each has an offset.
    assert_eq!(rows(written(Format::Arrow, &column(Type::Text), texts(600))), [256, 256, 88]);
}
