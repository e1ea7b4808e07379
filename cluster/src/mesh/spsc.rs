//! A bounded queue between exactly one producer and one consumer thread.
//!
//! A ring of slots with two counters that only grow: `tail` (written by the producer) and `head` (written by the
//! consumer). Slot `n % capacity` belongs to the consumer while `head <= n < tail`, else to the producer. Publishing
//! is a release store of a counter, taking over is an acquire load of the other side's. Each side keeps the last
//! value it saw of the other's counter, so that the cache line of a counter moves only when a side runs out of what
//! it knows. Both handles are unique (no `Clone`), and their methods take `&mut self`.

use super::sync::{Arc, AtomicUsize, UnsafeCell};
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

/// Keeps a value on cache lines of its own (two, because of adjacent-line prefetching).
#[repr(align(128))]
struct Padded<T>(T);

struct Ring<T> {
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// Capacity - 1; the capacity is a power of two.
    mask: usize,
    head: Padded<AtomicUsize>,
    tail: Padded<AtomicUsize>,
}

// SAFETY: a slot is touched only by the side that owns it by the counters (see above), so sharing the ring between
// two threads moves values of T between them and never shares one.
unsafe impl<T: Send> Sync for Ring<T> {}

/// The sending end.
pub struct Producer<T> {
    ring: Arc<Ring<T>>,
    tail: usize,
    head_seen: usize,
}

/// The receiving end.
pub struct Consumer<T> {
    ring: Arc<Ring<T>>,
    head: usize,
    tail_seen: usize,
}

/// A queue with room for at least `capacity` items (rounded up to a power of two).
pub fn queue<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let slots = (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let ring = Arc::new(Ring {
        slots,
        mask: capacity - 1,
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
    });
    (Producer { ring: ring.clone(), tail: 0, head_seen: 0 }, Consumer { ring, head: 0, tail_seen: 0 })
}

impl<T> Producer<T> {
    /// Appends an item, or hands it back if the queue is full. Never waits.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.tail.wrapping_sub(self.head_seen) > self.ring.mask {
            self.head_seen = self.ring.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) > self.ring.mask {
                return Err(item);
            }
        }
        self.ring.slots[self.tail & self.ring.mask].with_mut(|slot| {
            // SAFETY: `tail - head <= mask`, so the slot is outside `head..tail`: it holds no item and belongs to us, the
            // only producer. The acquire load of `head` happened after the consumer moved the slot's last item out.
            unsafe { (*slot).write(item) };
        });
        self.tail = self.tail.wrapping_add(1);
        self.ring.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<T> Consumer<T> {
    /// Takes the oldest item, if there is one. Never waits.
    pub fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let item = self.ring.slots[self.head & self.ring.mask].with_mut(|slot| {
            // SAFETY: `head < tail`, so the slot holds an item, written before the release store of `tail` that we
            // acquired; we are the only consumer, and advancing `head` makes sure that it is moved out once.
            unsafe { (*slot).assume_init_read() }
        });
        self.head = self.head.wrapping_add(1);
        self.ring.head.0.store(self.head, Ordering::Release);
        Some(item)
    }

    /// Whether nothing is there now.
    pub fn is_empty(&mut self) -> bool {
        if self.head == self.tail_seen {
            self.tail_seen = self.ring.tail.0.load(Ordering::Acquire);
        }
        self.head == self.tail_seen
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let (mut head, tail) = (self.head.0.load(Ordering::Relaxed), self.tail.0.load(Ordering::Relaxed));
        while head != tail {
            self.slots[head & self.mask].with_mut(|slot| {
                // SAFETY: both ends are gone, and `head..tail` are exactly the items nobody took.
                unsafe { (*slot).assume_init_drop() };
            });
            head = head.wrapping_add(1);
        }
    }
}

#[cfg(all(test, pinion_loom))]
mod loom_test {
    use super::*;
    use loom::thread;

    fn push_all(mut producer: Producer<Arc<usize>>, items: usize) -> Producer<Arc<usize>> {
        for number in 0..items {
            let mut item = Arc::new(number);
            while let Err(back) = producer.push(item) {
                item = back;
                thread::yield_now();
            }
        }
        producer
    }

    fn pop(consumer: &mut Consumer<Arc<usize>>) -> usize {
        loop {
            match consumer.pop() {
                Some(item) => return *item,
                None => thread::yield_now(),
            }
        }
    }

    /// Loom fails a model in which an item (an `Arc` of its own) is dropped twice or never.
    #[test]
    fn loom_every_item_arrives_once_and_in_order() {
        for capacity in [1, 2] {
            loom::model(move || {
                let (producer, mut consumer) = queue(capacity);
                let sender = thread::spawn(move || push_all(producer, 3));
                for expected in 0..3 {
                    assert_eq!(pop(&mut consumer), expected);
                }
                drop(sender.join().unwrap());
                assert!(consumer.pop().is_none());
            });
        }
    }

    #[test]
    fn loom_what_nobody_took_is_dropped_once_whichever_end_goes_last() {
        loom::model(|| {
            let (producer, mut consumer) = queue(2);
            let sender = thread::spawn(move || drop(push_all(producer, 2)));
            let first = consumer.pop();
            assert!(first.is_none_or(|item| *item == 0));
            drop(consumer);
            sender.join().unwrap();
        });
    }
}

#[cfg(all(test, not(pinion_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn it_behaves_as_a_bounded_deque(capacity in 1_usize..9, steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let (mut producer, mut consumer) = queue(capacity);
            let room = capacity.next_power_of_two();
            let mut model = VecDeque::new();
            for (number, push) in steps.into_iter().enumerate() {
                if push {
                    let item = Box::new(number);
                    let fits = model.len() < room;
                    prop_assert_eq!(producer.push(item.clone()).is_ok(), fits);
                    if fits {
                        model.push_back(item);
                    }
                } else {
                    prop_assert_eq!(consumer.pop(), model.pop_front());
                }
                prop_assert_eq!(consumer.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn two_threads_hand_over_every_item_in_order() {
        let items = if cfg!(miri) { 500 } else { 200_000_u64 };
        let (mut producer, mut consumer) = queue::<Box<u64>>(16);
        let sender = std::thread::spawn(move || {
            for number in 0..items {
                let mut item = Box::new(number);
                while let Err(back) = producer.push(item) {
                    item = back;
                    std::thread::yield_now();
                }
            }
        });
        for expected in 0..items {
            let item = loop {
                match consumer.pop() {
                    Some(item) => break item,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(*item, expected);
        }
        sender.join().unwrap();
        assert!(consumer.pop().is_none());
    }

    #[test]
    fn items_nobody_took_are_dropped_with_the_queue() {
        let item = Arc::new(());
        let (mut producer, mut consumer) = queue(4);
        for _ in 0..3 {
            producer.push(item.clone()).unwrap();
        }
        consumer.pop();
        drop((producer, consumer));
        assert_eq!(Arc::strong_count(&item), 1);
    }
}
