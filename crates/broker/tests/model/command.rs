//! What the random test may do.

use lovage_core::{Hold, OnConflict, Priority};
use proptest::prelude::*;

/// Ids are drawn from few, so that they meet again.
pub const IDS: usize = 10;

/// One step.
#[derive(Debug, Clone)]
pub enum Command {
    Enqueue(Enqueue),
    Claim(usize),
    /// Ends the n-th lease ever given (modulo their number), also if it is long over.
    Finish(usize, End),
    Renew(usize),
    Advance(u64),
    Sweep,
    Operate(Operation, usize),
    EditPriority(usize, u8),
    /// Looks at a job, to delete it later.
    Look(usize),
    /// Deletes the job that was looked at last, if it is still like that.
    DeleteSeen,
    Pause(Paused, Option<u64>),
    Resume(Paused),
    Limit(Limited, Limit),
}

/// What is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    Queue,
    Kind(u8),
    Tenant(u8),
}

/// What is limited. The key 1 is ordered from the start, and stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limited {
    Queue,
    Tenant(u8),
    AnyTenant,
    Key(u8),
    AnyKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Nothing,
    Slots(u32),
    /// Two attempts a second.
    Rate,
    Ordered,
}

#[derive(Debug, Clone)]
pub struct Enqueue {
    pub id: usize,
    pub args: u8,
    pub delay_ms: u64,
    pub priority: u8,
    pub expires_in_ms: Option<u64>,
    pub unique: Option<(u8, OnConflict, Hold)>,
    /// Whether it debounces, as far as it may; then others put it off by no more than this.
    pub max_wait_ms: Option<u64>,
    pub belongs: Belongs,
}

/// What a job is counted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Belongs {
    pub kind: u8,
    pub tenant: Option<u8>,
    pub key: Option<u8>,
}

impl Enqueue {
    pub fn plain(id: usize) -> Self {
        Self {
            id,
            args: 0,
            delay_ms: 0,
            priority: 5,
            expires_in_ms: None,
            unique: None,
            max_wait_ms: None,
            belongs: Belongs::default(),
        }
    }

    pub fn priority(&self) -> Priority {
        Priority::try_from(i64::from(self.priority)).expect("a valid level")
    }
}

#[derive(Debug, Clone, Copy)]
pub enum End {
    Complete,
    Retry(u64),
    Release(u64),
    Discard,
    Cancel,
}

#[derive(Debug, Clone, Copy)]
pub enum Operation {
    Cancel,
    Retry,
    Discard,
    Delete,
}

/// Times are drawn from few, too: ties and exact deadlines are where things break.
fn moment() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![1, 100, 500, 1_000, 29_999, 30_000, 30_001])
}

fn enqueue() -> impl Strategy<Value = Enqueue> {
    let conflict = prop::sample::select(vec![OnConflict::Return, OnConflict::Reject, OnConflict::Replace]);
    let hold = prop::sample::select(vec![Hold::Finished, Hold::Ttl]);
    (
        0..IDS,
        0..2u8,
        prop_oneof![3 => Just(0), 1 => moment()],
        prop::sample::select(vec![5u8, 5, 0, 9]),
        prop::option::weighted(0.2, moment()),
        prop::option::weighted(0.3, (0..2u8, conflict, hold)),
        prop::option::of(prop::sample::select(vec![1_000u64, 10_000])),
        belongs(),
    )
        .prop_map(|(id, args, delay_ms, priority, expires_in_ms, unique, max_wait, belongs)| Enqueue {
            max_wait_ms: max_wait.filter(|wait| {
                let replaces = unique.is_some_and(|(_, conflict, _)| conflict == OnConflict::Replace);
                replaces && expires_in_ms.is_none() && (1..=*wait).contains(&delay_ms)
            }),
            id,
            args,
            delay_ms,
            priority,
            expires_in_ms,
            unique,
            belongs,
        })
}

fn belongs() -> impl Strategy<Value = Belongs> {
    (0..2u8, prop::option::of(0..2u8), prop::option::of(0..3u8)).prop_map(|(kind, tenant, key)| Belongs {
        kind,
        tenant,
        key,
    })
}

fn paused() -> impl Strategy<Value = Paused> {
    prop::sample::select(vec![Paused::Queue, Paused::Kind(0), Paused::Tenant(0)])
}

fn limit() -> impl Strategy<Value = Command> {
    let slots = || (0..3u32).prop_map(Limit::Slots);
    let limits = || prop_oneof![2 => Just(Limit::Nothing), 3 => slots()];
    prop_oneof![
        (Just(Limited::Queue), prop_oneof![limits(), Just(Limit::Rate)]),
        (Just(Limited::Tenant(0)), limits()),
        (Just(Limited::AnyTenant), limits()),
        (Just(Limited::Key(0)), prop_oneof![limits(), Just(Limit::Rate)]),
        (Just(Limited::AnyKey), limits()),
    ]
    .prop_map(|(subject, limit)| Command::Limit(subject, limit))
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Complete),
        moment().prop_map(End::Retry),
        Just(End::Retry(0)),
        Just(End::Release(0)),
        moment().prop_map(End::Release),
        Just(End::Discard),
        Just(End::Cancel),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let operation =
        prop::sample::select(vec![Operation::Cancel, Operation::Retry, Operation::Discard, Operation::Delete]);
    prop_oneof![
        6 => enqueue().prop_map(Command::Enqueue),
        5 => (1..4usize).prop_map(Command::Claim),
        5 => (0..64usize, end()).prop_map(|(lease, end)| Command::Finish(lease, end)),
        2 => (0..64usize).prop_map(Command::Renew),
        4 => moment().prop_map(Command::Advance),
        2 => Just(Command::Sweep),
        4 => (operation, 0..IDS).prop_map(|(operation, id)| Command::Operate(operation, id)),
        1 => (0..IDS, prop::sample::select(vec![0u8, 5, 9])).prop_map(|(id, level)| Command::EditPriority(id, level)),
        2 => (0..IDS).prop_map(Command::Look),
        2 => Just(Command::DeleteSeen),
        1 => (paused(), prop::option::of(moment())).prop_map(|(subject, until)| Command::Pause(subject, until)),
        1 => paused().prop_map(Command::Resume),
        2 => limit(),
    ]
}

/// Sequences of up to `most` steps.
pub fn commands(most: usize) -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(command(), 1..most)
}
