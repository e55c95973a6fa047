//! Everything that the table of exports can show, in its order, with the targets that the project has set itself.

use crate::bench::samples::{Measure, Target};

pub const PSQL: &str = "psql \\copy";
pub const PANDAS: &str = "pandas";
pub const PSYCOPG: &str = "psycopg COPY";

pub const CANCEL: &str = "cancel half way: stopped after s";
pub const TWO: &str = "csv, two at once, wall s each";

/// What is measured of one kind of file.
#[derive(Debug)]
pub struct Format {
    /// Its case, and what the reader of files calls it.
    pub name: &'static str,
    /// How `lovage export` is asked for it.
    pub options: &'static [&'static str],
    pub wall: Measure,
    pub cpu: Measure,
    pub server: Measure,
    pub peak: Measure,
    pub size: Measure,
    pub first: Measure,
    pub growth: Measure,
}

impl Format {
    /// The rows that it fills.
    pub fn measures(&self) -> [Measure; 7] {
        [self.wall, self.peak, self.cpu, self.server, self.size, self.first, self.growth]
    }
}

const fn less(name: &'static str, targets: &'static [Target]) -> Measure {
    Measure { name, more: false, targets }
}

const MEMORY: &[Target] = &[Target::AtMost(128.0), Target::AtMost(64.0)];
const SOON: &[Target] = &[Target::AtMost(1.0)];

macro_rules! format {
    ($name:literal, $options:expr, $wall:expr) => {
        Format {
            name: $name,
            options: $options,
            wall: less(concat!($name, ", wall s"), $wall),
            cpu: less(concat!($name, ", CPU s"), &[]),
            server: less(concat!($name, ", PostgreSQL CPU s"), &[]),
            peak: less(concat!($name, ", peak MiB"), MEMORY),
            size: less(concat!($name, ", MiB of file"), &[]),
            first: less(concat!($name, ", first byte at the store after s"), SOON),
            growth: less(concat!($name, ", most by least memory after a fifth"), &[]),
        }
    };
}

/// The kinds of file.
pub const FORMATS: &[Format] = &[
    format!("csv", &["--format", "csv"], &[Target::Times(PSQL, 1.0), Target::Times(PANDAS, 20.0)]),
    format!("jsonl", &["--format", "jsonl"], &[Target::TimesOf("csv, wall s", PSQL, 1.0), Target::Times(PANDAS, 20.0)]),
    format!("parquet", &["--format", "parquet"], &[Target::Times(PANDAS, 15.0)]),
    format!("xlsx", &["--format", "xlsx"], &[Target::Times(PANDAS, 25.0)]),
    format!("excel_csv", &["--format", "excel-csv"], &[]),
    format!("arrow", &["--format", "arrow"], &[]),
    format!("csv.gz", &["--format", "csv", "--compression", "gzip"], &[]),
    format!("csv.zst", &["--format", "csv", "--compression", "zstd"], &[]),
];

/// The rows of the table.
pub fn all() -> Vec<Measure> {
    let mut all: Vec<Measure> = FORMATS.iter().flat_map(Format::measures).collect();
    all.extend([less(TWO, &[]), less(CANCEL, SOON)]);
    all
}

#[cfg(test)]
mod tests {
    use super::super::peers::ways;
    use super::*;

    #[test]
    fn what_targets_and_peers_name_is_measured() {
        let all = all();
        let names: Vec<&str> = all.iter().map(|measure| measure.name).collect();
        for target in all.iter().flat_map(|measure| measure.targets) {
            let Target::TimesOf(other, ..) = target else { continue };
            assert!(names.contains(other), "{other}");
        }
        for way in ways(1_000) {
            assert!(FORMATS.iter().any(|format| format.name == way.format), "{way:?}");
        }
    }

    #[test]
    fn pandas_gets_no_table_that_is_too_large_for_it() {
        let pandas = |rows| ways(rows).iter().filter(|way| way.subject == PANDAS).count();
        assert_eq!((pandas(1_000_000), pandas(10_000_000)), (4, 0));
    }
}
