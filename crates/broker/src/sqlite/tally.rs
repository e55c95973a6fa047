//! What a transaction did to lanes and gates, kept in memory until somebody needs it: a claim, or the commit.

use std::collections::{BTreeMap, HashMap};

use super::line::Line;
use super::row::{Row, Sign};

/// Changes that are not in the tables yet.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// More or fewer jobs by lane.
    pub jobs: BTreeMap<i64, i64>,
    /// More or fewer waiting jobs by tenant.
    pub waiting: BTreeMap<String, i64>,
    /// Jobs that gave something back.
    pub left: Vec<Left>,
    /// Lanes of tenants.
    pub homes: HashMap<String, i64>,
}

/// A job that stopped running, or a holder of an ordered key that came to its end.
#[derive(Debug)]
pub(super) struct Left {
    /// Its item in a finish call: failures in a row are counted in that order.
    pub order: usize,
    pub token: i64,
    pub sign: Sign,
    pub kind: Option<String>,
    pub tenant: Option<String>,
    pub key: Option<String>,
}

impl Line {
    /// Takes note of jobs that came into a lane or left it.
    pub(super) fn tally_lane(&mut self, lane: i64, jobs: i64) {
        if lane != 0 {
            *self.tally.jobs.entry(lane).or_default() += jobs;
            self.flow_mut().laned += jobs;
        }
    }

    /// Takes note of a tenant's jobs that began or ceased to wait.
    pub(super) fn tally_waiting(&mut self, tenant: Option<&String>, jobs: i64) {
        if let Some(tenant) = tenant
            && jobs != 0
        {
            match self.tally.waiting.get_mut(tenant) {
                Some(waiting) => *waiting += jobs,
                None => drop(self.tally.waiting.insert(tenant.clone(), jobs)),
            }
        }
    }

    /// Takes note of what a change of a row's state means to lanes and gates. `lane` is where it is now.
    pub(super) fn tally_row(&mut self, row: &Row, lane: i64) {
        if row.lane != lane {
            self.tally_lane(row.lane, -1);
            self.tally_lane(lane, 1);
        }
        let waits = |state| i64::from(Row::waits(state));
        self.tally_waiting(row.tenant.as_ref(), waits(row.state) - waits(row.before));
        let ended = row.state.is_final() && row.slot;
        let stopped = row.before == lovage_core::State::Running && row.state != row.before;
        if stopped || ended {
            self.tally_left(row);
        }
    }

    /// Takes note of a job that gave something back; nobody waits for it without rules.
    pub(super) fn tally_left(&mut self, row: &Row) {
        if self.flow.rules > 0 {
            let (kind, tenant, key) = (row.kind.clone(), row.tenant.clone(), row.key.clone());
            let order = row.order;
            self.tally.left.push(Left { order, token: row.token.abs(), sign: row.sign, kind, tenant, key });
        }
    }
}
