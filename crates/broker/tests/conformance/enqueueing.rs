//! Handing jobs in.

use lovage_broker::{BrokerError, EnqueueOutcome, Refused};
use lovage_core::limits::{MAX_BATCH, MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES};
use lovage_core::{Clock as _, JobSpec, NewJob, State, Timestamp};

use crate::bench::{Bench, START, seconds};

pub async fn a_job_is_stored_byte_for_byte(bench: Bench) {
    let args = r#"{"big":12345678901234567890123,"b":1.0,"a":1e400,"text":"\u0000 naïve 中文"}"#;
    let raw = serde_json::value::RawValue::from_string(args.to_owned()).unwrap();
    let mut job = NewJob::with_raw_args(bench.queue.clone(), "export.query".parse().unwrap(), raw);
    job.tenant = Some("acme".parse().unwrap());
    job.tags = vec!["monthly".into()];
    job.metadata.insert("request_id".into(), "r-1".into());
    job.timeout_ms = Some(90_000);
    let id = bench.add(job).await;

    let view = bench.view(&id).await;
    assert_eq!(view.args.unwrap().get(), args);
    assert_eq!(view.tenant.unwrap().as_str(), "acme");
    assert_eq!(view.tags, ["monthly"]);
    assert_eq!(view.metadata["request_id"], "r-1");
    assert_eq!(view.enqueued_at, Timestamp::from_millis(START));
    let spec = JobSpec::decode(&bench.claim_one().await.spec).unwrap();
    assert_eq!(spec.args.get(), args);
    assert_eq!(spec.timeout_ms, Some(90_000));
}

pub async fn an_id_is_made_when_none_is_given(bench: Bench) {
    let ids = bench.add_many(3).await;
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    assert_eq!(ids[0].as_str().len(), 36);
    assert_eq!(&ids[0].as_str()[14..15], "7", "a UUIDv7");
}

pub async fn the_same_id_twice_is_one_job(bench: Bench) {
    let mut job = bench.job(1);
    job.id = Some("order:42".parse().unwrap());
    let mut again = job.clone();
    again.metadata.insert("traceparent".into(), "another".into());
    let outcomes = bench.broker.enqueue(vec![job.clone(), again.clone()]).await.unwrap();
    let id = outcomes[0].id().unwrap().clone();
    assert_eq!(outcomes, [EnqueueOutcome::Enqueued(id.clone()), EnqueueOutcome::Existing(id.clone())]);
    assert_eq!(bench.enqueue(again.clone()).await, EnqueueOutcome::Existing(id.clone()));

    // Also while it runs and after its end: the id is known for as long as the job is kept.
    let claimed = bench.claim_one().await;
    assert_eq!(bench.enqueue(again.clone()).await, EnqueueOutcome::Existing(id.clone()));
    bench.complete(&claimed).await;
    assert_eq!(bench.enqueue(again).await, EnqueueOutcome::Existing(id.clone()));
    assert!(bench.claim(10).await.is_empty());
}

