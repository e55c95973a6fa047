//! Gates: how many jobs of a subject may start in this claim, and when to look again if none may.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lovage_core::{Limits, State};
use sqlx::Row as _;

use super::desk::Desk;
use super::fault::Fault;
use super::rate::Bucket;

/// When nothing but an event opens a gate.
pub(super) const NEVER: i64 = i64::MAX;

/// What is stored of a subject.
#[derive(Debug, Clone, Default)]
pub(super) struct Rule {
    pub limits: Limits,
    /// Until when it is paused; [`NEVER`] for a pause without an end.
    pub paused: Option<i64>,
    pub failures: u32,
    pub open_until: Option<i64>,
    pub probe: Option<i64>,
}

/// A subject in one claim.
#[derive(Debug)]
pub(super) struct Gate {
    pub rule: Rule,
    slots: i64,
    bucket: Option<Bucket>,
    /// Closed by a pause or a breaker until then.
    shut: Option<i64>,
    /// Half open: one job may go through as a probe.
    pub probes: bool,
    /// For an ordered key: whether a job of it runs, and whether one holds its slot.
    running: bool,
    held: bool,
    /// Jobs that this claim started.
    pub started: i64,
}

impl Gate {
    fn new(rule: Rule, now: i64) -> Self {
        let mut shut = rule.paused.filter(|until| *until > now);
        let mut probes = false;
        if let (Some(_), Some(until)) = (rule.limits.breaker, rule.open_until) {
            if until > now {
                shut = shut.max(Some(until));
            } else if rule.probe.is_some() {
                shut = Some(NEVER);
            } else {
                probes = true;
            }
        }
        Self { rule, slots: NEVER, bucket: None, shut, probes, running: false, held: false, started: 0 }
    }

    /// `running` jobs of it run; with an ordered key `held` have its slot.
    fn set_used(&mut self, running: i64, held: i64) {
        if let Some(most) = self.rule.limits.concurrency {
            self.slots = i64::from(most) - running;
        }
        if self.rule.limits.ordered {
            (self.running, self.held) = (running > 0, held > 0);
        }
    }

    /// How many more may start. With an ordered key it makes a difference who asks.
    pub(super) fn room(&self, holder: bool) -> i64 {
        if self.shut.is_some() {
            return 0;
        }
        let tokens = self.bucket.map_or(NEVER, |bucket| bucket.tokens());
        let mut room = self.slots.min(tokens);
        if self.probes {
            room = room.min(1 - self.started);
        }
        if self.rule.limits.ordered {
            room = room.min(i64::from(!self.running && (holder || !self.held)));
        }
        room.max(0)
    }

    /// When to look again at a gate without room.
    pub(super) fn again(&self) -> i64 {
        match (self.shut, &self.bucket) {
            (Some(until), _) => until,
            (None, Some(bucket)) if self.slots > 0 && bucket.tokens() <= 0 => bucket.opens(),
            _ => NEVER,
        }
    }

    /// One more starts.
    pub(super) fn pass(&mut self) {
        self.started += 1;
        self.slots = self.slots.saturating_sub(1);
        (self.running, self.held) = (true, true);
        if let Some(bucket) = &mut self.bucket {
            bucket.spend(1);
        }
    }
}

/// The gates that a claim met, by the text of their subjects. A subject without rules has none.
#[derive(Debug, Default)]
pub(super) struct Gates {
    known: HashMap<String, Option<Gate>>,
}

impl Gates {
    pub(super) fn get(&self, subject: &str) -> Option<&Gate> {
        self.known.get(subject)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, subject: &str) -> Option<&mut Gate> {
        self.known.get_mut(subject)?.as_mut()
    }

    pub(super) fn room(&self, subject: &str, holder: bool) -> i64 {
        self.get(subject).map_or(NEVER, |gate| gate.room(holder))
    }

    pub(super) fn again(&self, subject: &str) -> i64 {
        self.get(subject).map_or(NEVER, Gate::again)
    }
}

/// The subject whose rules hold for one without rules of its own.
fn star(subject: &str) -> Option<&'static str> {
    match subject.split_once(':')?.0 {
        "tenant" => Some("tenant:*"),
        "key" => Some("key:*"),
        _ => None,
    }
}

