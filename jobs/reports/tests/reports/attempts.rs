//! Attempts that are cancelled, come second or have lost their lease.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::Timestamp;
use lovage_payloads::{ExportReport, ReportFormat, ReportInput};
use lovage_reports::ReportLimits;
use lovage_testkit::eventually;
use lovage_worker::JobError;

use crate::bench::{Bench, NOW, discarded, job, numbers, one, retried};

const WAIT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_report_that_is_cancelled_before_it_starts_reads_nothing() {
    let bench = Bench::new();
    let job = job("1", 1, 1);
    job.cancel();
    let report = one("select * from t").with_input("t", ReportInput::files("raw/nothere.csv"));
    assert!(matches!(bench.run(&job, report).await, Err(JobError::Cancelled)));
    bench.nothing_is_left_of("1").await;
}

/// A query whose rows would take minutes: they come out while it runs, so it can be stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_cancelled_while_rows_come_ends_and_leaves_nothing() {
    let bench = Arc::new(Bench::with_limits(ReportLimits { max_rows: u64::MAX, ..ReportLimits::default() }));
    bench.put("raw/t.csv", numbers(100_000));
    let report = one("select a.n as x, b.n as y from t as a cross join t as b");
    let report = ExportReport { format: ReportFormat::Csv, ..report }.with_input("t", ReportInput::files("raw/t.csv"));
    let job = job("1", 1, 1);
    let (inner, context) = (Arc::clone(&bench), job.context());
    let running = tokio::spawn(async move {
        use lovage_worker::Handler as _;
        inner.handler.run(report, context).await
    });
    let querying = || job.progress().is_some_and(|progress| progress.phase == "query");
    // bounded wait: for the first rows of a query on a thread of its own
    eventually("the query runs", WAIT, || async { querying().then_some(()) }).await;
    job.cancel();
    assert!(matches!(running.await.unwrap(), Err(JobError::Cancelled)));
    // bounded wait: the thread notices at its next rows and takes its folder with it
    eventually("the thread ends", WAIT, || async { (bench.temporary_folders() == 0).then_some(()) }).await;
    bench.nothing_is_left_of("1").await;
}

#[tokio::test]
async fn a_second_attempt_finds_what_the_first_has_published() {
    let bench = Bench::new();
    bench.put("raw/t.csv", "n\n1\n");
    let report = || one("select * from t").with_input("t", ReportInput::files("raw/t.csv"));
    let first = bench.run(&job("1", 1, 7), report()).await.unwrap();
    // The input has changed meanwhile: the job's file has not.
    bench.put("raw/t.csv", "n\n1\n2\n");
    let second = job("1", 2, 9);
    assert_eq!(bench.run(&second, report()).await.unwrap(), first);
    assert_eq!(second.lines()[0].text, "attempt 1 has already published the file");
}

#[tokio::test]
async fn an_id_that_was_used_is_not_answered_with_another_report() {
    let bench = Bench::new();
    bench.report("1", one("select 1 as n")).await.unwrap();
    let error = discarded(bench.run(&job("1", 1, 1), one("select 2 as n")).await);
    assert!(error.starts_with("id: was used before for an export with other arguments"), "{error}");
    let tenant = job("1", 1, 1).with_tenant("acme".parse().unwrap());
    discarded(bench.run(&tenant, one("select 1 as n")).await);
}

#[tokio::test]
async fn an_attempt_that_has_lost_its_lease_publishes_nothing() {
    let bench = Bench::new();
    let job = job("1", 1, 1);
    job.lose_lease();
    let error = retried(bench.run(&job, one("select 1 as n")).await);
    assert!(error.contains("another worker has the job"), "{error}");
    bench.nothing_is_left_of("1").await;
}

#[tokio::test]
async fn a_temporary_folder_that_cannot_be_made_is_tried_again() {
    let bench = Bench::new();
    let gone = bench.temporary.path().to_owned();
    std::fs::remove_dir(&gone).unwrap();
    let error = retried(bench.report("1", one("select 1 as n")).await);
    assert!(error.starts_with("make a temporary folder (reports.temp_dir)"), "{error}");
    std::fs::create_dir(gone).unwrap();
}

#[tokio::test]
async fn a_report_is_kept_as_long_as_the_settings_say() {
    let bench = Bench::keeping(Duration::from_hours(720));
    bench.report("1", one("select 1 as n")).await.unwrap();
    let manifest = bench.manifest("1").await.unwrap();
    assert_eq!(manifest.expires_at, Some(Timestamp::from_millis(NOW).plus(Duration::from_hours(720))));
    let bench = Bench::new();
    bench.report("1", one("select 1 as n")).await.unwrap();
    assert_eq!(bench.manifest("1").await.unwrap().expires_at, None, "for ever");
}
