//! What the queue is made of: the standard library's, or loom's when its tests are to run in every interleaving.

#[cfg(all(test, pinion_loom))]
pub(super) use loom::{
    cell::UnsafeCell,
    sync::{Arc, atomic::AtomicUsize},
};
#[cfg(not(all(test, pinion_loom)))]
pub(super) use std::sync::{Arc, atomic::AtomicUsize};

/// A cell with the interface of loom's.
#[cfg(not(all(test, pinion_loom)))]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(all(test, pinion_loom)))]
impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// What `work` does through the pointer is the caller's responsibility.
    #[inline]
    pub(super) fn with_mut<R>(&self, work: impl FnOnce(*mut T) -> R) -> R {
        work(self.0.get())
    }
}
