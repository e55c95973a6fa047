//! One sheet, row by row as they come: rows go to a temporary file at once, so memory stays flat however many there are.

use lovage_payloads::ReportSheet;
use lovage_worker::JobError;
use polars::prelude::{DataFrame, DataType, IntoLazy as _, NonExistent, PolarsResult, Schema, col, lit};
use rust_xlsxwriter::{Formula, Worksheet, XlsxError};

use crate::cell::{Cell, Form, cell, cut, number};
use crate::look::{self, Look};
use crate::query::Sink;
use crate::totals::{self, Sum, Total};
use crate::{chart, fault};

/// Rows that decide the widths.
const SAMPLE: u32 = 200;
/// Most rows below the header, by the file format.
pub(crate) const MOST_ROWS: u64 = 1_048_575;
/// Most columns, by the file format.
const MOST_COLUMNS: usize = 16_384;

/// A sheet that is being written.
pub(crate) struct Grid {
    worksheet: Worksheet,
    lanes: Vec<Lane>,
    /// The next row; the header is row 0.
    row: u32,
    /// Texts that were longer than a cell.
    cut: u64,
}

/// One column.
struct Lane {
    name: String,
    /// What the header says.
    title: String,
    form: Form,
    look: Look,
    width: usize,
    sum: Option<Sum>,
}

/// A sheet that is whole.
pub(crate) struct Written {
    pub worksheet: Worksheet,
    /// Texts that were cut.
    pub cut: u64,
}

impl Grid {
    /// Begins a sheet with its header. `worksheet` writes rows to disk as they come.
    pub fn begin(
        mut worksheet: Worksheet,
        schema: &Schema,
        sheet: &ReportSheet,
        field: &str,
    ) -> Result<Self, JobError> {
        if schema.len() > MOST_COLUMNS {
            let problem = format!("gives {} columns", schema.len());
            let help = format!("use at most {MOST_COLUMNS}");
            return Err(fault::invalid(lovage_core::Invalid::new(field, problem, help)));
        }
        let columns: Vec<(String, Form)> =
            schema.iter().map(|(name, dtype)| (name.to_string(), Form::of(dtype))).collect();
        let kept: Vec<&str> = sheet.pivot.iter().flat_map(|pivot| &pivot.rows).map(String::as_str).collect();
        let summed = totals::chosen(&format!("{field}.totals"), &sheet.totals, &columns, &kept)?;
        let lanes = columns.into_iter().zip(schema.iter_values()).enumerate().map(|(index, ((name, form), dtype))| {
            let title = with_zone(&name, dtype);
            let sum = summed.contains(&index).then(|| Sum::new(form));
            Lane { width: look::of_head(&title), name, title, form, look: Look::of(form), sum }
        });
        let lanes: Vec<Lane> = lanes.collect();
        let failed = |error| fault::workbook(field, error);
        worksheet.set_name(&sheet.name).map_err(failed)?;
        for (column, lane) in lanes.iter().enumerate() {
            let title = cut(&lane.title).0;
            worksheet.write_string_with_format(0, column as u16, title, &lane.look.head).map_err(failed)?;
        }
        Ok(Self { worksheet, lanes, row: 1, cut: 0 })
    }

    /// Writes what comes below and beside the rows.
    pub fn finish(mut self, sheet: &ReportSheet, field: &str) -> Result<Written, JobError> {
        self.dress(sheet).map_err(|error| fault::workbook(field, error))?;
        if let Some(wanted) = &sheet.chart {
            let columns: Vec<(String, Form)> = self.lanes.iter().map(|lane| (lane.name.clone(), lane.form)).collect();
            let area = chart::Area { sheet: &sheet.name, columns: &columns, last_row: self.row - 1 };
            chart::insert(&mut self.worksheet, wanted, &area, &format!("{field}.chart"))?;
        }
        Ok(Written { worksheet: self.worksheet, cut: self.cut })
    }

