//! Text formats in gzip, Zstandard and zip.

use std::io::{self, Read as _, Write};

use lovage_formats::{Column, Compression, EncodeError, Format, Options, Type, Value, encoder};

use crate::{Shared, column, file, read};

fn options(compression: Compression) -> Options {
    Options { compression, entry: "订单".to_owned(), ..Options::default() }
}

fn texts(count: usize) -> Vec<Vec<Value<'static>>> {
    (0..count).map(|index| vec![Value::Text(["=one", "two,\r\nthree", "王"][index % 3])]).collect()
}

#[test]
fn a_packed_file_holds_what_the_plain_one_does() {
    for format in [Format::Csv, Format::ExcelCsv, Format::Jsonl] {
        for count in [0, 20_000] {
            let columns = column(Type::Text);
            let (plain, notes) = file(format, &Options::default(), &columns, &texts(count)).unwrap();
            let plain = String::from_utf8(plain).unwrap();
            for compression in [Compression::Gzip, Compression::Zstd] {
                let (packed, packed_notes) = file(format, &options(compression), &columns, &texts(count)).unwrap();
                assert!(read(compression.as_str(), &packed) == plain, "{count} records of {format} in {compression}");
                assert_eq!(packed_notes, notes);
            }
            let (packed, packed_notes) = file(format, &options(Compression::Zip), &columns, &texts(count)).unwrap();
            let expected = format!("订单.{} (1980, 1, 1, 0, 0, 0)\n{plain}", format.extension());
            assert!(read("zip", &packed) == expected, "{count} records of {format} in zip");
            assert_eq!(packed_notes, notes);
        }
    }
}

#[test]
fn a_zip_archive_goes_on_with_another_file_that_has_its_own_header() {
    let options = Options { rows_per_file: Some(2), ..options(Compression::Zip) };
    let columns = [Column::new("c", Type::Text)];
    let (packed, notes) = file(Format::ExcelCsv, &options, &columns, &texts(5)).unwrap();
    let date = "(1980, 1, 1, 0, 0, 0)";
    assert_eq!(
        read("zip", &packed),
        format!(
            "订单_1.csv {date}\n\u{feff}c\r\n'=one\r\n\"two,\r\nthree\"\r\n\
             订单_2.csv {date}\n\u{feff}c\r\n王\r\n'=one\r\n\
             订单_3.csv {date}\n\u{feff}c\r\n\"two,\r\nthree\"\r\n"
        )
    );
    let texts = "1 texts that hold what could be a formula got a ' in front of it, so that a spreadsheet shows and does not run it";
    assert_eq!(notes, [format!("订单_1.csv: {texts}"), format!("订单_2.csv: {texts}")]);
    // A number of records that fills its last file begins no other.
    let (packed, _) = file(Format::Csv, &options, &columns, &[vec![Value::Null], vec![Value::Null]]).unwrap();
    assert_eq!(read("zip", &packed), format!("订单_1.csv {date}\nc\n\n\n"));
}

#[test]
fn an_archive_has_at_most_ten_thousand_files() {
    let options = Options { rows_per_file: Some(1), ..options(Compression::Zip) };
    let error = file(Format::Csv, &options, &column(Type::Text), &texts(10_001)).unwrap_err();
    assert_eq!(error.to_string(), "rows_per_file: makes more than 10000 files; use a larger number");
}

#[test]
fn packed_files_say_no_time_and_carry_a_checksum() {
    let (gzip, _) = file(Format::Csv, &options(Compression::Gzip), &column(Type::Text), &texts(9)).unwrap();
    assert_eq!(gzip[4..8], [0; 4], "RFC 1952: MTIME");
    let (mut zstd, _) = file(Format::Csv, &options(Compression::Zstd), &column(Type::Text), &texts(9)).unwrap();
    assert_eq!(zstd[4] & 4, 4, "RFC 8878: Content_Checksum_flag");
    *zstd.last_mut().unwrap() ^= 1;
    assert!(zstd::decode_all(zstd.as_slice()).is_err(), "a changed checksum is found");
}

#[test]
fn a_file_that_was_given_up_never_looks_complete() {
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Zip] {
        let out = Shared::default();
        let columns = column(Type::Text);
        let mut encoder = encoder(Format::Csv, &columns, &options(compression), Box::new(out.clone())).unwrap();
        for record in texts(50_000) {
            encoder.record(&record).unwrap();
        }
        drop(encoder);
        let left = out.bytes();
        let complete = match compression {
            Compression::Gzip => flate2::read::GzDecoder::new(left.as_slice()).read_to_end(&mut Vec::new()).is_ok(),
            Compression::Zstd => zstd::decode_all(left.as_slice()).is_ok(),
            _ => zip::ZipArchive::new(io::Cursor::new(left)).is_ok(),
        };
        assert!(!complete, "{compression}");
    }
}

