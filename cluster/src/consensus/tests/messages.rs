//! Messages there and back; any bytes.

use super::super::message::{Candidate, Message, Says};
use super::super::translate::{from_crate, to_crate};
use super::world::batch;
use bytes::Bytes;
use pinion_engine::log::{Entry, EntryType};
use proptest::prelude::*;

fn entries(index: u64) -> impl Strategy<Value = Vec<Entry>> {
    let one = (0..5_u64, 1..=5_u8, proptest::collection::vec(any::<u8>(), 1..20), any::<Option<u16>>());
    proptest::collection::vec(one, 0..5).prop_map(move |all| {
        let made = all.into_iter().zip(index + 1..).map(|((term, kind, bytes, origin), index)| {
            let entry = EntryType::from_byte(kind).expect("there are five");
            let (origin, payload) = match (entry, origin) {
                (EntryType::NoOp, _) => (0, Bytes::new()),
                // Some that can be applied.
                (EntryType::Normal, None) => (0, batch(&bytes, b"value")),
                (_, origin) => (origin.unwrap_or(0), Bytes::from(bytes)),
            };
            Entry { term, index, entry, origin, payload }
        });
        made.collect()
    })
}

fn candidate() -> impl Strategy<Value = Candidate> {
    (any::<[u64; 4]>(), any::<bool>()).prop_map(|([index, log_term, commit, commit_term], is_transfer)| {
        Candidate { index, log_term, commit, commit_term, is_transfer }
    })
}

pub fn says() -> impl Strategy<Value = Says> {
    let small = || 0..1_000_u64;
    prop_oneof![
        (small(), any::<[u64; 2]>()).prop_flat_map(|(index, [log_term, commit])| {
            entries(index).prop_map(move |entries| Says::Append { index, log_term, commit, entries })
        }),
        any::<[u64; 2]>().prop_map(|[index, commit]| Says::Appended { index, commit }),
        any::<[u64; 4]>().prop_map(|[index, hint, log_term, commit]| Says::NotAppended {
            index,
            hint,
            log_term,
            commit
        }),
        candidate().prop_map(Says::Vote),
        candidate().prop_map(Says::PreVote),
        any::<(bool, bool, u64, u64)>().prop_map(|(is_pre_vote, is_refused, commit, commit_term)| {
            Says::Voted { is_pre_vote, is_refused, commit, commit_term }
        }),
        any::<(u64, Option<u64>)>().prop_map(|(commit, read)| Says::Heartbeat { commit, read }),
        any::<(u64, Option<u64>)>().prop_map(|(commit, read)| Says::Heard { commit, read }),
        Just(Says::TimeoutNow),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (any::<[u64; 4]>(), says()).prop_map(|([from, to, term, time_us], says)| Message {
        from,
        to,
        term,
        time_us,
        says,
    })
}

fn bytes_of(message: &Message) -> Bytes {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    Bytes::from(bytes)
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written_and_is_the_same_to_the_crate(message in message()) {
        prop_assert_eq!(&Message::read(&bytes_of(&message)), &Ok(message.clone()));
        // The time is no business of the crate's.
        let timeless = Message { time_us: 0, ..message };
        prop_assert_eq!(from_crate(to_crate(timeless.clone())), Some(timeless));
    }

    #[test]
    fn a_message_cut_anywhere_is_refused(message in message(), cut in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&message);
        prop_assert!(Message::read(&bytes.slice(..cut.index(bytes.len()))).is_err());
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(
        message in message(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = bytes_of(&message).to_vec();
        changes.iter().for_each(|(at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        });
        let bytes = Bytes::from(bytes);
        if let Ok(message) = Message::read(&bytes) {
            prop_assert_eq!(bytes_of(&message), bytes);
        }
    }
}
