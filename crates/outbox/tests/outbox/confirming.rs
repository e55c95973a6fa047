//! Rows that ask twice: what they cannot know does not make them ask for ever.

use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, Finish, HeldLease, Retention, SqliteBroker, SqliteConfig};
use lovage_core::{NewJob, Transition};
use serde_json::json;

use crate::breaking::insert;
use crate::stage::Stage;

/// A job that ran and was pushed out of the retention looks as if the broker had lost it. Its row sends it once more, and
/// not again and again for as long as the queue goes on forgetting it.
async fn a_job_that_the_queue_forgot_is_sent_again_at_most_once(stage: Stage) {
    insert(&stage, 0..1).await;
    let config = SqliteConfig {
        retention: Retention { completed_count: 1, ..Retention::default() },
        synchronous_full: false,
        ..SqliteConfig::new(stage.folder.path().join("forgetful.db"))
    };
    let forgetful: Arc<dyn Broker> = Arc::new(SqliteBroker::open(config).await.unwrap());
    let mut runs = 0;
    for _ in 0..4 {
        stage.confirming(forgetful.clone()).step().await.unwrap();
        let other = NewJob::new("default".parse().unwrap(), "other".parse().unwrap(), &json!({})).unwrap();
        forgetful.enqueue(vec![other]).await.unwrap();
        runs += run_all(&*forgetful).await;
    }
    assert_eq!((runs, stage.left().await), (2, (0, 0, 0)), "of the row's job");
}

/// Completes all jobs, lets the queue forget all but one, and answers how many were a row's.
async fn run_all(broker: &dyn Broker) -> usize {
    let (queue, worker) = ("default".parse().unwrap(), "w-1".parse().unwrap());
    let jobs = broker.claim(&queue, &worker, 10, Duration::from_mins(1)).await.unwrap().jobs;
    for job in &jobs {
        let lease = HeldLease { id: job.id.clone(), token: job.token };
        let finish = Finish { lease, transition: Transition::Complete { result: None } };
        broker.finish(&queue, &worker, vec![finish]).await.unwrap();
    }
    broker.sweep(&queue).await.unwrap();
    jobs.iter().filter(|job| job.id.as_str().starts_with("row-")).count()
}

crate::on_both!(a_job_that_the_queue_forgot_is_sent_again_at_most_once);
