//! Writing pages, and reading jobs back.

use lovage_core::history::{AttemptRecord, JobRecord, Outcome};
use lovage_core::{
    DiscardReason, ErrorClass, JobId, JobView, PastError, Priority, Progress, RetryPolicy, State, Timestamp,
};
use lovage_ledger::{Ledger, LedgerError, Page, Position, Recorded, migrate};

use crate::jobs::{NOON, alone, at, attempt, done, error, exports, failed, found, job, name, raw, read, write};
use crate::place::{Place, places};

const TAGS: [&str; 6] = ["plain", "say \"so\"", "back\\slash", "a,b", "{c}", "NULL"];

/// A job that has every field.
fn full() -> JobRecord {
    let attempts = vec![
        AttemptRecord {
            attempt: 1,
            worker: Some(name("w1")),
            version: Some("1.2.0".into()),
            started_at: Some(at(NOON + 10)),
            ended_at: Some(at(NOON + 20)),
            outcome: Some(Outcome::Retryable),
            error: Some(error(NOON + 20, "first\nof two")),
        },
        AttemptRecord { attempt: 2, worker: Some(name("w2")), started_at: Some(at(NOON + 30)), ..attempt(2) },
    ];
    let past = PastError {
        attempt: 1,
        at: at(NOON + 20),
        worker: Some(name("w1")),
        class: ErrorClass::Failed,
        message: "first\nof two".into(),
    };
    let retry = RetryPolicy { max_attempts: 7, base_ms: 10, factor: 1.5, cap_ms: 99 };
    let job = JobView {
        state: State::Discarded,
        args: Some(raw(r#"{"z": 123456789012345678901234567890, "a": [1.50, "\u0000", "ü"], "m":9007199254740993}"#)),
        priority: Priority::try_from(2).unwrap(),
        tenant: Some(name("acme")),
        key: Some(name("account:7")),
        tags: TAGS.map(str::to_owned).to_vec(),
        metadata: [("request_id".to_owned(), "r'1\"\u{0}".to_owned())].into(),
        attempt: 2,
        failed: 1,
        max_attempts: Some(7),
        retry: Some(retry),
        timeout_ms: Some(5_000),
        lost: 1,
        since: at(NOON + 40),
        due_at: Some(at(NOON + 50)),
        expires_at: Some(at(NOON + 60)),
        started_at: Some(at(NOON + 30)),
        worker: Some(name("w2")),
        reason: Some(DiscardReason::AttemptsExhausted),
        progress: Some(Progress { done: 3, total: Some(9), unit: "rows".into(), ..Progress::default() }),
        result: Some(raw(r#"{"b": 1, "a": 18446744073709551615}"#)),
        errors: vec![past],
        ..job("full")
    };
    JobRecord { job, attempts, gone_at: Some(at(NOON + 70)) }
}

#[tokio::test]
async fn a_job_is_read_back_as_it_was() {
    for place in places().await {
        let ledger = place.ledger().await;
        let unreadable = alone(JobView { kind: None, args: None, ..job("unreadable") });
        let recorded = write(&ledger, &[full(), unreadable.clone()]).await;
        assert_eq!(recorded, Recorded { jobs: 2, failures: 1 });
        let back = read(&ledger, "full").await;
        assert_eq!(format!("{back:#?}"), format!("{:#?}", full()), "{place:?}");
        assert_eq!(format!("{:?}", read(&ledger, "unreadable").await), format!("{unreadable:?}"));
        // What only the queue knows is not kept.
        let leased = JobView { lease_until: Some(at(NOON)), cancel_requested: true, ..job("leased") };
        write(&ledger, &[alone(leased)]).await;
        assert_eq!(format!("{:?}", read(&ledger, "leased").await), format!("{:?}", alone(job("leased"))));
        assert!(ledger.job_record(None, &name("nobody")).await.unwrap().is_none());
        assert!(ledger.job_record(Some(&name("other")), &name("full")).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_text_that_a_database_cannot_hold_is_kept_with_marks() {
    for place in places().await {
        let ledger = place.ledger().await;
        let attempts = vec![failed(1, "1\0", error(NOON, "a\0b"))];
        write(&ledger, &[JobRecord { attempts, ..alone(job("a")) }]).await;
        let back = read(&ledger, "a").await;
        assert_eq!(back.job.errors[0].message, "a\u{fffd}b", "{place:?}");
        assert_eq!(back.attempts[0].version.as_deref(), Some("1\u{fffd}"));
    }
}

/// A job's life in looks from the first to the last, each with what was seen of its attempts by then.
fn life(id: &str) -> Vec<JobRecord> {
    let look = |state, since, number, worker: Option<&str>| JobView {
        state,
        since: at(NOON + since),
        attempt: number,
        worker: worker.map(name),
        tags: vec![format!("look{since}")],
        ..job(id)
    };
    let worker = |text: &str| Some(name(text));
    let first = AttemptRecord { worker: worker("w1"), started_at: Some(at(NOON + 10)), ..attempt(1) };
    let second = AttemptRecord { worker: worker("w2"), started_at: Some(at(NOON + 30)), ..attempt(2) };
    let end = AttemptRecord { ended_at: Some(at(NOON + 40)), outcome: Some(Outcome::Discarded), ..attempt(2) };
    vec![
        JobRecord { attempts: vec![first], ..alone(look(State::Running, 10, 1, Some("w1"))) },
        JobRecord {
            attempts: vec![failed(1, "1.0", error(NOON + 20, "first refused"))],
            ..alone(look(State::Retryable, 20, 1, Some("w1")))
        },
        JobRecord { attempts: vec![second], ..alone(look(State::Running, 30, 2, Some("w2"))) },
        JobRecord {
            attempts: vec![AttemptRecord { error: Some(error(NOON + 40, "second timeout")), ..end }],
            ..alone(look(State::Discarded, 40, 2, Some("w2")))
        },
    ]
}

fn orders(number: usize) -> Vec<Vec<usize>> {
    if number == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(number - 1);
    let longer = |order: &Vec<usize>| {
        let order = order.clone();
        (0..number).map(move |at| {
            let mut order = order.clone();
            order.insert(at, number - 1);
            order
        })
    };
    shorter.iter().flat_map(longer).collect()
}

#[tokio::test]
async fn looks_in_any_order_and_again_end_the_same() {
    for place in places().await {
        let ledger = place.ledger().await;
        let mut ends: Vec<String> = Vec::new();
        let orders = orders(4);
        assert_eq!(orders.len(), 24);
        for (number, order) in orders.iter().enumerate() {
            let id = format!("job{number:02}");
            let life = life(&id);
            for look in order.iter().chain(order) {
                write(&ledger, std::slice::from_ref(&life[*look])).await;
            }
            ends.push(format!("{:#?}", read(&ledger, &id).await).replace(&id, "job"));
            assert_eq!(ends[0], ends[number], "{place:?} {order:?}");
        }
        let record = read(&ledger, "job00").await;
        assert_eq!((record.job.state, record.attempts.len()), (State::Discarded, 2));
        let attempt = |worker, started, ended, outcome| AttemptRecord {
            worker: Some(name(worker)),
            started_at: Some(at(NOON + started)),
            ended_at: Some(at(NOON + ended)),
            outcome: Some(outcome),
            ..attempt(0)
        };
        let errors = [error(NOON + 20, "first refused"), error(NOON + 40, "second timeout")];
        let first =
            AttemptRecord { attempt: 1, version: Some("1.0".into()), ..attempt("w1", 10, 20, Outcome::Retryable) };
        assert_eq!(record.attempts[0], AttemptRecord { error: Some(errors[0].clone()), ..first });
        let second = AttemptRecord { attempt: 2, ..attempt("w2", 30, 40, Outcome::Discarded) };
        assert_eq!(record.attempts[1], AttemptRecord { error: Some(errors[1].clone()), ..second });
        for text in ["worker:w1", "worker:w2", "error:refused", "error:timeout", "tag:look40 state:discarded"] {
            assert_eq!(found(&ledger, text).await.len(), 24, "{place:?} {text}");
        }
        assert_eq!(found(&ledger, "tag:look10,look20,look30").await, [""; 0], "what was is not what it is");
        let failures = ledger.failures(&lovage_ledger::FailureQuery { limit: 10, ..Default::default() }).await.unwrap();
        assert_eq!(failures.iter().map(|group| group.count).collect::<Vec<_>>(), [24, 24]);
    }
}

#[tokio::test]
async fn a_page_again_changes_nothing_and_says_so() {
    for place in places().await {
        let ledger = place.ledger().await;
        let page = [life("a").remove(3), full(), alone(job("b"))];
        assert_eq!(write(&ledger, &page).await, Recorded { jobs: 3, failures: 2 });
        let before = format!("{:?}", (read(&ledger, "a").await, read(&ledger, "full").await));
        assert_eq!(write(&ledger, &page).await, Recorded::default(), "{place:?}");
        assert_eq!(format!("{:?}", (read(&ledger, "a").await, read(&ledger, "full").await)), before);
        // What was edited since it came into its state is a change, and so is its end.
        let edited = JobView { tags: vec!["new".into()], ..job("b") };
        assert_eq!(write(&ledger, &[alone(edited.clone())]).await.jobs, 1);
        let gone = JobRecord { gone_at: Some(at(NOON + 5)), ..alone(edited) };
        assert_eq!(write(&ledger, std::slice::from_ref(&gone)).await.jobs, 1);
        assert_eq!(format!("{:?}", read(&ledger, "b").await), format!("{gone:?}"));
    }
}

#[tokio::test]
async fn looks_at_one_job_in_one_page_come_together() {
    for place in places().await {
        let ledger = place.ledger().await;
        write(&ledger, &life("pages")[0..1]).await;
        for look in &life("pages")[1..] {
            write(&ledger, std::slice::from_ref(look)).await;
        }
        let expected = format!("{:#?}", read(&ledger, "pages").await).replace("pages", "one");
        let mut page = life("one");
        page.reverse();
        assert_eq!(write(&ledger, &page).await, Recorded { jobs: 1, failures: 2 });
        assert_eq!(format!("{:#?}", read(&ledger, "one").await), expected, "{place:?}");
        assert_eq!(found(&ledger, "id:one worker:w1 worker:w2 error:refused").await, ["one"]);
    }
}

/// What events tell of an attempt's end is more than what a look supposes of it.
#[tokio::test]
async fn what_an_event_told_of_an_attempt_stays_when_a_look_supposes_less() {
    for place in places().await {
        let ledger = place.ledger().await;
        let told = AttemptRecord { outcome: Some(Outcome::Discarded), ..failed(1, "1.0", error(NOON + 20, "refused")) };
        let supposed = AttemptRecord { outcome: Some(Outcome::Retryable), version: None, ..told.clone() };
        for (id, order) in [("a", [&told, &supposed]), ("b", [&supposed, &told])] {
            for seen in order {
                write(&ledger, &[JobRecord { attempts: vec![seen.clone()], ..alone(job(id)) }]).await;
            }
            assert_eq!(read(&ledger, id).await.attempts, std::slice::from_ref(&told), "{place:?} {id}");
        }
    }
}

async fn page(
    ledger: &Ledger,
    term: u64,
    position: Option<(&str, bool)>,
    jobs: &[JobRecord],
) -> Result<Recorded, LedgerError> {
    let position = position.map(|(cursor, healing)| Position { cursor: Some(cursor.into()), healing });
    ledger.record(&Page { queue: &exports(), term, position: position.as_ref(), jobs }).await
}

#[tokio::test]
async fn who_is_deposed_writes_nothing() {
    for place in places().await {
        let ledger = place.ledger().await;
        let position = async || ledger.position(&exports()).await.unwrap();
        assert_eq!(position().await, None);
        page(&ledger, 3, None, &[]).await.unwrap();
        assert_eq!(position().await, Some(Position { cursor: None, healing: true }), "nothing was read yet");
        page(&ledger, 3, Some(("7-0", true)), &[]).await.unwrap();
        let healing = Some(Position { cursor: Some("7-0".into()), healing: true });
        assert_eq!(position().await, healing);
        page(&ledger, 5, None, &[alone(job("a"))]).await.unwrap();
        assert_eq!(position().await, healing, "a page without a position leaves it as it is");
        let late = [life("b").remove(3)];
        let refused = page(&ledger, 4, Some(("9-0", false)), &late).await.unwrap_err();
        assert!(matches!(&refused, LedgerError::Deposed), "{refused}");
        assert_eq!(position().await, healing);
        assert!(ledger.job_record(None, &name("b")).await.unwrap().is_none());
        assert!(
            ledger.failures(&lovage_ledger::FailureQuery { limit: 9, ..Default::default() }).await.unwrap().is_empty()
        );
        page(&ledger, 5, Some(("8-0", false)), &late).await.unwrap();
        assert_eq!(position().await, Some(Position { cursor: Some("8-0".into()), healing: false }));
        // Another queue has another leader.
        assert_eq!(ledger.position(&name("mail")).await.unwrap(), None);
        ledger.record(&Page { queue: &name("mail"), term: 1, position: None, jobs: &[] }).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_a_result_names_is_kept_and_what_names_none_is_not() {
    for place in places().await {
        let ledger = place.ledger().await;
        let sha = "ab".repeat(32);
        let file = format!(
            r#"{{"key": "exports/a/1", "name": "it's.csv", "bytes": 12, "rows": 3, "sha256": "{sha}", "attempt": 2, "more": 1}}"#
        );
        let chunked = format!(r#"{{"key":"m","name":"n","bytes":5,"sha256":"{sha}","attempt":1,"files":4}}"#);
        let results = [
            ("file", file),
            ("chunked", chunked),
            ("none", r#"{"rows": 3}"#.to_owned()),
            ("text", r#""sha256""#.to_owned()),
            ("other", r#"{"sha256": 7}"#.to_owned()),
            ("nul", format!(r#"{{"key":"\u0000","name":"n","bytes":5,"sha256":"{sha}","attempt":1}}"#)),
        ];
        let page: Vec<JobRecord> = results
            .iter()
            .map(|(id, result)| alone(JobView { result: Some(raw(result)), state: State::Completed, ..job(id) }))
            .collect();
        for _ in 0..2 {
            write(&ledger, &page).await;
        }
        let select =
            "SELECT id || '|' || object_key || '|' || job_artifacts.attempt || '|' || name || '|' || files || '|'
                          || coalesce(CAST(rows AS text), '-') || '|' || bytes || '|' || sha256
                      FROM job_artifacts JOIN jobs USING (enqueued_at, key) ORDER BY id";
        let expected = [format!("chunked|m|1|n|4|-|5|{sha}"), format!("file|exports/a/1|2|it's.csv|1|3|12|{sha}")];
        assert_eq!(place.texts(select).await, expected, "{place:?}");
    }
}

#[tokio::test]
async fn of_an_id_that_was_used_again_the_latest_job_is_known() {
    for place in places().await {
        let ledger = place.ledger().await;
        let later = |id: &str, hours: u64| JobView { enqueued_at: at(NOON + hours * 3_600_000), ..job(id) };
        let elsewhere = JobView { queue: name("mail"), ..later("a", 9) };
        write(&ledger, &[alone(later("a", 2)), alone(later("a", 0)), alone(later("a", 1)), alone(job("b"))]).await;
        write(&ledger, &[alone(elsewhere)]).await;
        let asked: Vec<JobId> = ["a", "b", "c"].map(name).to_vec();
        let mut known = ledger.known_jobs(&exports(), &asked).await.unwrap();
        known.sort_by(|a, b| a.id.cmp(&b.id));
        let known: Vec<(&str, Timestamp)> = known.iter().map(|job| (job.id.as_str(), job.enqueued_at)).collect();
        assert_eq!(known, [("a", at(NOON + 2 * 3_600_000)), ("b", at(NOON))], "{place:?}");
        assert!(ledger.known_jobs(&exports(), &[]).await.unwrap().is_empty());
        let of = async |queue: Option<&str>| {
            let queue = queue.map(name);
            ledger.job_record(queue.as_ref(), &name("a")).await.unwrap().unwrap().job
        };
        assert_eq!(of(None).await.queue.as_str(), "mail");
        assert_eq!(of(Some("exports")).await.enqueued_at, at(NOON + 2 * 3_600_000));
    }
}

#[tokio::test]
async fn what_has_not_ended_is_read_page_by_page() {
    for place in places().await {
        let ledger = place.ledger().await;
        let mut page: Vec<JobRecord> = (0..11_u64)
            .map(|number| {
                // Some in the same millisecond.
                let enqueued_at = at(NOON + number / 3);
                let open = [State::Scheduled, State::Available, State::Running, State::Retryable];
                alone(JobView { enqueued_at, state: open[number as usize % 4], ..job(&format!("open{number:02}")) })
            })
            .collect();
        page.push(JobRecord { gone_at: Some(at(NOON)), ..alone(job("gone")) });
        page.extend((0..3).map(|number| done(&format!("done{number}"), NOON + number)));
        write(&ledger, &page).await;
        write(&ledger, &[alone(JobView { queue: name("mail"), ..job("elsewhere") })]).await;
        for limit in [1, 4, 11, 100] {
            let (mut seen, mut after): (Vec<JobView>, Option<JobView>) = (Vec::new(), None);
            loop {
                let next = ledger.unfinished(&exports(), after.as_ref(), limit).await.unwrap();
                assert!(next.len() <= limit as usize);
                seen.extend(next.iter().cloned());
                after = next.last().cloned();
                if after.is_none() {
                    break;
                }
            }
            assert!(seen.is_sorted_by_key(|job| job.enqueued_at), "{place:?}");
            let mut ids: Vec<&str> = seen.iter().map(|job| job.id.as_str()).collect();
            ids.sort_unstable();
            assert_eq!(ids, (0..11).map(|number| format!("open{number:02}")).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn what_the_database_refuses_is_refused_and_leaves_nothing() {
    for place in places().await {
        let ledger = place.ledger().await;
        let trigger = if place.is_postgres() {
            "CREATE FUNCTION refuse_job() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON job_failures FOR EACH ROW EXECUTE FUNCTION refuse_job()"
        } else {
            "CREATE TRIGGER refuse BEFORE INSERT ON job_failures BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        };
        place.tamper(trigger).await;
        let refused = page(&ledger, 1, Some(("1-0", false)), &life("a")).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Refused(_)), "{place:?} {refused:?}");
        assert!(ledger.job_record(None, &name("a")).await.unwrap().is_none());
        assert_eq!(ledger.position(&exports()).await.unwrap(), None);
    }
}

/// A ledger of the first release of the schema, in which there is an audit trail.
#[tokio::test]
async fn the_history_comes_to_a_ledger_that_has_an_audit_trail() {
    let sql = [
        include_str!("../../../../migrations/postgres/0001_audit.sql"),
        include_str!("../../../../migrations/sqlite/0001_audit.sql"),
    ];
    for place in Place::all() {
        place.apply(1, "audit", sql).await;
        let told = migrate_is_pending(&place).await;
        assert!(told.contains("pending migrations (next: 0002_history)"), "{told}");
        // Has it be opened for a moment as if it had all.
        let columns = "description, success, checksum, execution_time";
        for version in 2..=4 {
            let sql = format!(
                "INSERT INTO migrations (version, {columns}) SELECT {version}, {columns} FROM migrations WHERE version = 1"
            );
            place.tamper(&sql).await;
        }
        let ledger = place.ledger().await;
        let event = |number: u128| {
            let text = format!(r#"{{"actor":"user:{number}","action":"order.refund"}}"#);
            let draft: lovage_core::audit::EventDraft = serde_json::from_str(&text).unwrap();
            draft.complete(uuid::Uuid::from_u128(number), at(NOON)).unwrap()
        };
        ledger.append(&[event(1), event(2)]).await.unwrap();
        ledger.close().await;
        place.tamper("DELETE FROM migrations WHERE version > 1").await;
        let applied: Vec<i64> = migrate(&place.address).await.unwrap().iter().map(|step| step.version).collect();
        assert_eq!(applied, [2, 3, 4], "{place:?}");
        let ledger = place.ledger().await;
        ledger.append(&[event(3)]).await.unwrap();
        let chain = ledger.chains(None, 1).await.unwrap().remove(0);
        let verified = ledger.verify(&chain, Vec::new()).await.unwrap();
        assert_eq!((verified.records, verified.finding), (3, None));
        write(&ledger, &[full()]).await;
        assert_eq!(read(&ledger, "full").await.job.tags, TAGS);
    }
}

async fn migrate_is_pending(place: &Place) -> String {
    Ledger::open(&place.address).await.unwrap_err().to_string()
}
