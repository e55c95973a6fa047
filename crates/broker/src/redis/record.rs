//! The stored record of a job as `lua/job.lua` writes it: spec and head, both with numbers in big-endian bytes.

use lovage_core::{DiscardReason, Priority, State, Timestamp};

use crate::error::BrokerError;

/// Bytes before a spec's JSON: when the job was enqueued and its first place, six bytes each.
const SPEC_PREFIX: usize = 12;
/// Bytes before a head's texts.
const HEAD_FIXED: usize = 50;

/// The letters that stand for the states in heads and events, in the order of [`State::ALL`].
const LETTERS: [u8; 7] = *b"sarycxd";

/// The letter of a state.
pub(super) fn letter(state: State) -> char {
    let letter = State::ALL.iter().zip(LETTERS).find(|(each, _)| **each == state).map_or(b'-', |(_, letter)| letter);
    char::from(letter)
}

/// The state of a letter.
pub(super) fn state(letter: u8) -> Option<State> {
    State::ALL.into_iter().zip(LETTERS).find(|(_, each)| *each == letter).map(|(state, _)| state)
}

/// The reason of a position in [`DiscardReason::ALL`], from 1; 0 is none.
pub(super) fn reason(position: usize) -> Option<DiscardReason> {
    DiscardReason::ALL.get(position.checked_sub(1)?).copied()
}

/// The position of a reason, from 1.
pub(super) fn position(reason: DiscardReason) -> usize {
    DiscardReason::ALL.iter().position(|each| *each == reason).map_or(0, |index| index + 1)
}

/// When a stored job was enqueued, and its JSON.
pub(super) fn split_spec(mut stored: Vec<u8>) -> (Timestamp, String) {
    if stored.len() < SPEC_PREFIX {
        return (Timestamp::default(), String::new());
    }
    let enqueued_at = six(&stored);
    stored.drain(..SPEC_PREFIX);
    // Written from a String; whoever damaged it gets a text that cannot be decoded, not an error.
    let json = String::from_utf8(stored).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    (Timestamp::from_millis(enqueued_at), json)
}

/// The changing part of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub state: State,
    pub priority: Priority,
    pub lost: u32,
    pub cancel_requested: bool,
    pub reason: Option<DiscardReason>,
    pub since: Timestamp,
    pub token: u64,
    pub started_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub attempt: u32,
    pub failed: u32,
    pub worker: String,
}

impl Head {
    /// The head of a job that has none: fresh, with all defaults.
    pub(super) fn fresh(enqueued_at: Timestamp) -> Self {
        Self {
            state: State::Available,
            priority: Priority::default(),
            lost: 0,
            cancel_requested: false,
            reason: None,
            since: enqueued_at,
            token: 0,
            started_at: None,
            expires_at: None,
            attempt: 0,
            failed: 0,
            worker: String::new(),
        }
    }

    /// Reads a head. What a newer release wrote behind the known fields is passed over.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, BrokerError> {
        let damaged = || BrokerError::Protocol("the head of a job cannot be read".into());
        if bytes.len() < HEAD_FIXED {
            return Err(damaged());
        }
        let time = |at: usize| Timestamp::from_millis(six(&bytes[at..]));
        let some = |at: Timestamp| (at != Timestamp::default()).then_some(at);
        let worker = bytes[HEAD_FIXED..].split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Self {
            state: state(bytes[0]).ok_or_else(damaged)?,
            priority: Priority::try_from(i64::from(bytes[1])).unwrap_or_default(),
            lost: bytes[2].into(),
            cancel_requested: bytes[3] == 1,
            reason: reason(bytes[5].into()),
            since: time(6),
            token: six(&bytes[18..]),
            started_at: some(time(24)),
            expires_at: some(time(30)),
            attempt: four(&bytes[42..]),
            failed: four(&bytes[46..]),
            worker: String::from_utf8_lossy(worker).into_owned(),
        })
    }
}

fn six(bytes: &[u8]) -> u64 {
    bytes.iter().take(6).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn four(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Redis' own `struct.pack` makes of the layout in `lua/job.lua`, and a field of a release to come behind it.
    fn stored() -> Vec<u8> {
        let mut bytes = vec![b'd', 7, 2, 0, 1, 5];
        for number in [1_772_323_200_000_u64, 35_000_000_000_000, 9, 1_772_323_100_000, 0, 60_000] {
            bytes.extend_from_slice(&number.to_be_bytes()[2..]);
        }
        bytes.extend_from_slice(&3_u32.to_be_bytes());
        bytes.extend_from_slice(&1_u32.to_be_bytes());
        bytes.extend_from_slice(b"worker-1\0digest\0from the future");
        bytes
    }

    #[test]
    fn a_head_is_read_with_what_a_newer_release_wrote_behind_it() {
        let head = Head::read(&stored()).unwrap();
        assert_eq!((head.state, head.priority.level(), head.lost), (State::Discarded, 7, 2));
        assert_eq!(head.reason, Some(DiscardReason::WorkerLost));
        assert_eq!(head.since, Timestamp::from_millis(1_772_323_200_000));
        assert_eq!((head.token, head.attempt, head.failed), (9, 3, 1));
        assert_eq!(head.started_at, Some(Timestamp::from_millis(1_772_323_100_000)));
        assert_eq!((head.expires_at, head.worker.as_str()), (None, "worker-1"));
    }

    #[test]
    fn a_damaged_head_is_an_error_and_no_panic() {
        let whole = stored();
        for length in 0..HEAD_FIXED {
            assert!(Head::read(&whole[..length]).is_err(), "{length}");
        }
        let mut odd = whole;
        odd[0] = b'?';
        assert!(Head::read(&odd).is_err());
    }

    #[test]
    fn letters_and_reasons_are_read_back() {
        for each in State::ALL {
            assert_eq!(state(letter(each) as u8), Some(each));
        }
        for each in DiscardReason::ALL {
            assert_eq!(reason(position(each)), Some(each));
        }
        assert_eq!(reason(0), None);
    }
}
