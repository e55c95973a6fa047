//! How long filters took, as a table of their own: there are more of them than the table of measures should have rows.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::table::aligned;

/// What a page should take at most, in milliseconds.
const TARGET: f64 = 200.0;

/// The filters in the order in which they were asked.
#[derive(Default)]
pub struct Searches(Vec<Value>);

impl Searches {
    /// Reads what `history search` says.
    pub fn of(said: &Value) -> Result<Self> {
        Ok(Self(said["searches"].as_array().context("no searches")?.clone()))
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        self.0.clone().into()
    }

    /// One line a filter; nothing if none was asked.
    pub fn table(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let heads = [
            "search",
            "filter",
            "found",
            "ms, median",
            "ms, worst",
            "next page",
            "ms, median",
            "ms, worst",
            "in 200 ms",
        ];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(self.0.iter().map(row));
        aligned(rows)
    }
}

fn row(search: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().replace('|', "\\|");
    let mut row = vec![text(&search["name"]), format!("`{}`", text(&search["filter"]))];
    let mut is_fast = true;
    for page in [&search["first"], &search["second"]] {
        let number = |key: &str| page[key].as_f64();
        let (Some(found), Some(median), Some(worst)) = (number("found"), number("median"), number("worst")) else {
            row.extend(["", "", ""].map(str::to_owned));
            continue;
        };
        let is_partial = page["searched_to"] == true;
        is_fast &= median <= TARGET && !is_partial;
        row.push(format!("{found}{}", if is_partial { ", not to the end" } else { "" }));
        row.extend([format!("{median:.1}"), format!("{worst:.1}")]);
    }
    row.push(if is_fast { "yes" } else { "NO" }.to_owned());
    row
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_that_is_late_or_not_to_the_end_is_told() {
        let page = |median: f64, partial: bool| json!({ "found": 50, "median": median, "worst": 300.0, "searched_to": partial });
        let search = |first: Value| json!({ "name": "a", "filter": "tag:a", "first": first, "second": null });
        let last = |first: Value| row(&search(first)).pop().unwrap();
        assert_eq!(last(page(199.0, false)), "yes");
        assert_eq!(last(page(201.0, false)), "NO");
        assert_eq!(last(page(1.0, true)), "NO");
        let said = json!({ "searches": [search(page(1.0, false))] });
        assert!(Searches::of(&said).unwrap().table().contains("| `tag:a` | 50"));
        assert_eq!(Searches::default().table(), "");
    }
}
