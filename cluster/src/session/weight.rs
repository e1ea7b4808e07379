//! What a write asks of a shard, by which it may have to wait.

use super::bulk::SHORT_OPS;
use super::limits::SHORT_BYTES;
use pinion_engine::shard::request::Update;

/// What a write asks of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// Operations.
    pub ops: usize,
    /// About its bytes.
    pub bytes: usize,
    /// Those of its longest value, by which it leaves room to others.
    pub longest: usize,
}

impl Weight {
    /// Of a write of one key.
    #[inline]
    pub fn single(bytes: usize) -> Weight {
        Weight { ops: 1, bytes, longest: bytes }
    }

    /// Of a batch. One of many operations leaves room as a long value does.
    pub fn batch(updates: &[(&[u8], Update<'_>)]) -> Weight {
        let mut weight = Weight { ops: updates.len(), bytes: 0, longest: 0 };
        for (key, update) in updates {
            let value = if let Update::Put { value, .. } = update { value.len() } else { 0 };
            weight.bytes += key.len() + value;
            weight.longest = weight.longest.max(value);
        }
        if weight.ops > SHORT_OPS {
            weight.longest = weight.longest.max(SHORT_BYTES + 1);
        }
        weight
    }

    /// Whether it is to leave room for what is short.
    #[inline]
    pub fn is_long(&self) -> bool {
        self.longest > SHORT_BYTES
    }

    /// Whether it is long and there is less room. One that is longer than there ever is beside a flush would wait for ever.
    pub fn waits_for(&self, room: usize, most: usize) -> bool {
        self.is_long() && self.longest <= most && self.longest > room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_engine::shard::request::{Condition, PutExpiry};

    #[test]
    fn long_values_wait_for_room_but_for_those_that_never_have_it() {
        let (long, most) = (SHORT_BYTES + 1, 4 * SHORT_BYTES);
        let waits = |bytes, room| Weight::single(bytes).waits_for(room, most);
        assert!(!waits(SHORT_BYTES, 0));
        assert!(waits(long, long - 1) && !waits(long, long));
        assert!(waits(most, most - 1) && !waits(most + 1, 0));
    }

    #[test]
    fn a_batch_weighs_as_much_as_all_of_it_and_is_as_long_as_its_longest_value() {
        let put = |value| Update::Put {
            value,
            expiry: PutExpiry::Never,
            condition: Condition::None,
            want_old: false,
        };
        let delete = Update::Delete { condition: Condition::None, want_old: false, want_existed: false };
        let Weight { ops, bytes, longest } =
            Weight::batch(&[(b"a", put(&[1; 10])), (b"b", put(&[2; 30])), (b"c", delete)]);
        assert_eq!((ops, bytes, longest), (3, 43, 30));
        let many = vec![(&b"c"[..], delete); SHORT_OPS + 1];
        assert!(Weight::batch(&many[1..]).longest == 0 && Weight::batch(&many).longest > SHORT_BYTES);
    }
}
