//! What ends of attempts give back: slots to those who wait for them, and to breakers their verdict.

use std::collections::{BTreeMap, BTreeSet};

use lovage_core::State;

use super::desk::Desk;
use super::fault::Fault;
use super::gate::Rule;
use super::lanes::own_gate;
use super::row::Sign;
use super::tally::Left;

impl Rule {
    /// What the end of an attempt means to the breaker; whether anything changed.
    fn judge(&mut self, left: &Left, now: i64) -> bool {
        let Some(breaker) = self.limits.breaker else { return false };
        let is_probe = self.probe == Some(left.token);
        if is_probe {
            self.probe = None;
        }
        let reopens = now.saturating_add(breaker.cooldown_ms as i64);
        match (self.open_until, left.sign) {
            (None, Sign::Success) => {
                let had = self.failures > 0;
                self.failures = 0;
                had
            }
            (None, Sign::Failure) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= breaker.failures {
                    self.open_until = Some(reopens);
                }
                true
            }
            // What began before it opened says nothing about now.
            (Some(_), Sign::Success) if is_probe => {
                (self.failures, self.open_until) = (0, None);
                true
            }
            (Some(_), Sign::Failure) if is_probe => {
                self.failures = self.failures.saturating_add(1);
                self.open_until = Some(reopens);
                true
            }
            _ => is_probe,
        }
    }
}

impl Desk<'_> {
    /// Lets those go on who wait for what these jobs gave back.
    pub(super) async fn let_go(&mut self, left: &[Left]) -> Result<(), Fault> {
        let mut gates = self.judge(left).await?;
        let tenants: BTreeSet<_> = left.iter().filter_map(|left| left.tenant.as_ref()).collect();
        for key in left.iter().filter_map(|left| left.key.as_ref()) {
            let gate = format!("key:{key}");
            gates.insert(own_gate(&gate));
            gates.insert(gate);
        }
        if !tenants.is_empty() || !gates.is_empty() {
            self.open(&tenants, &gates).await?;
        }
        if self.line.count(State::Available) > 0 {
            self.line.release();
        }
        Ok(())
    }

    /// Counts failures in a row. Answers the kinds whose breakers changed.
    async fn judge(&mut self, left: &[Left]) -> Result<BTreeSet<String>, Fault> {
        let kind_of = |left: &Left| left.kind.as_ref().map(|kind| format!("kind:{kind}"));
        let mut subjects: BTreeSet<_> = left.iter().filter_map(kind_of).collect();
        subjects.insert("queue".to_owned());
        let mut rules = self.rules(&subjects).await?;
        rules.retain(|_, rule| rule.limits.breaker.is_some());
        let mut changed = BTreeMap::new();
        for left in left {
            for subject in [Some("queue".to_owned()), kind_of(left)].into_iter().flatten() {
                if let Some(rule) = rules.get_mut(&subject)
                    && rule.judge(left, self.now_ms())
                {
                    changed.insert(subject, (rule.failures, rule.open_until, rule.probe));
                }
            }
        }
        for (subject, (failures, open_until, probe)) in &changed {
            let sql = "UPDATE flow SET failures = ?3, open_until = ?4, probe = ?5 WHERE queue = ?1 AND subject = ?2";
            let query = sqlx::query(sql).bind(self.line.key).bind(subject).bind(failures);
            query.bind(open_until).bind(probe).execute(&mut *self.conn).await?;
        }
        Ok(changed.into_keys().filter(|subject| subject != "queue").collect())
    }
}
