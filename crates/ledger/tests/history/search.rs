//! Searching: pages, cursors, and how far was looked.

use std::time::Duration;

use lovage_core::JobView;
use lovage_core::history::JobRecord;
use lovage_ledger::LedgerError;

use crate::jobs::{DAY, LONG, NOON, all, alone, ask, at, done, filter, found, ids, job, write};
use crate::place::places;

#[tokio::test]
async fn a_limit_or_a_cursor_that_is_none_of_ours_is_invalid() {
    for place in places().await {
        let ledger = place.ledger().await;
        write(&ledger, &[done("a", NOON), done("b", NOON + 1)]).await;
        for limit in [0, 501, u32::MAX] {
            let error = ask(&ledger, &filter(""), (limit, None), LONG).await.unwrap_err();
            assert!(matches!(&error, LedgerError::Invalid(invalid) if invalid.field == "limit"), "{place:?} {error:?}");
        }
        let next = ask(&ledger, &filter(""), (1, None), LONG).await.unwrap().next.unwrap();
        let huge = format!("{}_0", u64::MAX);
        let signed = format!("+{next}");
        let spoilt = ["", "7", "_", "x_1", "1_x", "-1_1", "1_1_1", " 1_1", "1.5_1", "01_1", &huge, &signed];
        for cursor in spoilt {
            let error = ask(&ledger, &filter(""), (1, Some(cursor)), LONG).await.unwrap_err();
            let is_cursor = matches!(&error, LedgerError::Invalid(invalid) if invalid.field == "cursor");
            assert!(is_cursor, "{place:?} {cursor:?} {error:?}");
        }
        let page = ask(&ledger, &filter(""), (1, Some(&next)), LONG).await.unwrap();
        assert_eq!(ids(&page.jobs), ["a"]);
    }
}

#[tokio::test]
async fn jobs_come_newest_first_with_their_attempts_and_those_of_one_instant_once_each() {
    for place in places().await {
        let ledger = place.ledger().await;
        let mut page: Vec<JobRecord> =
            (0..9_u64).map(|number| done(&format!("j{number}"), NOON + number / 4)).collect();
        page[8].attempts.push(crate::jobs::failed(1, "1.0", crate::jobs::error(NOON, "refused")));
        write(&ledger, &page).await;
        let first = ask(&ledger, &filter(""), (1, None), LONG).await.unwrap();
        assert_eq!(ids(&first.jobs), ["j8"]);
        assert_eq!(first.jobs[0].attempts, page[8].attempts, "{place:?}");
        assert_eq!(first.jobs[0].job.errors.len(), 1);
        let whole = found(&ledger, "").await;
        for limit in 1..=10 {
            assert_eq!(all(&ledger, &filter(""), limit, LONG).await, whole, "{place:?}");
        }
        let mut sorted = whole.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..9).map(|number| format!("j{number}")).collect::<Vec<_>>());
        let instants: Vec<u32> = whole.iter().map(|id| id[1..].parse::<u32>().unwrap() / 4).collect();
        assert!(instants.is_sorted_by(|a, b| a >= b));
    }
}

/// Jobs of two months, more than are looked at in one go, among which a few have a tag or an end.
fn crowd() -> Vec<JobRecord> {
    let of = |number: u64| {
        let month = if number < 500 { 40 * DAY } else { 0 };
        let enqueued_at = at(NOON - month + number / 3);
        let mut job = JobView { enqueued_at, since: enqueued_at, ..job(&format!("j{number:04}")) };
        if number.is_multiple_of(900) {
            job.tags.push("rare".into());
            job.state = lovage_core::State::Cancelled;
        }
        alone(job)
    };
    (0..5_500).map(of).collect()
}

#[tokio::test]
async fn a_search_that_may_not_look_long_says_how_far_it_came_and_goes_on_from_there() {
    for place in places().await {
        let ledger = place.ledger().await;
        for page in crowd().chunks(1_000) {
            write(&ledger, page).await;
        }
        // What the index finds, what it does not, and what nobody has.
        for text in ["tag:rare", "ended:>=1970-01-01", "ended:>=1970-01-01 -id:j0900", "tag:rare -state:cancelled"] {
            let filter = filter(text);
            let whole = all(&ledger, &filter, 500, LONG).await;
            assert_eq!(
                whole.len(),
                if text.contains("id:") {
                    6
                } else if text.contains("state:") {
                    0
                } else {
                    7
                }
            );
            let first = ask(&ledger, &filter, (500, None), Duration::ZERO).await.unwrap();
            let to = first.searched_to.unwrap();
            assert!(to > at(NOON) && first.next.is_some(), "{place:?} {text} {to}");
            assert!(first.jobs.iter().all(|record| record.job.enqueued_at >= to));
            for limit in [1, 2, 500] {
                assert_eq!(all(&ledger, &filter, limit, Duration::ZERO).await, whole, "{place:?} {text} {limit}");
            }
        }
        let common = filter("state:available");
        assert_eq!(all(&ledger, &common, 499, Duration::ZERO).await.len(), 5_493, "{place:?}");
        let page = ask(&ledger, &common, (500, None), Duration::ZERO).await.unwrap();
        assert_eq!((page.jobs.len(), page.searched_to), (500, None), "a full page is an answer");
        // A span without jobs is looked at in no time.
        let none = ask(&ledger, &filter("created:2026-03-01..2026-03-02"), (500, None), Duration::ZERO).await.unwrap();
        assert_eq!((none.jobs.len(), none.searched_to, none.next), (0, None, None));
    }
}

/// What stands behind all that a walk looks at, found by an index however it is asked for.
#[tokio::test]
async fn what_is_old_and_rare_is_found_however_it_is_asked_for() {
    let of = |number: u64| {
        let enqueued_at = at(NOON + number);
        let mut job = JobView { enqueued_at, since: enqueued_at, ..job(&format!("j{number:04}")) };
        if number < 10 {
            job.kind = Some("legacy.convert".parse().unwrap());
            (job.state, job.attempt) = (lovage_core::State::Completed, 3);
        }
        alone(job)
    };
    let jobs: Vec<JobRecord> = (0..5_000).map(of).collect();
    for place in places().await {
        let ledger = place.ledger().await;
        for page in jobs.chunks(1_000) {
            write(&ledger, page).await;
        }
        let old = found(&ledger, "kind:legacy.convert").await;
        assert_eq!(old.len(), 10, "{place:?}");
        for text in [
            "kind:leg*",
            "kind:zz*,leg*",
            "kind:zz.*,leg*,other.kind",
            "kind:leg* -kind:exp*",
            "-attempt:<=2",
            "-attempt:0..2",
            "-attempt:..1 attempt:3",
            "ended:>=1970-01-01",
            "ended:<9000-01-01 kind:l*",
        ] {
            assert_eq!(found(&ledger, text).await, old, "{place:?} {text}");
        }
        for text in ["kind:zz*", "kind:leg* -attempt:3", "-attempt:<=3", "ended:<1971-01-01"] {
            assert!(found(&ledger, text).await.is_empty(), "{place:?} {text}");
        }
        assert_eq!(found(&ledger, "kind:exp*,leg*").await.len(), 5_000, "{place:?}");
        assert_eq!(found(&ledger, "-kind:leg*").await.len(), 4_990, "{place:?}");
    }
}
