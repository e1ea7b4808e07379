//! Reads of a connection that their shards keep for want of room, and those that were told to go on.

use pinion_engine::key::Partition;

/// A read that is kept.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// Which of the connection's requests.
    pub request: u64,
    /// Of which partition.
    pub partition: Partition,
    /// What its shard calls it.
    pub read: u64,
    /// The length of the next value.
    pub bytes: usize,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Waits {
    waiting: Vec<Wait>,
    /// Requests that were told to go on, and the bytes that there is room for.
    going: Vec<(u64, usize)>,
    /// The core looks soon whether one may go on.
    pub is_queued: bool,
}

/// A list above this size gives its memory back when it empties.
const KEEP_MAX: usize = 16;

impl Waits {
    /// Whether none is kept.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those that are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Wait> + Clone {
        self.waiting.iter()
    }

    /// Memory that they take here.
    pub fn bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<Wait>()
    }

    /// Bytes of values that are on their way because they were told to go on.
    pub fn going_bytes(&self) -> usize {
        self.going.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Keeps one.
    pub fn push(&mut self, wait: Wait) {
        self.waiting.push(wait);
    }

    /// One is told to go on, and there is room for `bytes`.
    pub fn go_on(&mut self, index: usize, bytes: usize) -> Wait {
        let wait = self.take(index);
        self.going.push((wait.request, bytes));
        wait
    }

    /// The first that is for a value of more than so many bytes.
    pub fn first_over(&self, bytes: usize) -> Option<usize> {
        self.waiting.iter().position(|wait| wait.bytes > bytes)
    }

    /// One is not kept any more.
    pub fn take(&mut self, index: usize) -> Wait {
        let wait = self.waiting.remove(index);
        if self.waiting.is_empty() && self.waiting.capacity() > KEEP_MAX {
            self.waiting = Vec::new();
        }
        wait
    }

    /// Takes all of them.
    pub fn drain(&mut self) -> impl Iterator<Item = Wait> {
        std::mem::take(&mut self.waiting).into_iter()
    }

    /// Whether a request was told to go on with a value of this length.
    pub fn is_granted(&self, request: u64, bytes: usize) -> bool {
        self.going.iter().any(|&(going, room)| going == request && bytes <= room)
    }

    /// The next answer of a request has come.
    #[inline]
    pub fn answered(&mut self, request: u64) {
        if !self.going.is_empty() {
            self.going.retain(|&(going, _)| going != request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(request: u64, bytes: usize) -> Wait {
        Wait { request, partition: Partition(0), read: request, bytes }
    }

    #[test]
    fn room_is_taken_from_the_go_ahead_to_the_answer() {
        let mut waits = Waits::default();
        waits.push(wait(1, 100));
        waits.push(wait(2, 50));
        assert_eq!(
            (waits.first_over(49), waits.first_over(50), waits.first_over(100)),
            (Some(0), Some(0), None)
        );
        assert_eq!(waits.go_on(0, 100).request, 1);
        assert_eq!(
            (waits.going_bytes(), waits.is_granted(1, 100), waits.is_granted(2, 50)),
            (100, true, false)
        );
        assert!(!waits.is_granted(1, 101));
        waits.answered(2);
        assert_eq!(waits.going_bytes(), 100);
        waits.answered(1);
        assert_eq!((waits.going_bytes(), waits.is_empty()), (0, false));
        assert_eq!(waits.drain().map(|wait| wait.request).collect::<Vec<_>>(), [2]);
        assert!(waits.is_empty());
    }
}