    fn dress(&mut self, sheet: &ReportSheet) -> Result<(), XlsxError> {
        let last = self.lanes.len().saturating_sub(1) as u16;
        self.worksheet.set_freeze_panes(1, 0)?;
        self.worksheet.autofilter(0, 0, self.row - 1, last)?;
        self.worksheet.set_repeat_rows(0, 0)?;
        self.worksheet.set_landscape().set_print_fit_to_pages(1, 0);
        if !sheet.totals.is_empty() {
            self.write_totals()?;
        }
        for (column, lane) in self.lanes.iter().enumerate() {
            self.worksheet.set_column_width(column as u16, look::bounded(lane.width))?;
        }
        Ok(())
    }

    fn write_totals(&mut self) -> Result<(), XlsxError> {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let (row, column) = (self.row, index as u16);
            match lane.sum.as_ref().map(Sum::total) {
                None if index == 0 => {
                    self.worksheet.write_string_with_format(row, column, "Total", &lane.look.total)?;
                }
                None => {
                    self.worksheet.write_blank(row, column, &lane.look.total)?;
                }
                // No row to add up: the range would be upside down.
                Some(Total::Formula(_)) if row == 1 => {
                    self.worksheet.write_number_with_format(row, column, 0, &lane.look.total)?;
                }
                Some(Total::Formula(value)) => {
                    lane.width = lane.width.max(value.len() + value.len() / 3);
                    let letters = rust_xlsxwriter::utility::column_number_to_name(column);
                    let formula = Formula::new(format!("=SUM({letters}2:{letters}{row})")).set_result(value);
                    self.worksheet.write_formula_with_format(row, column, formula, &lane.look.total)?;
                }
                Some(Total::Text(value)) => {
                    lane.width = lane.width.max(value.len());
                    self.worksheet.write_string_with_format(row, column, value, &lane.look.total)?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, index: usize, cell: &Cell<'_>) -> Result<(), XlsxError> {
        let lane = &mut self.lanes[index];
        if self.row <= SAMPLE {
            lane.width = lane.width.max(look::of_cell(cell, lane.form));
        }
        if let Some(sum) = &mut lane.sum {
            sum.add(cell);
        }
        let (row, column, format, sheet) = (self.row, index as u16, &lane.look.body, &mut self.worksheet);
        let written = match cell {
            Cell::Empty => return Ok(()),
            Cell::Bool(value) => sheet.write_boolean_with_format(row, column, *value, format),
            Cell::Float(value) | Cell::Days(value) => sheet.write_number_with_format(row, column, *value, format),
            Cell::Exact(value, scale) => match number(*value, *scale) {
                Some(value) => sheet.write_number_with_format(row, column, value, format),
                None => sheet.write_string_with_format(row, column, crate::cell::digits(*value, *scale), format),
            },
            Cell::Text(text) => {
                let (text, was_cut) = cut(text);
                self.cut += u64::from(was_cut);
                sheet.write_string_with_format(row, column, text, format)
            }
        };
        written.map(|_| ())
    }
}

impl Sink for Grid {
    fn take(&mut self, rows: DataFrame) -> PolarsResult<()> {
        let mut rows = local_times(rows)?;
        rows.rechunk_mut();
        let mut columns: Vec<_> = rows.materialized_column_iter().map(|series| series.iter()).collect();
        for _ in 0..rows.height() {
            for (index, column) in columns.iter_mut().enumerate() {
                if let Some(value) = column.next() {
                    self.write(index, &cell(value)).map_err(fault::inside_polars)?;
                }
            }
            self.row += 1;
        }
        Ok(())
    }
}

/// A spreadsheet knows no zones: times are written as the clocks of their zone show them, and the header says which.
fn with_zone(name: &str, dtype: &DataType) -> String {
    match dtype {
        DataType::Datetime(_, Some(zone)) => format!("{name} ({zone})"),
        _ => name.to_owned(),
    }
}

fn local_times(rows: DataFrame) -> PolarsResult<DataFrame> {
    let zoned = rows.schema().iter().filter(|(_, dtype)| matches!(dtype, DataType::Datetime(_, Some(_))));
    let local: Vec<_> = zoned
        .map(|(name, _)| col(name.clone()).dt().replace_time_zone(None, lit("raise"), NonExistent::Raise))
        .collect();
    if local.is_empty() { Ok(rows) } else { rows.lazy().with_columns(local).collect() }
}
