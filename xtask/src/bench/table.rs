//! The table: Markdown with even columns, so that it reads in a terminal too.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::samples::{LOVAGE, Measure, Samples, shown};

/// All measures that have a number, ours with lowest and highest, the peers' with how often we are better.
pub fn table(samples: &Samples, measures: &[Measure], peers: &[&'static str]) -> String {
    let mut rows = vec![vec!["measure".to_owned(), format!("{LOVAGE} (lowest to highest)")]];
    rows[0].extend(peers.iter().map(|peer| (*peer).to_owned()));
    rows[0].extend(["target".to_owned(), "reached".to_owned()]);
    for measure in measures {
        let ours = samples.median(measure.name, LOVAGE).zip(samples.span(measure.name, LOVAGE));
        let ours =
            ours.map(|(median, (least, most))| format!("**{}** ({} to {})", shown(median), shown(least), shown(most)));
        let theirs: Vec<Option<String>> = peers
            .iter()
            .map(|peer| {
                let median = shown(samples.median(measure.name, peer)?);
                Some(samples.ratio(measure, peer).map_or(median.clone(), |ratio| format!("{median} ({ratio:.1} x)")))
            })
            .collect();
        if ours.is_none() && theirs.iter().all(Option::is_none) {
            continue;
        }
        let (targets, reached): (Vec<String>, Vec<bool>) =
            measure.targets.iter().filter_map(|target| samples.judge(measure, *target)).unzip();
        let verdicts: Vec<&str> = reached.into_iter().map(|reached| if reached { "yes" } else { "NO" }).collect();
        let mut row = vec![measure.name.to_owned(), ours.unwrap_or_default()];
        row.extend(theirs.into_iter().map(Option::unwrap_or_default));
        row.extend([targets.join("; "), verdicts.join("; ")]);
        rows.push(row);
    }
    aligned(rows)
}

/// A table of these rows, the first one its head.
pub fn aligned(mut rows: Vec<Vec<String>>) -> String {
    let columns = rows[0].len();
    rows.insert(1, vec!["---".to_owned(); columns]);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    rows.iter().map(line).collect()
}

/// Writes the text into a file: between the two marks with this name if it has them, else as the whole file.
pub fn write(path: &Path, mark: &str, text: &str) -> Result<()> {
    let old = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, put(&old, mark, text)).with_context(|| format!("cannot write {}", path.display()))
}

fn put(old: &str, mark: &str, text: &str) -> String {
    let [begin, end] = ["begin", "end"].map(|side| format!("<!-- {mark}: {side} -->"));
    let parts = old.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    match parts {
        Some((head, tail)) => format!("{head}{begin}\n\n{text}\n{end}{tail}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::measures::{BULLMQ, DRAIN, MEASURES, SINGLE};
    use super::*;

    #[test]
    fn a_row_shows_ours_theirs_and_the_targets() {
        let mut samples = Samples::default();
        samples.add(DRAIN, LOVAGE, 120_000.0);
        samples.add(DRAIN, BULLMQ, 60_000.0);
        samples.add(SINGLE, BULLMQ, 4_000.0);
        let text = table(&samples, MEASURES, &[BULLMQ]);
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = text.lines().map(cells).collect();
        assert_eq!(rows.len(), 4, "{text}");
        let drain = [
            "",
            DRAIN,
            "**120,000** (120,000 to 120,000)",
            "60,000 (2.0 x)",
            "at least 100,000; 4 x BullMQ",
            "yes; NO",
            "",
        ];
        assert_eq!(rows[2], drain);
        assert_eq!(rows[3][2..4], ["", "4,000"]);
    }

    #[test]
    fn the_table_goes_between_the_marks() {
        let page = |mark: &str, inside: &str| {
            format!(
                "# Page\n<!-- other: begin -->\n<!-- other: end -->\n<!-- {mark}: begin -->\n{inside}\n<!-- {mark}: end -->\nmore\n"
            )
        };
        assert_eq!(put(&page("mine", "old"), "mine", "new\n"), page("mine", "\nnew\n"));
        assert_eq!(put("no marks", "mine", "new\n"), "new\n");
    }
}
