//! What a part of a process says about its own health, for whoever asks: a probe, a page, a person.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, as a word: `broker`, `claiming`.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How it stands, in a few words that may be shown to anybody who can reach the probe: no addresses, no error texts.
    pub detail: &'static str,
}

impl Check {
    /// A check that answers `good` or `bad` by what was found.
    pub fn of(name: &'static str, ok: bool, good: &'static str, bad: &'static str) -> Self {
        Self { name, ok, detail: if ok { good } else { bad } }
    }
}

/// Knows how it stands. All answers come at once, from what is known: asking costs nothing and hangs nowhere.
pub trait Probed: Send + Sync {
    /// Whether a restart would help: false only if something inside does not move any more. Asks no other machine.
    fn live(&self) -> Vec<Check>;

    /// Whether it can do its work now.
    fn ready(&self) -> Vec<Check>;

    /// Whether its start is over.
    fn started(&self) -> Vec<Check>;
}
