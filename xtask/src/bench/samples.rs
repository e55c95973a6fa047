//! What was measured: a list of numbers per measure and subject, their medians, and the targets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Our own name in the table.
pub const LOVAGE: &str = "Lovage";

/// What a measure should reach.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// So many times what the peer reaches.
    Times(&'static str, f64),
    /// So many times what the peer reaches in another measure.
    TimesOf(&'static str, &'static str, f64),
    /// At least this part of another measure of ours.
    PartOf(&'static str, f64),
    /// Within this part of another measure of ours, above or below.
    Near(&'static str, f64),
}

/// Something that is measured. Its key is its name in the table.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    pub name: &'static str,
    /// Whether more is better.
    pub more: bool,
    pub targets: &'static [Target],
}

/// All samples of all runs.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<(&'static str, &'static str), Vec<f64>>);

impl Samples {
    /// Adds one number.
    pub fn add(&mut self, measure: &'static str, subject: &'static str, value: f64) {
        self.0.entry((measure, subject)).or_default().push(value);
    }

    /// The middle of what was measured.
    pub fn median(&self, measure: &'static str, subject: &'static str) -> Option<f64> {
        self.sorted(measure, subject).map(|values| values[values.len() / 2])
    }

    /// The smallest and the largest.
    pub fn span(&self, measure: &'static str, subject: &'static str) -> Option<(f64, f64)> {
        self.sorted(measure, subject).map(|values| (values[0], values[values.len() - 1]))
    }

    fn sorted(&self, measure: &'static str, subject: &'static str) -> Option<Vec<f64>> {
        let mut values = self.0.get(&(measure, subject)).filter(|values| !values.is_empty())?.clone();
        values.sort_by(f64::total_cmp);
        Some(values)
    }

    /// How often we are better than a peer.
    pub fn ratio(&self, measure: &Measure, peer: &'static str) -> Option<f64> {
        let (ours, theirs) = (self.median(measure.name, LOVAGE)?, self.median(measure.name, peer)?);
        Some(if measure.more { ours / theirs } else { theirs / ours })
    }

    /// A target in words, and whether it is reached; nothing when it was not measured.
    pub fn judge(&self, measure: &Measure, target: Target) -> Option<(String, bool)> {
        let ours = self.median(measure.name, LOVAGE)?;
        let part = |other| self.median(other, LOVAGE).map(|other| ours / other);
        Some(match target {
            Target::AtLeast(least) => (format!("at least {}", shown(least)), ours >= least),
            Target::AtMost(most) => (format!("at most {}", shown(most)), ours <= most),
            Target::Times(peer, times) => (format!("{times} x {peer}"), self.ratio(measure, peer)? >= times),
            Target::TimesOf(other, peer, times) => {
                let (ours, theirs) = (ours, self.median(other, peer)?);
                let ratio = if measure.more { ours / theirs } else { theirs / ours };
                (format!("{times} x {peer} in \"{other}\" (is {ratio:.1})"), ratio >= times)
            }
            Target::PartOf(other, least) => {
                let part = part(other)?;
                (format!("{:.0} % of \"{other}\" (is {:.0} %)", least * 100.0, part * 100.0), part >= least)
            }
            Target::Near(other, within) => {
                let part = part(other)?;
                let near = (part - 1.0).abs() <= within;
                (format!("within {:.0} % of \"{other}\" (is {:.0} %)", within * 100.0, part * 100.0), near)
            }
        })
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let one = |(&(measure, subject), values): (&(&'static str, &'static str), &Vec<f64>)| json!({ "measure": measure, "subject": subject, "median": self.median(measure, subject), "values": values });
        self.0.iter().map(one).collect()
    }
}

/// A number with as many digits as people read: 123,456, 12.3 or 0.012.
pub fn shown(value: f64) -> String {
    let size = value.abs();
    if size > 0.0 && size < 1.0 {
        return format!("{value:.3}");
    }
    if size < 100.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{size:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(pairs: &[(&'static str, &'static str, &[f64])]) -> Samples {
        let mut samples = Samples::default();
        for (measure, subject, values) in pairs {
            values.iter().for_each(|value| samples.add(measure, subject, *value));
        }
        samples
    }

    #[test]
    fn ratios_say_how_often_we_are_better() {
        let samples = samples(&[
            ("rate", LOVAGE, &[90.0, 100.0, 300.0]),
            ("rate", "Peer", &[10.0, 20.0, 30.0]),
            ("wait", LOVAGE, &[2.0]),
            ("wait", "Peer", &[8.0]),
        ]);
        let ratio = |name, more| samples.ratio(&Measure { name, more, targets: &[] }, "Peer").unwrap();
        assert!((ratio("rate", true) - 5.0).abs() < 1e-9);
        assert!((ratio("wait", false) - 4.0).abs() < 1e-9);
        assert_eq!(samples.span("rate", LOVAGE), Some((90.0, 300.0)));
    }

    #[test]
    fn targets_are_judged_by_medians() {
        let samples = samples(&[("a", LOVAGE, &[50.0]), ("b", LOVAGE, &[100.0]), ("a", "Peer", &[10.0])]);
        let reached = |target| samples.judge(&Measure { name: "a", more: true, targets: &[] }, target).unwrap().1;
        assert!(reached(Target::AtLeast(50.0)) && !reached(Target::AtLeast(51.0)));
        assert!(reached(Target::AtMost(50.0)) && !reached(Target::AtMost(49.0)));
        assert!(reached(Target::Times("Peer", 5.0)) && !reached(Target::Times("Peer", 6.0)));
        assert!(reached(Target::PartOf("b", 0.5)) && !reached(Target::PartOf("b", 0.6)));
        assert!(reached(Target::Near("b", 0.5)) && !reached(Target::Near("b", 0.1)));
        assert!(reached(Target::TimesOf("a", "Peer", 5.0)) && !reached(Target::TimesOf("a", "Peer", 6.0)));
        let fewer = Measure { name: "b", more: false, targets: &[] };
        assert_eq!(
            samples.judge(&fewer, Target::TimesOf("a", "Peer", 1.0)),
            Some(("1 x Peer in \"a\" (is 0.1)".into(), false))
        );
        let measure = Measure { name: "a", more: true, targets: &[] };
        assert!(samples.judge(&measure, Target::Times("Nobody", 2.0)).is_none(), "not measured is not judged");
    }

    #[test]
    fn numbers_are_shown_for_people() {
        let texts = [1_234_567.8, 100.0, 12.345, 0.01234, 0.0, -12_345.0].map(shown);
        assert_eq!(texts, ["1,234,568", "100", "12.35", "0.012", "0", "-12,345"]);
    }
}
