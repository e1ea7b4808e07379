//! The bound on memory: an allocator that ends the process when a target has more allocated than it stated.
//!
//! It counts what all Rust code of the process has allocated and not given back. [`within`] sets the bound
//! relative to what was there before, so what a target keeps between inputs doesn't count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The system's allocator, counted.
pub struct Bounded;

impl Bounded {
    fn grow(bytes: usize) {
        let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // A panic is a finding of its own, and its message takes what it takes.
        if live > LIMIT.load(Ordering::Relaxed) && !std::thread::panicking() {
            LIMIT.store(usize::MAX, Ordering::Relaxed);
            let mut text = [0; 128];
            let mut rest = &mut text[..];
            let _ = writeln!(rest, "over the bound: {live} bytes are allocated, the last {bytes} at once");
            let len = 128 - rest.len();
            let _ = std::io::stderr().write_all(&text[..len]);
            std::process::abort();
        }
    }
}

// SAFETY: all is done by the system's allocator; counting doesn't touch memory.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Bounded::grow(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Bounded::grow(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Bounded::grow(size.saturating_sub(layout.size()));
        LIVE.fetch_sub(layout.size().saturating_sub(size), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

/// Runs a target that may allocate so many bytes.
pub fn within<R>(bytes: usize, run: impl FnOnce() -> R) -> R {
    LIMIT.store(LIVE.load(Ordering::Relaxed).saturating_add(bytes), Ordering::Relaxed);
    let result = run();
    LIMIT.store(usize::MAX, Ordering::Relaxed);
    result
}