pub async fn the_same_id_with_other_content_is_refused_with_the_field(bench: Bench) {
    let mut job = bench.job(1);
    job.id = Some("order:42".parse().unwrap());
    let id = bench.add(job.clone()).await;
    let mut other = bench.job(2);
    other.id = job.id.clone();
    let conflict = |field| EnqueueOutcome::Refused(Refused::Conflict { id: id.clone(), field });
    assert_eq!(bench.enqueue(other).await, conflict("args"));
    let mut other = job.clone();
    other.kind = "export.query".parse().unwrap();
    assert_eq!(bench.enqueue(other).await, conflict("kind"));
    assert_eq!(bench.view(&id).await.args.unwrap().get(), r#"{"n":1}"#, "the first one stands");
}

pub async fn a_bad_job_does_not_hinder_the_others(bench: Bench) {
    let mut huge = bench.job(2);
    huge.args = serde_json::value::to_raw_value(&"x".repeat(MAX_PAYLOAD_BYTES)).unwrap();
    let mut twice = bench.job(3);
    twice.delay_ms = Some(1);
    twice.run_at = Some(Timestamp::from_millis(START));
    let outcomes = bench.broker.enqueue(vec![bench.job(1), huge, twice, bench.job(4)]).await.unwrap();
    let field = |outcome: &EnqueueOutcome| match outcome {
        EnqueueOutcome::Refused(Refused::Invalid(invalid)) => invalid.field.clone(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(outcomes[0], EnqueueOutcome::Enqueued(_)));
    assert_eq!(field(&outcomes[1]), "args");
    assert_eq!(field(&outcomes[2]), "run_at");
    assert!(matches!(outcomes[3], EnqueueOutcome::Enqueued(_)));
    assert_eq!(bench.claim(10).await.len(), 2);
}

pub async fn a_batch_over_the_limit_is_refused_whole(bench: Bench) {
    let jobs = (0..=MAX_BATCH as u64).map(|n| bench.job(n)).collect();
    let error = bench.broker.enqueue(jobs).await.unwrap_err();
    assert!(matches!(&error, BrokerError::Invalid(invalid) if invalid.field == "jobs"), "{error}");
    assert!(bench.claim(1).await.is_empty());
}

pub async fn a_batch_of_too_many_bytes_is_refused_whole(bench: Bench) {
    let mut job = bench.job(0);
    job.args = serde_json::value::to_raw_value(&"x".repeat(60_000)).unwrap();
    let jobs = vec![job; MAX_BATCH_BYTES / 60_000 + 1];
    let error = bench.broker.enqueue(jobs).await.unwrap_err();
    assert!(error.to_string().starts_with("jobs: has "), "{error}");
    assert!(bench.claim(1).await.is_empty());
}

pub async fn ten_thousand_jobs_go_in_with_one_call(bench: Bench) {
    let ids = bench.add_many(MAX_BATCH as u64).await;
    let counts = bench.broker.queue(&bench.queue).await.unwrap().counts;
    assert_eq!(counts.available, MAX_BATCH as u64);
    let first: Vec<_> = bench.claim(100).await.into_iter().map(|job| job.id).collect();
    assert_eq!(first, ids[..100], "in the order of the call");
}

pub async fn one_call_may_fill_several_queues(bench: Bench) {
    let mut other = bench.job(2);
    other.queue = "audit".parse().unwrap();
    let outcomes = bench.broker.enqueue(vec![bench.job(1), other, bench.job(3)]).await.unwrap();
    let claimed: Vec<_> = bench.claim(10).await.into_iter().map(|job| job.id).collect();
    assert_eq!(claimed, [outcomes[0].id().unwrap().clone(), outcomes[2].id().unwrap().clone()]);
    let audit = bench.broker.claim(&"audit".parse().unwrap(), &bench.worker, 10, seconds(30)).await.unwrap();
    assert_eq!(&audit.jobs[0].id, outcomes[1].id().unwrap());
}

pub async fn a_delay_makes_it_scheduled_and_a_past_instant_means_now(bench: Bench) {
    let mut later = bench.job(1);
    later.delay_ms = Some(1_500);
    let mut at = bench.job(2);
    at.run_at = Some(bench.clock.now().plus(seconds(2)));
    let mut past = bench.job(3);
    past.run_at = Some(Timestamp::from_millis(1));
    let (later, at, past) = (bench.add(later).await, bench.add(at).await, bench.add(past).await);

    assert_eq!(bench.state(&later).await, State::Scheduled);
    assert_eq!(bench.view(&later).await.due_at, Some(Timestamp::from_millis(START + 1_500)));
    assert_eq!(bench.state(&at).await, State::Scheduled);
    assert_eq!(bench.state(&past).await, State::Available);
    assert_eq!(bench.claim_one().await.id, past);

    bench.clock.advance(std::time::Duration::from_millis(1_499));
    assert!(bench.claim(10).await.is_empty(), "never early");
    bench.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(bench.claim_one().await.id, later);
    bench.clock.advance(std::time::Duration::from_millis(500));
    assert_eq!(bench.claim_one().await.id, at);
}
