//! Jobs of many months.

use lovage_core::history::JobRecord;

use crate::jobs::{DAY, LONG, NOON, all, done, filter, found, ids, read, write};
use crate::place::places;

fn of_months() -> Vec<JobRecord> {
    let jobs = [("january", 0), ("march", 60), ("next-year", 400)];
    jobs.iter().map(|(id, days)| done(id, NOON + days * DAY)).collect()
}

#[tokio::test]
async fn a_page_may_have_jobs_of_any_months() {
    for place in places().await {
        let ledger = place.ledger().await;
        write(&ledger, &of_months()).await;
        for record in of_months() {
            assert_eq!(
                format!("{:?}", read(&ledger, record.job.id.as_str()).await),
                format!("{record:?}"),
                "{place:?}"
            );
        }
        for limit in [1, 2, 3, 4] {
            let found = all(&ledger, &filter("state:completed"), limit, LONG).await;
            assert_eq!(found, ["next-year", "march", "january"]);
        }
        assert_eq!(found(&ledger, "created:2026-02-01..2026-12-31").await, ["march"]);
        assert_eq!(found(&ledger, "created:<2026-03-01").await, ["january"]);
        assert_eq!(found(&ledger, "created:>=2026-03-01").await, ["next-year", "march"]);
        assert_eq!(found(&ledger, "id:march,january").await, ["march", "january"]);
    }
}

/// The last and the first millisecond of months, in which the days of other zones are others.
#[tokio::test]
async fn a_month_is_one_of_utc() {
    const FEBRUARY: u64 = 1_769_904_000_000;
    for place in places().await {
        if place.is_postgres() {
            place.tamper("ALTER ROLE postgres SET timezone = 'Pacific/Auckland'").await;
        }
        let ledger = place.ledger().await;
        write(&ledger, &[done("last", FEBRUARY - 1), done("first", FEBRUARY)]).await;
        assert_eq!(found(&ledger, "created:2026-01-31").await, ["last"], "{place:?}");
        assert_eq!(found(&ledger, "created:2026-02-01").await, ["first"]);
        assert_eq!(found(&ledger, "state:completed").await, ["first", "last"]);
        let before = lovage_core::Timestamp::from_millis(FEBRUARY + DAY);
        assert_eq!(ledger.prune_jobs(before).await.unwrap().jobs, 2);
        write(&ledger, &[done("again", FEBRUARY - 1)]).await;
        assert_eq!(found(&ledger, "").await, ["again"]);
    }
}

#[tokio::test]
async fn two_that_add_the_same_month_at_once_both_write() {
    for place in places().await {
        let writers = (0..6_u64).map(|writer| {
            let place = &place;
            async move {
                let ledger = place.ledger().await;
                let page: Vec<JobRecord> =
                    (0..4).map(|month| done(&format!("w{writer}m{month}"), NOON + month * 31 * DAY)).collect();
                assert_eq!(write(&ledger, &page).await.jobs, 4, "{place:?}");
            }
        });
        futures::future::join_all(writers).await;
        let ledger = place.ledger().await;
        let page = crate::jobs::ask(&ledger, &filter(""), (100, None), LONG).await.unwrap();
        assert_eq!(ids(&page.jobs).len(), 24);
    }
}
