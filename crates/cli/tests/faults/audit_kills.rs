//! The audit trail while everything around it is killed: committed means committed, once, and the chain has no gap.

use lovage_core::audit::EventDraft;
use lovage_ledger::{Ledger, LedgerAddress, migrate};
use lovage_payloads::AuditWrite;
use lovage_testkit::{PostgresServer, Process, RedisServer, Signal};

use crate::postgres::{crash, durable};
use crate::stage::{PATIENCE, Stage};

const EVENTS: u64 = 6_000;
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// Rows 01 and 16: worker, PostgreSQL and Redis are killed with SIGKILL in turns while 6,000 events go through the queue.
#[tokio::test]
async fn row_01_kill_9_of_worker_redis_and_postgres_loses_and_doubles_no_event() {
    let mut stage = Stage::with(RedisServer::start_with(&["--appendonly", "yes"])).await;
    let postgres = PostgresServer::start();
    let options = durable(&postgres).await;
    let address: LedgerAddress = postgres.url().parse().expect("an address");
    migrate(&address).await.expect("the ledger is made");
    enqueue(&stage).await;

    let mut worker = start(&stage, &postgres);
    for round in 1..=6 {
        // What waits for its retry after an outage is due soon, so there is always something to wait for.
        let done = EVENTS * round / 8;
        stage.until_counts("some are written", |counts| counts.completed >= done).await;
        match round % 3 {
            0 => {
                stage.server.kill9();
                stage.server.restart();
            }
            1 => {
                worker.signal(Signal::Kill);
                worker.ended(PATIENCE).await;
                worker = start(&stage, &postgres);
            }
            _ => crash(&options, "audit_events").await,
        }
    }
    stage.until_counts("all are written", |counts| counts.completed == EVENTS).await;

    let ledger = Ledger::open(&address).await.expect("the ledger opens");
    let mut records = 0;
    for tenant in TENANTS {
        let chain = ledger.chain(tenant).await.expect("it answers").expect("it has a chain");
        let verified = ledger.verify(&chain, Vec::new()).await.expect("it answers");
        assert_eq!(verified.finding, None, "{tenant}");
        records += verified.records;
    }
    // An id is unique in its tenant, so as many records as events are all of them, once.
    assert_eq!(records, EVENTS);
}

async fn enqueue(stage: &Stage) {
    for first in (0..EVENTS).step_by(1_000) {
        let jobs = (first..first + 1_000).map(|number| {
            let tenant = TENANTS[number as usize % TENANTS.len()];
            let draft = EventDraft {
                tenant: tenant.parse().ok(),
                target: Some(format!("order:{number}")),
                ..EventDraft::new("user:1", "order.edit")
            };
            AuditWrite(draft).into_job(stage.queue.clone()).expect("a job")
        });
        stage.broker.enqueue(jobs.collect()).await.expect("enqueue answers");
    }
}

fn start(stage: &Stage, postgres: &PostgresServer) -> Process {
    let mut command = stage.worker(20);
    command.env("LOVAGE_LEDGER__URL", postgres.url());
    stage.start(command, "auditor")
}
