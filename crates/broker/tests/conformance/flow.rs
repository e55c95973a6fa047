//! What readers see of flow control, and what is refused.

use lovage_broker::{BrokerError, EnqueueOutcome, Finish, LeaseStatus, NewPause};
use lovage_core::limits::MAX_SUBJECTS;
use lovage_core::{Limits, NewJob, OnConflict, Rate, Subject, Unique};

use crate::bench::{Bench, held, numbers_of, tenant_of};

fn slots(count: u32) -> Limits {
    Limits { concurrency: Some(count), ..Limits::default() }
}

pub async fn limits_are_shown_by_their_subjects(bench: Bench) {
    assert_eq!(bench.broker.flow(&bench.queue, None, 10).await.unwrap(), [], "an unknown queue has none");
    let rate = Limits { rate: Some(Rate { count: 5, per_ms: 60_000, burst: Some(9) }), ..slots(4) };
    for subject in ["tenant:b", "queue", "key:*", "tenant:*", "key:smtp"] {
        bench.limit(subject, rate).await;
    }
    bench.pause("kind:mail.send", None).await;
    let seen = async |after: Option<&str>, limit| {
        let after: Option<Subject> = after.map(|after| after.parse().unwrap());
        let views = bench.broker.flow(&bench.queue, after.as_ref(), limit).await.unwrap();
        views.into_iter().map(|view| view.subject.to_string()).collect::<Vec<_>>()
    };
    let all = ["key:*", "key:smtp", "kind:mail.send", "queue", "tenant:*", "tenant:b"];
    assert_eq!(seen(None, 100).await, all);
    assert_eq!(seen(None, 2).await, all[..2]);
    assert_eq!(seen(Some("key:smtp"), 3).await, all[2..5]);
    assert_eq!(seen(Some("tenant:a"), 3).await, all[5..], "also after one that is not there");
    let views = bench.broker.flow(&bench.queue, None, 100).await.unwrap();
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().flow, views);
    let listed = bench.broker.queues().await.unwrap();
    assert_eq!(listed.iter().find(|queue| queue.name == bench.queue).unwrap().flow, views);
    assert_eq!(views[1].limits, rate);
    let used: Vec<_> = views.iter().map(|view| view.used).collect();
    assert_eq!(used, [None, Some(0), None, Some(0), None, Some(0)]);
    let waiting: Vec<_> = views.iter().map(|view| view.waiting).collect();
    assert_eq!(waiting, [None, None, None, Some(0), None, Some(0)]);
    for subject in all {
        bench.limit(subject, Limits::default()).await;
    }
    assert_eq!(seen(None, 100).await, ["kind:mail.send"], "a pause stays when limits go");
}

pub async fn limits_that_make_no_sense_are_refused(bench: Bench) {
    let rate = |count, per_ms| Limits { rate: Some(Rate { count, per_ms, burst: None }), ..Limits::default() };
    for (subject, limits, field) in [
        ("kind:mail.send", slots(1), "concurrency"),
        ("queue", Limits { weight: Some(1), ..Limits::default() }, "weight"),
        ("tenant:a", Limits { weight: Some(0), ..Limits::default() }, "weight"),
        ("tenant:a", Limits { ordered: true, ..Limits::default() }, "ordered"),
        ("key:a", Limits { depth: Some(1), ..Limits::default() }, "depth"),
        ("key:a", rate(0, 1_000), "rate.count"),
        ("key:a", rate(1, 0), "rate.per_ms"),
    ] {
        let error = bench.broker.limit(&bench.queue, &subject.parse().unwrap(), &limits).await.unwrap_err();
        let BrokerError::Invalid(invalid) = error else { panic!("{error}") };
        assert_eq!(invalid.field, field, "{subject}");
    }
    assert_eq!(bench.broker.flow(&bench.queue, None, 10).await.unwrap(), []);
}

