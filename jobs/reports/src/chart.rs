//! A chart that the spreadsheet program draws from the cells.

use lovage_core::Invalid;
use lovage_payloads::{ChartKind, ReportChart};
use lovage_worker::JobError;
use rust_xlsxwriter::{Chart, ChartAxisLabelPosition, ChartType, Worksheet};

use crate::cell::Form;
use crate::{fault, totals};

/// Most series: more lines than that nobody tells apart.
const MOST_SERIES: usize = 50;
/// Pixels.
const SIZE: (u32, u32) = (720, 400);

/// The cells of a sheet.
pub(crate) struct Area<'a> {
    pub sheet: &'a str,
    pub columns: &'a [(String, Form)],
    /// The last row of data; the header is row 0.
    pub last_row: u32,
}

/// Puts the chart beside the table. Without rows there is nothing to draw.
pub(crate) fn insert(
    sheet: &mut Worksheet,
    wanted: &ReportChart,
    area: &Area<'_>,
    field: &str,
) -> Result<(), JobError> {
    let Some(category) = area.columns.iter().position(|(name, _)| *name == wanted.category) else {
        let names = area.columns.iter().map(|(name, _)| name.as_str());
        return Err(fault::no_column(&format!("{field}.category"), &wanted.category, names));
    };
    let field = format!("{field}.values");
    let drawn = totals::chosen(&field, &wanted.values, area.columns, &[&wanted.category])?;
    if drawn.is_empty() || drawn.len() > MOST_SERIES {
        let problem = format!("are {} columns of numbers", drawn.len());
        return Err(fault::invalid(Invalid::new(field, problem, format!("draw 1 to {MOST_SERIES}"))));
    }
    if area.last_row == 0 {
        return Ok(());
    }
    let mut chart = Chart::new(match wanted.kind {
        ChartKind::Column => ChartType::Column,
        ChartKind::Bar => ChartType::Bar,
        ChartKind::Line => ChartType::Line,
        ChartKind::Pie => ChartType::Pie,
    });
    for column in &drawn {
        let column = *column as u16;
        chart
            .add_series()
            .set_name((area.sheet, 0, column))
            .set_categories((area.sheet, 1, category as u16, area.last_row, category as u16))
            .set_values((area.sheet, 1, column, area.last_row, column));
    }
    match &wanted.title {
        Some(title) => chart.title().set_name(title),
        None => chart.title().set_hidden(),
    };
    if drawn.len() == 1 && wanted.kind != ChartKind::Pie {
        chart.legend().set_hidden();
    }
    // Below the chart, where they are not hidden by what is negative.
    chart.x_axis().set_label_position(ChartAxisLabelPosition::Low);
    chart.set_width(SIZE.0).set_height(SIZE.1);
    let beside = area.columns.len() as u16 + 1;
    sheet.insert_chart(1, beside, &chart).map(|_| ()).map_err(|error| fault::workbook(&field, error))
}
