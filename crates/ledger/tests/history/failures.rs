//! Failures that are alike, as groups.

use std::collections::BTreeMap;

use lovage_core::history::JobRecord;
use lovage_core::{ErrorClass, JobView, Timestamp};
use lovage_ledger::{Failure, FailureQuery, Ledger};

use crate::jobs::{DAY, NOON, alone, at, error, failed, found, job, name, write};
use crate::place::places;

/// The first instant of the day of [`NOON`].
const MIDNIGHT: u64 = NOON - NOON % DAY;

async fn ask(ledger: &Ledger, query: FailureQuery) -> Vec<Failure> {
    ledger.failures(&FailureQuery { limit: if query.limit == 0 { 100 } else { query.limit }, ..query }).await.unwrap()
}

/// A job of a kind with one failed attempt for each: release, when, message.
fn failing(id: &str, kind: &str, told: &[(&str, u64, &str)]) -> JobRecord {
    let attempts =
        (1..).zip(told).map(|(number, (version, millis, text))| failed(number, version, error(*millis, text)));
    JobRecord { attempts: attempts.collect(), ..alone(JobView { kind: Some(name(kind)), ..job(id) }) }
}

fn days(of: &[(u64, u64)]) -> BTreeMap<Timestamp, u64> {
    of.iter().map(|(day, count)| (at(MIDNIGHT + day * DAY), *count)).collect()
}

fn versions(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(version, count)| ((*version).to_owned(), *count)).collect()
}

#[tokio::test]
async fn failures_that_are_alike_are_one_group_that_counts_each_attempt_once() {
    for place in places().await {
        let ledger = place.ledger().await;
        let page = [
            failing("a", "export.query", &[("1.0", NOON, "refused"), ("1.1", NOON + DAY, "refused")]),
            failing("b", "export.query", &[("1.0", NOON - 5, "refused"), ("1.0", NOON + 5, "no space left")]),
        ];
        assert_eq!(write(&ledger, &page).await.failures, 4);
        assert_eq!(write(&ledger, &page[..1]).await.failures, 0);
        let late = failing("c", "export.query", &[("", NOON + 2 * DAY, "refused"), ("1.1", NOON - DAY, "refused")]);
        assert_eq!(write(&ledger, &[late]).await.failures, 2);
        let mut unread = failing("d", "export.query", &[("1.0", NOON - 9 * DAY, "never read")]);
        (unread.job.kind, unread.attempts[0].version) = (None, None);
        unread.attempts[0].error.as_mut().unwrap().class = ErrorClass::WorkerLost;
        write(&ledger, &[unread]).await;

        let groups = ask(&ledger, FailureQuery::default()).await;
        assert_eq!(groups.len(), 3, "{place:?}");
        let refused = &groups[0];
        assert_eq!((refused.kind.as_str(), refused.class, refused.count), ("export.query", ErrorClass::Failed, 5));
        assert!(refused.title.contains("refused"));
        assert_eq!((refused.first_seen, refused.last_seen), (at(NOON - DAY), at(NOON + 2 * DAY)));
        assert_eq!(refused.versions, versions(&[("", 1), ("1.0", 2), ("1.1", 2)]));
        assert_eq!(
            refused.days,
            BTreeMap::from([(at(MIDNIGHT - DAY), 1)]).into_iter().chain(days(&[(0, 2), (1, 1), (2, 1)])).collect()
        );
        assert_eq!((groups[1].count, groups[1].last_seen), (1, at(NOON + 5)));
        assert_eq!((groups[2].kind.as_str(), groups[2].class), ("unknown", ErrorClass::WorkerLost));
        assert_eq!(groups[2].versions, versions(&[("", 1)]));
        let jobs = found(&ledger, &format!("failure:{}", refused.fingerprint)).await;
        assert_eq!(jobs.len(), 3);
    }
}

#[tokio::test]
async fn groups_are_asked_for_by_time_kind_and_name_and_no_more_than_wanted() {
    for place in places().await {
        let ledger = place.ledger().await;
        let page = [
            failing("a", "export.query", &[("1.0", NOON - 3 * DAY, "refused"), ("1.0", NOON, "refused")]),
            failing("b", "export.query", &[("1.0", NOON - 2 * DAY, "no space left")]),
            failing("c", "mail.send", &[("1.0", NOON - 60, "mailbox full")]),
        ];
        write(&ledger, &page).await;
        let counts = |groups: Vec<Failure>| groups.iter().map(|group| group.count).collect::<Vec<_>>();
        let since = |millis| FailureQuery { since: Some(at(millis)), ..FailureQuery::default() };
        assert_eq!(counts(ask(&ledger, FailureQuery::default()).await), [2, 1, 1]);
        assert_eq!(counts(ask(&ledger, since(NOON)).await), [1], "{place:?}: of that day");
        assert_eq!(counts(ask(&ledger, since(NOON - 60)).await), [1, 1]);
        assert_eq!(counts(ask(&ledger, since(NOON + 1)).await), [0_u64; 0]);
        assert_eq!(counts(ask(&ledger, since(NOON - 4 * DAY)).await), [2, 1, 1]);
        let kind = ask(&ledger, FailureQuery { kind: Some(name("mail.send")), ..FailureQuery::default() }).await;
        assert_eq!(kind.iter().map(|group| group.kind.as_str()).collect::<Vec<_>>(), ["mail.send"]);
        let one = FailureQuery { fingerprint: Some(kind[0].fingerprint), ..FailureQuery::default() };
        assert_eq!(ask(&ledger, one.clone()).await, kind);
        assert!(ask(&ledger, FailureQuery { kind: Some(name("export.query")), ..one }).await.is_empty());
        assert_eq!(counts(ask(&ledger, FailureQuery { limit: 2, ..FailureQuery::default() }).await), [2, 1]);
        assert_eq!(counts(ask(&ledger, FailureQuery { limit: u32::MAX, ..FailureQuery::default() }).await), [2, 1, 1]);
    }
}