impl Desk<'_> {
    /// The rules of those of `subjects` that have any, those of their stars included.
    pub(super) async fn rules(&mut self, subjects: &BTreeSet<String>) -> Result<BTreeMap<String, Rule>, Fault> {
        if self.line.flow.rules == 0 || subjects.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut wanted: BTreeSet<&str> = subjects.iter().map(String::as_str).collect();
        wanted.extend(subjects.iter().filter_map(|subject| star(subject)));
        let sql = "SELECT flow.subject, limits, paused_since, paused_until, failures, open_until, probe \
                   FROM json_each(?2) AS wanted CROSS JOIN flow ON flow.queue = ?1 AND flow.subject = wanted.value";
        let query = sqlx::query(sql).bind(self.line.key).bind(serde_json::to_string(&wanted)?);
        let mut rules = BTreeMap::new();
        for row in query.fetch_all(&mut *self.conn).await? {
            let (since, until): (Option<i64>, Option<i64>) = (row.try_get(2)?, row.try_get(3)?);
            let rule = Rule {
                limits: serde_json::from_str(row.try_get(1)?)?,
                // Without an end it lasts until somebody ends it.
                paused: since.map(|_| until.unwrap_or(NEVER)),
                failures: row.try_get(4)?,
                open_until: row.try_get(5)?,
                probe: row.try_get(6)?,
            };
            rules.insert(row.try_get::<String, _>(0)?, rule);
        }
        for subject in subjects {
            // A tenant may be paused without limits of its own.
            let own = rules.get(subject).filter(|rule| !rule.limits.is_empty());
            let star = star(subject).and_then(|star| rules.get(star));
            if let (None, Some(star)) = (own, star) {
                let limits = star.limits;
                rules.entry(subject.clone()).or_default().limits = limits;
            }
        }
        Ok(rules)
    }

    /// Makes sure that the gates of `subjects` are known.
    pub(super) async fn load_gates(&mut self, gates: &mut Gates, subjects: BTreeSet<String>) -> Result<(), Fault> {
        let mut missing = subjects;
        missing.retain(|subject| !gates.known.contains_key(subject));
        let mut rules = self.rules(&missing).await?;
        let (mut tenants, mut keys, mut rated) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for subject in &missing {
            let gate = rules.remove(subject).map(|rule| Gate::new(rule, self.now_ms()));
            if let Some(Gate { rule: Rule { limits, .. }, .. }) = &gate {
                let is_slotted = limits.concurrency.is_some() || limits.ordered;
                match subject.split_once(':') {
                    Some(("tenant", name)) if is_slotted => drop(tenants.insert(name.to_owned())),
                    Some(("key", name)) if is_slotted => drop(keys.insert(name.to_owned())),
                    _ => {}
                }
                if limits.rate.is_some() {
                    rated.insert(subject.clone());
                }
            }
            gates.known.insert(subject.clone(), gate);
        }
        if missing.contains("queue") {
            let running = self.line.count(State::Running);
            if let Some(gate) = gates.get_mut("queue") {
                gate.set_used(running, 0);
            }
        }
        self.load_slots(gates, &tenants, &keys).await?;
        self.load_buckets(gates, &rated).await
    }

    async fn load_slots(
        &mut self,
        gates: &mut Gates,
        tenants: &BTreeSet<String>,
        keys: &BTreeSet<String>,
    ) -> Result<(), Fault> {
        let sql = "SELECT value, (SELECT count(*) FROM job INDEXED BY job_tenant WHERE queue = ?1 AND state = 2 \
                   AND tenant = value), 0 FROM json_each(?2)";
        let of_keys = "SELECT value, (SELECT count(*) FROM job INDEXED BY job_slot WHERE queue = ?1 AND slot = 1 \
                       AND flow_key = value AND state = 2), EXISTS (SELECT 1 FROM job INDEXED BY job_slot \
                       WHERE queue = ?1 AND slot = 1 AND flow_key = value) FROM json_each(?2)";
        for (sort, names, sql) in [("tenant", tenants, sql), ("key", keys, of_keys)] {
            if names.is_empty() {
                continue;
            }
            let query = sqlx::query(sql).bind(self.line.key).bind(serde_json::to_string(names)?);
            for row in query.fetch_all(&mut *self.conn).await? {
                let name: String = row.try_get(0)?;
                if let Some(gate) = gates.get_mut(&format!("{sort}:{name}")) {
                    gate.set_used(row.try_get(1)?, row.try_get(2)?);
                }
            }
        }
        Ok(())
    }

    async fn load_buckets(&mut self, gates: &mut Gates, rated: &BTreeSet<String>) -> Result<(), Fault> {
        if rated.is_empty() {
            return Ok(());
        }
        let sql = "SELECT wanted.value, coalesce(bucket.full_at, 0.0) FROM json_each(?2) AS wanted LEFT JOIN bucket \
                   ON bucket.queue = ?1 AND bucket.subject = wanted.value";
        let now = self.now_ms();
        let query = sqlx::query(sql).bind(self.line.key).bind(serde_json::to_string(rated)?);
        for row in query.fetch_all(&mut *self.conn).await? {
            let subject: String = row.try_get(0)?;
            if let Some(gate) = gates.get_mut(&subject) {
                let full_at = row.try_get(1)?;
                gate.bucket = gate.rule.limits.rate.map(|rate| Bucket::new(&rate, full_at, now));
            }
        }
        Ok(())
    }

    /// Writes what the claim took from the gates. `probe` is the token of a job that went through a half-open one.
    pub(super) async fn save_gates(&mut self, gates: &Gates, probes: &[(String, i64)]) -> Result<(), Fault> {
        let bucket_of = |gate: &Gate| gate.bucket.filter(|bucket| bucket.is_changed);
        let buckets = gates.known.iter().filter_map(|(subject, gate)| Some((subject, bucket_of(gate.as_ref()?)?)));
        let spent: BTreeMap<_, _> = buckets.map(|(subject, bucket)| (subject, bucket.full_at())).collect();
        if !spent.is_empty() {
            let sql = "INSERT INTO bucket (queue, subject, full_at) SELECT ?1, key, value + 0.0 FROM json_each(?2) \
                       WHERE true ON CONFLICT DO UPDATE SET full_at = excluded.full_at";
            sqlx::query(sql).bind(self.line.key).bind(serde_json::to_string(&spent)?).execute(&mut *self.conn).await?;
        }
        for (subject, token) in probes {
            let sql = "UPDATE flow SET probe = ?3 WHERE queue = ?1 AND subject = ?2";
            sqlx::query(sql).bind(self.line.key).bind(subject).bind(token).execute(&mut *self.conn).await?;
        }
        Ok(())
    }
}
