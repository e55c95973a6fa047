//! A model-based random test: commands drawn at random go to an in-memory model, to Redis and to SQLite, and after
//! each step all three must tell the same story: the command's answer, every job, the line, the counts.
//!
//! The model is the contract in its plainest form: a map of jobs, a map of locks, and
//! [`lovage_core::transition`] for every change of state. What the suite in `tests/conformance` checks by example,
//! this checks for the sequences that nobody thought of. Which jobs a claim gives out among those that may start is a
//! broker's own choice, so a claim is not foretold but judged, and each broker has a model of its own.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod command;
mod driver;
mod gates;
mod reference;

use proptest::prelude::*;
use proptest::test_runner::Config;

use command::{Command, commands};

proptest! {
    #![proptest_config(Config { cases: 48, max_shrink_iters: 400, ..Config::default() })]

    #[test]
    fn model_redis_and_sqlite_agree_after_each_step(commands in commands(60)) {
        run(&commands);
    }
}

/// A sequence that once made the three disagree, kept as an example.
#[test]
fn a_cancelled_job_that_fails_does_not_come_back() {
    use command::{End, Enqueue, Operation};
    run(&[
        Command::Enqueue(Enqueue::plain(0)),
        Command::Claim(1),
        Command::Operate(Operation::Cancel, 0),
        Command::Finish(0, End::Retry(100)),
        Command::Advance(200),
        Command::Claim(1),
    ]);
}

/// The claim that finds the worker lost frees the slot, and must give it out.
#[test]
fn a_slot_that_a_claim_frees_is_given_out_by_it() {
    use command::{Belongs, Enqueue, Limit, Limited, Operation};
    let of_tenant = |id| Enqueue { belongs: Belongs { tenant: Some(1), ..Belongs::default() }, ..Enqueue::plain(id) };
    run(&[
        Command::Limit(Limited::AnyTenant, Limit::Slots(1)),
        Command::Enqueue(of_tenant(1)),
        Command::Enqueue(of_tenant(3)),
        Command::Claim(1),
        Command::Operate(Operation::Cancel, 1),
        Command::Claim(1),
        Command::Advance(30_000),
        Command::Claim(1),
    ]);
}

/// More tenants than a claim asks for, and all of them held back: there is nothing to come back for at once.
#[test]
fn a_crowd_of_tenants_that_wait_is_told_from_one_that_may_go_on() {
    use command::{Belongs, Enqueue, Paused};
    let of = |id, tenant| Enqueue { belongs: Belongs { tenant, ..Belongs::default() }, ..Enqueue::plain(id) };
    run(&[
        Command::Enqueue(of(6, None)),
        Command::Enqueue(of(0, Some(0))),
        Command::Enqueue(of(1, Some(1))),
        Command::Pause(Paused::Kind(0), None),
        Command::Claim(1),
    ]);
}

/// The least urgent job of a tenant, and of those without one, while urgent ones keep coming.
#[test]
fn the_oldest_job_has_its_turn() {
    use command::{Belongs, End, Enqueue, Operation};
    for tenant in [None, Some(1)] {
        let job = |id, priority| {
            let belongs = Belongs { kind: 1, tenant, key: None };
            Command::Enqueue(Enqueue { priority, belongs, ..Enqueue::plain(id) })
        };
        let mut commands = vec![job(0, 9), job(1, 0), job(2, 0)];
        for round in 0..4 {
            let id = 1 + round % 3;
            commands.extend([Command::Claim(1), Command::Finish(round, End::Complete)]);
            commands.extend([
                Command::Operate(Operation::Delete, id),
                job(id, 0),
                Command::Claim(2),
                job(4 + round, 0),
            ]);
        }
        run(&commands);
    }
}

/// Whoever waits for a subject need not come back for it when its last job has expired.
#[test]
fn nothing_is_left_to_wait_for_when_what_was_held_back_is_gone() {
    use command::{Enqueue, Paused};
    run(&[
        Command::Enqueue(Enqueue { expires_in_ms: Some(1), ..Enqueue::plain(0) }),
        Command::Pause(Paused::Kind(0), None),
        Command::Claim(1),
        Command::Advance(1),
        Command::Claim(1),
    ]);
}

/// The claim that discards the holder of an ordered key as expired gives out the next one.
#[test]
fn a_key_that_a_claim_frees_is_given_out_by_it() {
    use command::{Belongs, End, Enqueue};
    let with_key = |id| Enqueue { belongs: Belongs { key: Some(1), ..Belongs::default() }, ..Enqueue::plain(id) };
    run(&[
        Command::Enqueue(Enqueue { expires_in_ms: Some(500), ..with_key(0) }),
        Command::Claim(1),
        Command::Advance(500),
        Command::Enqueue(with_key(1)),
        Command::Claim(1),
        Command::Finish(0, End::Retry(1)),
        Command::Claim(1),
    ]);
}

fn run(commands: &[Command]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(driver::run(commands));
}
