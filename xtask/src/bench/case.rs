//! One thing that is measured, and the loop over all of them. A run calls each case once, so that runs of all subjects
//! interleave and a machine that gets slower for a while does so for all of them.

use anyhow::Result;

use super::program::Watch;
use super::samples::Samples;

/// Measures once and adds what came out.
type Measuring<'a> = dyn Fn(&mut Samples) -> Result<()> + 'a;

/// One thing that is measured: its name for `--only`, who is measured, in how many of the runs at most, and how.
pub struct Case<'a> {
    pub name: String,
    pub subject: &'static str,
    pub most: usize,
    measure: Box<Measuring<'a>>,
}

impl<'a> Case<'a> {
    /// A case of every run.
    pub fn new(
        name: impl Into<String>,
        subject: &'static str,
        measure: impl Fn(&mut Samples) -> Result<()> + 'a,
    ) -> Self {
        Self { name: name.into(), subject, most: usize::MAX, measure: Box::new(measure) }
    }

    /// The same, in the first `most` runs only.
    pub fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// Our cases, behind each of them the others' with the same name: the same moments of the machine shall meet all.
pub fn beside<'a>(ours: Vec<Case<'a>>, mut theirs: Vec<Case<'a>>) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for case in ours {
        let (same, rest): (Vec<_>, Vec<_>) = theirs.into_iter().partition(|other| other.name == case.name);
        theirs = rest;
        cases.push(case);
        cases.extend(same);
    }
    cases
}

/// Calls every case, run after run. One that fails costs the others nothing; it is named in the second answer.
pub fn measure(runs: usize, cases: &[Case<'_>]) -> (Samples, Vec<String>) {
    let (mut samples, mut failed) = (Samples::default(), Vec::new());
    for run in 1..=runs {
        for case in cases.iter().filter(|case| run <= case.most) {
            let watch = Watch::start();
            let done = (case.measure)(&mut samples);
            println!("run {run}: {}, {}: {:.1} s", case.subject, case.name, watch.seconds());
            if let Err(error) = done {
                println!("  failed: {error:#}");
                failed.push(format!("run {run}: {}, {}: {error:#}", case.subject, case.name));
            }
        }
    }
    (samples, failed)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use anyhow::ensure;

    use super::*;

    #[test]
    fn runs_interleave_and_a_failure_costs_the_others_nothing() {
        let order = RefCell::new(Vec::new());
        let case = |name: &'static str, subject: &'static str| {
            let order = &order;
            Case::new(name, subject, move |_| {
                order.borrow_mut().push(format!("{subject} {name}"));
                ensure!(subject == "us", "no {name}");
                Ok(())
            })
        };
        let theirs = vec![case("b", "peer"), case("a", "peer").at_most(1), case("c", "peer")];
        let (_, failed) = measure(2, &beside(vec![case("a", "us"), case("b", "us")], theirs));
        assert_eq!(*order.borrow(), ["us a", "peer a", "us b", "peer b", "us a", "us b", "peer b"]);
        assert_eq!(failed, ["run 1: peer, a: no a", "run 1: peer, b: no b", "run 2: peer, b: no b"]);
    }
}