/// Row 19: what is kept of a queue is bounded.
pub async fn row_19_a_queue_has_a_bounded_number_of_subjects(bench: Bench) {
    let subject = |n: usize| format!("key:k{n}").parse::<Subject>().unwrap();
    let limits = slots(1);
    for chunk in (0..MAX_SUBJECTS).collect::<Vec<_>>().chunks(500) {
        let subjects: Vec<_> = chunk.iter().map(|n| subject(*n)).collect();
        let calls = subjects.iter().map(|subject| bench.broker.limit(&bench.queue, subject, &limits));
        futures::future::try_join_all(calls).await.unwrap();
    }
    let error = bench.broker.limit(&bench.queue, &subject(MAX_SUBJECTS), &slots(1)).await.unwrap_err();
    let BrokerError::Invalid(invalid) = error else { panic!("{error}") };
    assert_eq!(invalid.field, "subject");
    let pause = NewPause { by: "ada".into(), why: "a reason".into(), until: None };
    let paused = bench.broker.pause(&bench.queue, &"tenant:a".parse().unwrap(), &pause).await;
    assert!(matches!(paused, Err(BrokerError::Invalid(invalid)) if invalid.field == "subject"));
    bench.limit("key:k7", slots(2)).await;
    bench.limit("key:k8", Limits::default()).await;
    bench.limit("key:another", slots(1)).await;
}

/// Content that takes over a waiting job brings its own tenant and key.
pub async fn a_replaced_job_belongs_to_its_new_tenant_and_key(bench: Bench) {
    bench.slots("tenant:old", 0).await;
    bench.slots("tenant:new", 5).await;
    let job = |n, tenant: &str, key: &str| NewJob {
        key: Some(key.parse().unwrap()),
        unique: Some(Unique { on_conflict: OnConflict::Replace, ..Unique::key("daily") }),
        ..bench.job_of(n, tenant)
    };
    let id = bench.add(job(1, "old", "a")).await;
    assert!(bench.take(1).await.jobs.is_empty());
    bench.slots("key:b", 0).await;
    assert_eq!(bench.enqueue(job(2, "new", "b")).await, EnqueueOutcome::Replaced(id.clone()));
    let view = bench.view(&id).await;
    assert_eq!((view.tenant.unwrap().as_str(), view.key.unwrap().as_str()), ("new", "b"));
    let waiting = async |subject| bench.flow(subject).await.unwrap().waiting;
    assert_eq!((waiting("tenant:old").await, waiting("tenant:new").await), (Some(0), Some(1)));
    assert!(bench.take(1).await.jobs.is_empty());
    assert_eq!(bench.enqueue(job(3, "new", "c")).await, EnqueueOutcome::Replaced(id.clone()));
    let jobs = bench.take(1).await.jobs;
    assert_eq!((numbers_of(&jobs), tenant_of(&jobs[0])), (vec![3], "new".to_owned()));
    assert_eq!(bench.used("tenant:new").await, 1);
    assert_eq!(bench.complete(&jobs[0]).await, LeaseStatus::Held);
    assert_eq!(bench.used("tenant:new").await, 0);
}

/// Two jobs that are the same but for their key are not the same.
pub async fn the_same_id_with_another_key_is_a_conflict(bench: Bench) {
    let job = |key: &str| NewJob { id: Some("one".parse().unwrap()), ..bench.job_with_key(1, key) };
    bench.add(job("a")).await;
    assert_eq!(bench.enqueue(job("a")).await, EnqueueOutcome::Existing("one".parse().unwrap()));
    let outcome = bench.enqueue(job("b")).await;
    assert!(matches!(&outcome, EnqueueOutcome::Refused(refused) if refused.to_string().contains("key")), "{outcome:?}");
}

/// The answer to a finish may be lost, and the call repeated while the slot is somebody else's already.
pub async fn a_repeated_finish_frees_no_slot_twice(bench: Bench) {
    bench.slots("key:smtp", 1).await;
    bench.add_all((0..3).map(|n| bench.job_with_key(n, "smtp"))).await;
    let first = bench.take(3).await.jobs;
    let done =
        || vec![Finish { lease: held(&first[0]), transition: lovage_core::Transition::Complete { result: None } }];
    bench.broker.finish(&bench.queue, &bench.worker, done()).await.unwrap();
    assert_eq!(numbers_of(&bench.take(3).await.jobs), [1]);
    let again = bench.broker.finish(&bench.queue, &bench.worker, done()).await.unwrap();
    assert_eq!(again, [LeaseStatus::Held]);
    assert!(bench.take(3).await.jobs.is_empty());
    assert_eq!(bench.used("key:smtp").await, 1);
}