/// Takes so many bytes and then fails for good, as a cancelled upload does.
struct Cancelled(usize);

impl Write for Cancelled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "cancelled"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_the_output_comes_out_as_it_is() {
    let plain = Options::default();
    let packed = [Compression::Gzip, Compression::Zstd, Compression::Zip].map(|one| (Format::Csv, options(one)));
    let formats = [(Format::Csv, plain.clone()), (Format::Parquet, plain.clone()), (Format::Arrow, plain)];
    for (format, options) in formats.into_iter().chain(packed) {
        let columns = column(Type::Text);
        let whole = file(format, &options, &columns, &texts(10)).unwrap().0.len();
        // The last byte may be refused as well as any other.
        for room in 0..whole {
            let attempt = encoder(format, &columns, &options, Box::new(Cancelled(room))).and_then(|mut encoder| {
                texts(10).iter().try_for_each(|record| encoder.record(record))?;
                encoder.finish()
            });
            match attempt {
                Err(EncodeError::Io(error)) => {
                    let found = (error.kind(), error.to_string());
                    assert_eq!(found, (io::ErrorKind::TimedOut, "cancelled".to_owned()), "{format}, {room} bytes");
                }
                other => panic!("{format} with room for {room} of {whole} bytes: {other:?}"),
            }
        }
    }
}

#[test]
fn a_packed_file_whose_output_failed_cannot_be_finished() {
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Zip] {
        let columns = column(Type::Bytes);
        let mut encoder = encoder(Format::Csv, &columns, &options(compression), Box::new(Cancelled(1000))).unwrap();
        // More than the packers collect, and hardly to be packed.
        let mut bytes = vec![0_u8; 1_000_000];
        let mut state = 42_u64;
        bytes.fill_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        });
        let error = encoder.record(&[Value::Bytes(&bytes)]).unwrap_err();
        assert_eq!(error.to_string(), "cancelled", "{compression}");
        assert!(encoder.finish().is_err(), "{compression}");
    }
}

#[test]
fn options_that_make_no_sense_together_are_refused() {
    let message = |format: Format, options: Options| {
        let out = Shared::default();
        let error = encoder(format, &column(Type::Text), &options, Box::new(out.clone())).err().unwrap();
        assert!(out.bytes().is_empty(), "nothing is written");
        error.to_string()
    };
    for format in [Format::Xlsx, Format::Parquet, Format::Arrow] {
        assert_eq!(
            message(format, options(Compression::Gzip)),
            format!(
                "compression: is gzip, and {format} is compressed inside; leave it out, or use csv, excel_csv or jsonl"
            )
        );
    }
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        assert_eq!(
            message(Format::Csv, Options { rows_per_file: Some(5), ..options(compression) }),
            "rows_per_file: makes several files, which only a zip archive holds; set compression to zip, or leave it out"
        );
    }
    assert_eq!(
        message(Format::Csv, Options { rows_per_file: Some(0), ..options(Compression::Zip) }),
        "rows_per_file: is 0; use at least 1, or leave it out"
    );
    for entry in ["", "../etc/cron", "a\\b", "C:x", "a\nb"] {
        let help = "use a file's name without its extension, and without slashes, colons and control characters";
        assert_eq!(
            message(Format::Csv, Options { entry: entry.to_owned(), ..options(Compression::Zip) }),
            format!("entry: is {entry:?}; {help}")
        );
    }
    // A wrong delimiter is found before anything is written, too.
    message(Format::Csv, Options { delimiter: 'x', ..options(Compression::Zip) });
    message(Format::Csv, Options { delimiter: 'x', ..options(Compression::Gzip) });
}

#[test]
fn compressions_have_names() {
    for compression in Compression::ALL {
        assert_eq!(compression.to_string().parse(), Ok(compression));
    }
    let error = "rar".parse::<Compression>().unwrap_err();
    assert_eq!(error.to_string(), "compression: is \"rar\"; use one of: none, gzip, zstd, zip");
    let ends = Compression::ALL.map(|compression| compression.extension().unwrap_or_default());
    assert_eq!(ends, ["", "gz", "zst", "zip"]);
    let types = Compression::ALL.map(|compression| compression.content_type(Format::Jsonl));
    assert_eq!(types, ["application/jsonl", "application/gzip", "application/zstd", "application/zip"]);
}
