//! Turns the values of one column into columns.

use std::sync::Arc;

use lovage_core::Invalid;
use lovage_payloads::{Aggregate, ReportPivot};
use lovage_worker::JobError;
use polars::frame::PivotColumnNaming;
use polars::prelude::{
    Column, DataFrame, IntoLazy as _, PlSmallStr, PolarsResult, SortMultipleOptions, by_name, element,
};

use crate::fault;

/// Most columns that a pivot makes: a wrong column, such as an id, makes one for each row.
const MOST: usize = 1_000;

/// Pivots the rows of a query.
pub(crate) fn pivot(frame: DataFrame, pivot: &ReportPivot, field: &str) -> Result<DataFrame, JobError> {
    for name in pivot.rows.iter().chain([&pivot.columns, &pivot.values]) {
        if frame.schema().get(name).is_none() {
            let names = frame.schema().iter_names();
            return Err(fault::no_column(&format!("{field}.pivot"), name, names.map(PlSmallStr::as_str)));
        }
    }
    let failed = |error| fault::polars(&format!("{field}.pivot"), &error);
    let on = columns(&frame, &pivot.columns).map_err(failed)?;
    if on.height() > MOST {
        let problem = format!("{:?} has {} different values", pivot.columns, on.height());
        let help = format!("use a column with at most {MOST}, e.g. a month");
        return Err(fault::invalid(Invalid::new(format!("{field}.pivot.columns"), problem, help)));
    }
    let several = match pivot.aggregate {
        Aggregate::Sum => element().sum(),
        Aggregate::Count => element().count(),
        Aggregate::Mean => element().mean(),
        Aggregate::Min => element().min(),
        Aggregate::Max => element().max(),
    };
    let names = |names: &[&str]| by_name(names.iter().copied(), true, false);
    let rows: Vec<&str> = pivot.rows.iter().map(String::as_str).collect();
    let pivoted = frame.lazy().pivot(
        names(&[&pivot.columns]),
        Arc::new(on),
        names(&rows),
        names(&[&pivot.values]),
        several,
        true,
        "_".into(),
        PivotColumnNaming::Auto,
    );
    // By the engine for what is in memory: there is nothing to stream.
    pivoted.collect().map_err(failed)
}

/// The different values in their order.
fn columns(frame: &DataFrame, name: &str) -> PolarsResult<DataFrame> {
    let values: Column = frame.column(name)?.unique()?;
    DataFrame::new(values.len(), vec![values])?.sort([name], SortMultipleOptions::default())
}
