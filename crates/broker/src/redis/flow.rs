//! Limits, pauses and breakers: from values to the texts of `lua/limits.lua` and back.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::limits::{MAX_PAGE, MAX_SUBJECTS, RETRY_AFTER, RETRY_AFTER_UNKNOWN, cut};
use lovage_core::{
    BreakerState, BreakerView, FlowView, Full, Invalid, Limits, Pause, QUEUE_VIEW_FLOWS, QueueName, Rate, Subject,
    Timestamp,
};
use redis::Cmd;
use serde::{Deserialize, Serialize};

use super::reply::{Items, count, number, text, texts};
use super::script::{FLOW, SUBJECT};
use super::{RedisBroker, Result};
use crate::api::NewPause;
use crate::error::BrokerError;

/// Longest name and reason of a pause.
const MAX_PAUSE_BYTES: usize = 500;

/// The short form of a subject.
fn short(subject: &Subject) -> String {
    match subject {
        Subject::Queue => "q".into(),
        Subject::Tenant(tenant) => format!("t:{tenant}"),
        Subject::AnyTenant => "t:*".into(),
        Subject::Kind(kind) => format!("k:{kind}"),
        Subject::Key(key) => format!("y:{key}"),
        Subject::AnyKey => "y:*".into(),
    }
}

/// The subject of a short form; nothing for what a newer release may have written.
fn subject(form: &str) -> Option<Subject> {
    match form.split_once(':') {
        None => (form == "q").then_some(Subject::Queue),
        Some((sort, name)) => {
            let word = [("t", "tenant"), ("k", "kind"), ("y", "key")].into_iter().find(|(each, _)| *each == sort)?.1;
            format!("{word}:{name}").parse().ok()
        }
    }
}

/// Limits as `rule()` of `lua/limits.lua` reads them.
fn rule_text(limits: &Limits) -> String {
    let number_or_dash = |value: Option<u64>| value.map_or_else(|| "-".into(), |value| value.to_string());
    let rate_text = |rate: Option<Rate>| match rate {
        Some(rate) => format!("{} {} {}", rate.count, rate.per_ms, rate.bucket()),
        None => "- - -".into(),
    };
    format!(
        "{} {} {} {} {} {} {} {}",
        number_or_dash(limits.concurrency.map(u64::from)),
        u8::from(limits.ordered),
        rate_text(limits.rate),
        number_or_dash(limits.depth),
        number_or_dash(limits.weight.map(u64::from)),
        rate_text(limits.retry_rate),
        number_or_dash(limits.breaker.map(|breaker| breaker.failures.into())),
        number_or_dash(limits.breaker.map(|breaker| breaker.cooldown_ms)),
    )
}

/// Reads back what [`rule_text`] wrote.
fn read_rule(text: &str) -> Limits {
    let words: Vec<Option<u64>> = text.split(' ').map(|word| word.parse().ok()).collect();
    let at = |index: usize| words.get(index).copied().flatten();
    let small = |index: usize| at(index).and_then(|value| u32::try_from(value).ok());
    let rate = |first: usize| {
        let (count, per_ms, bucket) = (small(first)?, at(first + 1)?, small(first + 2)?);
        Some(Rate { count, per_ms, burst: Some(bucket).filter(|&bucket| bucket != count) })
    };
    let breaker = || Some(lovage_core::Breaker { failures: small(10)?, cooldown_ms: at(11)? });
    Limits {
        concurrency: small(0),
        ordered: at(1) == Some(1),
        rate: rate(2),
        depth: at(5),
        weight: small(6),
        retry_rate: rate(7),
        breaker: breaker(),
    }
}

/// Who paused something, and why.
#[derive(Debug, Serialize, Deserialize)]
struct PausedBy {
    by: String,
    why: String,
}

/// Reads "since until JSON"; nothing if there is none, or its time is over at `now`.
fn read_pause(text: &str, now: Timestamp) -> Option<Pause> {
    let mut parts = text.splitn(3, ' ');
    let since = Timestamp::from_millis(parts.next()?.parse().ok()?);
    let until = parts.next()?.parse().ok().map(Timestamp::from_millis);
    let PausedBy { by, why } = serde_json::from_str(parts.next()?).ok()?;
    Some(Pause { by, why, since, until }).filter(|_| until.is_none_or(|until| until > now))
}

