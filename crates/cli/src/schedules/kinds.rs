//! Schedules of kinds that this binary has no handlers for. Others may have them, so that is told and no more.

use lovage_core::schedule::ScheduleSpec;
use lovage_core::{Kind, nearest};
use lovage_ledger::Ledger;

use crate::config::Config;
use crate::rooms;

/// The kinds that this binary has handlers for, if they can be opened.
pub struct Kinds(Option<Vec<Kind>>);

impl Kinds {
    /// Those of this binary.
    pub fn of(config: &Config, ledger: &Ledger) -> Self {
        let handlers =
            rooms::sources(config).and_then(|sources| rooms::handlers(config, sources, Some(ledger.clone()), true));
        // What is wrong with sources and datasets is for workers to tell.
        Self(handlers.ok().map(|handlers| handlers.kinds().cloned().collect()))
    }

    /// What is to be said about the kind of a schedule, if anything.
    pub fn doubt(&self, spec: &ScheduleSpec) -> Option<String> {
        let known = self.0.as_ref().filter(|known| !known.contains(&spec.kind))?;
        let near = nearest(spec.kind.as_str(), known.iter().map(Kind::as_str));
        let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        Some(format!(
            "kind: of schedule {}: lovage itself has no handler for {:?}: its jobs wait until a worker has one{near}",
            spec.name,
            spec.kind.as_str()
        ))
    }

    /// Says it on standard error, and answers it.
    pub fn warn(&self, spec: &ScheduleSpec) -> Vec<String> {
        let doubt = self.doubt(spec);
        if let Some(doubt) = &doubt {
            crate::output::warn(&format!("warning: {doubt}"));
        }
        doubt.into_iter().collect()
    }
}
