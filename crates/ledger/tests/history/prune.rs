//! Old history goes, and nothing else.

use lovage_core::history::JobRecord;
use lovage_core::{JobView, State};
use lovage_ledger::{FailureQuery, Ledger, PrunedJobs};

use crate::jobs::{DAY, NOON, alone, at, done, error, failed, found, job, name, raw, write};
use crate::place::{Place, places};

/// Most jobs of one slice.
const SLICE: u64 = 2_000;

async fn prune(ledger: &Ledger, before: u64) -> PrunedJobs {
    ledger.prune_jobs(at(before)).await.unwrap()
}

async fn rows(place: &Place, table: &str) -> String {
    place.texts(&format!("SELECT CAST(count(*) AS text) FROM {table}")).await.remove(0)
}

#[tokio::test]
async fn what_ended_before_goes_with_all_that_belongs_to_it() {
    for place in places().await {
        let ledger = place.ledger().await;
        let sha = "ab".repeat(32);
        let result = raw(&format!(r#"{{"key":"m","name":"n","bytes":5,"sha256":"{sha}","attempt":1}}"#));
        let whole = |id: &str, millis: u64, text: &str| {
            let record = done(id, millis);
            let job = JobView { result: Some(result.clone()), ..record.job };
            JobRecord { job, attempts: vec![failed(1, "1.0", error(millis, text))], gone_at: None }
        };
        let open = |state| JobView { state, enqueued_at: at(NOON - DAY), since: at(NOON - DAY), ..job(state.name()) };
        let unfinished = [State::Scheduled, State::Available, State::Running, State::Retryable];
        let mut page = vec![whole("old", NOON - DAY, "old error"), whole("new", NOON, "new error")];
        page.extend(unfinished.map(|state| alone(open(state))));
        page.push(JobRecord {
            gone_at: Some(at(NOON - 9)),
            ..alone(JobView { id: name("gone"), ..open(State::Running) })
        });
        page.push(JobRecord {
            gone_at: Some(at(NOON)),
            ..alone(JobView { id: name("going"), ..open(State::Running) })
        });
        page.push(alone(JobView { id: name("long"), since: at(NOON + 1), ..open(State::Cancelled) }));
        write(&ledger, &page).await;
        assert_eq!(prune(&ledger, NOON - 2 * DAY).await, PrunedJobs::default(), "{place:?}");
        assert_eq!(prune(&ledger, NOON).await, PrunedJobs { jobs: 2, failures: 1, more: false }, "{place:?}");
        let mut left = found(&ledger, "").await;
        left.sort_unstable();
        assert_eq!(left, ["available", "going", "long", "new", "retryable", "running", "scheduled"]);
        for table in ["job_attempts", "job_failures", "job_artifacts", "failure_groups", "failure_counts"] {
            assert_eq!(rows(&place, table).await, "1", "{place:?} {table}");
        }
        assert_eq!(prune(&ledger, NOON).await, PrunedJobs::default());
    }
}

#[tokio::test]
async fn a_group_that_lives_on_keeps_what_is_counted_of_the_days_that_are_left() {
    for place in places().await {
        let ledger = place.ledger().await;
        let attempts = [NOON - 2 * DAY, NOON - 60, NOON + 60].map(|millis| error(millis, "refused"));
        let attempts = (1..).zip(attempts).map(|(number, error)| failed(number, "1.0", error)).collect();
        let brief = vec![failed(1, "1.0", error(NOON - 90, "brief"))];
        write(&ledger, &[JobRecord { attempts, ..alone(job("a")) }, JobRecord { attempts: brief, ..alone(job("b")) }])
            .await;
        assert_eq!(prune(&ledger, NOON).await, PrunedJobs { jobs: 0, failures: 1, more: false });
        let groups = ledger.failures(&FailureQuery { limit: 9, ..FailureQuery::default() }).await.unwrap();
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].count, groups[0].last_seen), (2, at(NOON + 60)), "{place:?}");
        assert_eq!(rows(&place, "failure_counts").await, "1", "a group takes what was counted of it along");
    }
}

#[tokio::test]
async fn much_goes_in_slices_the_oldest_first() {
    for place in places().await {
        let ledger = place.ledger().await;
        let page: Vec<JobRecord> =
            (0..SLICE + 500).map(|number| done(&format!("j{number:04}"), NOON - 10_000 + number)).collect();
        for page in page.chunks(1_000) {
            write(&ledger, page).await;
        }
        assert_eq!(prune(&ledger, NOON).await, PrunedJobs { jobs: SLICE, failures: 0, more: true }, "{place:?}");
        let left = found(&ledger, "").await;
        assert_eq!((left.len(), left.last().map(String::as_str)), (500, Some("j2000")));
        assert_eq!(prune(&ledger, NOON).await, PrunedJobs { jobs: 500, failures: 0, more: false });
        assert_eq!(found(&ledger, "").await, [""; 0]);
    }
}

#[tokio::test]
async fn a_month_that_is_empty_goes_and_comes_back_for_everybody() {
    for place in places().await {
        let (ledger, other) = (place.ledger().await, place.ledger().await);
        let old = |id: &str| done(id, NOON - 20 * DAY);
        write(&ledger, &[old("a"), done("b", NOON)]).await;
        write(&other, &[old("c")]).await;
        let unfinished = JobView { enqueued_at: at(NOON - 60 * DAY), ..job("waits") };
        write(&other, &[alone(unfinished)]).await;
        let months = async || {
            let sql =
                "SELECT relname::text FROM pg_class WHERE relname ~ '^job_?[a-z]*_20' AND relkind = 'r' ORDER BY 1";
            if place.is_postgres() { place.texts(sql).await } else { Vec::new() }
        };
        let before = months().await;
        assert_eq!(prune(&ledger, NOON).await.jobs, 2, "{place:?}");
        if place.is_postgres() {
            let gone: Vec<String> = before.into_iter().filter(|name| !name.ends_with("2025_12")).collect();
            assert_eq!(months().await, gone);
            assert_eq!(gone.len(), 8, "{gone:?}");
        }
        // The other does not know that the month is gone.
        assert_eq!(write(&other, &[old("d")]).await.jobs, 1, "{place:?}");
        assert_eq!(write(&ledger, &[old("e")]).await.jobs, 1);
        assert_eq!(found(&ledger, "id:d,e").await.len(), 2);
        assert_eq!(found(&ledger, "id:waits").await, ["waits"]);
    }
}