/// Reads "failures until probe".
fn read_breaker(text: &str, now: Timestamp) -> BreakerView {
    let mut numbers = text.split(' ').filter_map(|word| word.parse::<u64>().ok());
    let failures = numbers.next().and_then(|failures| u32::try_from(failures).ok()).unwrap_or(0);
    let until = numbers.next().filter(|&until| until > 0).map(Timestamp::from_millis);
    let state = match until {
        None => BreakerState::Closed,
        Some(until) if until > now => BreakerState::Open,
        Some(_) => BreakerState::HalfOpen,
    };
    BreakerView { state, failures, until: until.filter(|_| state == BreakerState::Open) }
}

/// What the script answers to new limits or a new pause: not 0.
fn accepted(answer: u64) -> Result<u64> {
    if answer > 0 {
        return Ok(answer);
    }
    let problem = format!("would be one of more than {MAX_SUBJECTS} with limits of their own");
    Err(Invalid::new("subject", problem, "use `tenant:*` or `key:*`, or remove others").into())
}

/// Reads what `lua/depth.lua` answers: subject, limit, ms to wait or -1.
pub(super) fn full(text: &str) -> Result<Full> {
    let mut words = text.split(' ');
    let odd = || BrokerError::Protocol("a full queue does not say what is full".into());
    let subject = words.next().and_then(subject).ok_or_else(odd)?;
    let limit = words.next().and_then(|word| word.parse().ok()).ok_or_else(odd)?;
    let wait = words.next().and_then(|word| word.parse::<u64>().ok());
    let retry_after = wait
        .map_or(RETRY_AFTER_UNKNOWN, |ms| Duration::from_millis(ms).clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end()));
    Ok(Full { subject, limit, retry_after })
}

impl RedisBroker {
    pub(super) async fn set_limits(&self, queue: &QueueName, subject: &Subject, limits: &Limits) -> Result<()> {
        limits.validate(subject)?;
        self.name(std::iter::once(queue)).await?;
        let rule = if limits.is_empty() { String::new() } else { rule_text(limits) };
        let fill = |cmd: &mut Cmd| {
            cmd.arg("limit").arg(short(subject)).arg(MAX_SUBJECTS).arg(&rule);
        };
        accepted(count(&self.run_again(&SUBJECT, queue, fill).await?)?).map(drop)
    }

    pub(super) async fn set_pause(&self, queue: &QueueName, subject: &Subject, new: &NewPause) -> Result<Pause> {
        subject.can_pause()?;
        self.name(std::iter::once(queue)).await?;
        let (by, why) = (cut(&new.by, MAX_PAUSE_BYTES), cut(&new.why, MAX_PAUSE_BYTES));
        let till = new.until.map(|until| until.as_millis().to_string()).unwrap_or_default();
        let paused_by = PausedBy { by: by.clone(), why: why.clone() };
        let json = serde_json::to_string(&paused_by).map_err(|error| BrokerError::Protocol(error.to_string()))?;
        let fill = |cmd: &mut Cmd| {
            cmd.arg("pause").arg(short(subject)).arg(MAX_SUBJECTS).arg(&till).arg(&json);
        };
        let since = accepted(count(&self.run_again(&SUBJECT, queue, fill).await?)?)?;
        let since = Timestamp::from_millis(since);
        Ok(Pause { by, why, since, until: new.until })
    }

    pub(super) async fn lift(&self, queue: &QueueName, subject: &Subject) -> Result<bool> {
        subject.can_pause()?;
        let fill = |cmd: &mut Cmd| {
            cmd.arg("resume").arg(short(subject)).arg(MAX_SUBJECTS);
        };
        Ok(count(&self.run(&SUBJECT, queue, fill).await?)? == 1)
    }

    /// What of a queue has limits, pauses or breakers, after a subject.
    pub(super) async fn flows(
        &self,
        queue: &QueueName,
        after: Option<&Subject>,
        limit: usize,
    ) -> Result<Vec<FlowView>> {
        let after = after.map(ToString::to_string);
        let named = self.subjects(queue).await?;
        let behind = named.into_iter().filter(|(name, _)| after.as_ref().is_none_or(|after| name > after));
        let page: Vec<Subject> = behind.take(limit.clamp(1, MAX_PAGE)).map(|(_, subject)| subject).collect();
        self.look_at(queue, page).await
    }

    /// The pause of a whole queue, and the first flows of its view.
    pub(super) async fn first_flows(&self, queue: &QueueName) -> Result<(Option<Pause>, Vec<FlowView>)> {
        let mut named = self.subjects(queue).await?;
        // It comes first for a moment, as it is wanted in any case.
        let own = named.remove(&Subject::Queue.to_string());
        let own_place = named.range(..Subject::Queue.to_string()).count();
        let page: Vec<Subject> = own.into_iter().chain(named.into_values().take(QUEUE_VIEW_FLOWS)).collect();
        let mut views = self.look_at(queue, page).await?;
        let mut pause = None;
        if views.first().is_some_and(|first| first.subject == Subject::Queue) {
            let own = views.remove(0);
            pause.clone_from(&own.paused);
            views.insert(own_place.min(views.len()), own);
        }
        views.truncate(QUEUE_VIEW_FLOWS);
        Ok((pause, views))
    }

    /// All subjects that have something of their own, by their text.
    async fn subjects(&self, queue: &QueueName) -> Result<BTreeMap<String, Subject>> {
        let mut named = BTreeMap::new();
        let keys = self.keys.of(queue);
        for key in keys.ruled() {
            for field in texts(self.link.send(keys.slot(), redis::cmd("HKEYS").arg(key)).await?)? {
                let name = field.strip_prefix('p').unwrap_or(&field);
                named.extend(subject(name).map(|subject| (subject.to_string(), subject)));
            }
        }
        Ok(named)
    }

    async fn look_at(&self, queue: &QueueName, subjects: Vec<Subject>) -> Result<Vec<FlowView>> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let fill = |cmd: &mut Cmd| {
            for subject in &subjects {
                cmd.arg(short(subject));
            }
        };
        let mut items = Items::of(self.run_again(&FLOW, queue, fill).await?)?;
        let now = Timestamp::from_millis(count(&items.take()?)?);
        let mut views = Vec::with_capacity(subjects.len());
        for subject in subjects {
            views.extend(view(subject, &mut items, now)?);
        }
        Ok(views)
    }
}

/// What `lua/flow.lua` answers of a subject; nothing if nothing holds any more.
fn view(subject: Subject, items: &mut Items, now: Timestamp) -> Result<Option<FlowView>> {
    let (rule, pause, breaker) = (text(items.take()?)?, text(items.take()?)?, text(items.take()?)?);
    let (used, waiting) = (number(&items.take()?)?, number(&items.take()?)?);
    let limits = read_rule(&rule);
    let seen = Some(read_breaker(&breaker, now)).filter(|_| !breaker.is_empty() || limits.breaker.is_some());
    let paused = read_pause(&pause, now);
    if limits.is_empty() && paused.is_none() && breaker.is_empty() {
        return Ok(None);
    }
    let known = |value: i64| u64::try_from(value).ok();
    Ok(Some(FlowView { subject, limits, paused, breaker: seen, used: known(used), waiting: known(waiting) }))
}

#[cfg(test)]
mod tests {
    use lovage_core::Breaker;

    use super::*;

    #[test]
    fn limits_are_read_back() {
        let full = Limits {
            concurrency: Some(0),
            ordered: true,
            rate: Some(Rate { count: 5, per_ms: 60_000, burst: Some(2) }),
            depth: Some(1 << 40),
            weight: Some(7),
            retry_rate: Some(Rate::per_second(100)),
            breaker: Some(Breaker { failures: 20, cooldown_ms: 30_000 }),
        };
        assert_eq!(read_rule(&rule_text(&full)), full);
        assert_eq!(read_rule(&rule_text(&Limits::default())), Limits::default());
        assert_eq!(read_rule(""), Limits::default());
    }

    #[test]
    fn subjects_are_read_back() {
        for name in ["queue", "tenant:a:b", "tenant:*", "kind:mail.send", "key:p", "key:*"] {
            let each: Subject = name.parse().unwrap();
            assert_eq!(subject(&short(&each)), Some(each));
        }
        assert_eq!(subject("z:new"), None);
    }
}
