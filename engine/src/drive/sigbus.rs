//! Ends the process with a clear message when a mapped file can't be read.
//!
//! Reading a mapping raises SIGBUS when the file was cut short or the disk fails. The handler looks the
//! address up among the mapped files, writes one line that names the file and the offset, and exits
//! with 1. A SIGBUS from elsewhere goes to the handler that was there before.
//!
//! The handler may run at any instruction, so it only reads atomics and makes system calls. Files stand
//! in slots of chunks that are never freed; a slot is reused after its file is unmapped.

use std::path::Path;
use std::ptr::{self, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

const SLOTS: usize = 256;

/// One mapped file; `start` is 0 while the slot is free.
struct Slot {
    start: AtomicUsize,
    len: AtomicUsize,
    name: AtomicPtr<u8>,
    name_len: AtomicUsize,
}

struct Chunk {
    slots: [Slot; SLOTS],
    next: AtomicPtr<Chunk>,
}

static CHUNKS: AtomicPtr<Chunk> = AtomicPtr::new(null_mut());
static FREE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Keeps a mapping known to the handler until it is dropped.
pub(super) struct Registration {
    slot: &'static Slot,
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registration")
    }
}

/// Makes a mapping known to the handler, which is installed at the first call.
pub(super) fn register(bytes: &[u8], path: &Path) -> Registration {
    PREVIOUS.get_or_init(install);
    let slot = free_slot();
    let name: Box<[u8]> = path.as_os_str().as_encoded_bytes().into();
    slot.name_len.store(name.len(), Ordering::Relaxed);
    slot.name.store(Box::into_raw(name).cast(), Ordering::Relaxed);
    slot.len.store(bytes.len(), Ordering::Relaxed);
    slot.start.store(bytes.as_ptr().addr(), Ordering::Release);
    Registration { slot }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.slot.start.store(0, Ordering::Release);
        let name = self.slot.name.swap(null_mut(), Ordering::Relaxed);
        let name = ptr::slice_from_raw_parts_mut(name, self.slot.name_len.load(Ordering::Relaxed));
        // SAFETY: the name came from Box::into_raw with this length, and no handler reads it any more:
        // it would have to run for an access to the mapping, which its owner is just giving up.
        drop(unsafe { Box::from_raw(name) });
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
    }
}

fn free_slot() -> &'static Slot {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(slot) = free.pop() {
        return slot;
    }
    let chunk = Box::leak(Box::new(Chunk {
        slots: std::array::from_fn(|_| Slot {
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            name: AtomicPtr::new(null_mut()),
            name_len: AtomicUsize::new(0),
        }),
        next: AtomicPtr::new(CHUNKS.load(Ordering::Relaxed)),
    }));
    CHUNKS.store(chunk, Ordering::Release);
    let chunk: &'static Chunk = chunk;
    free.extend(&chunk.slots[1..]);
    &chunk.slots[0]
}

fn install() -> libc::sigaction {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
    // SAFETY: a sigaction of zeroes is valid (default action, empty mask); the handler has the
    // signature that SA_SIGINFO promises and is safe to run at any instruction.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let mut previous: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGBUS, &raw const action, &raw mut previous);
        previous
    }
}

extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a SA_SIGINFO handler.
    let address = unsafe { (*info).si_addr() }.addr();
    if let Some(slot) = find(address) {
        report(slot, address);
        // SAFETY: ends the process without running anything else.
        unsafe { libc::_exit(1) }
    }
    // Not ours. With the old action back, raising it again runs that once this handler has returned.
    let previous = PREVIOUS.get().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both calls are async-signal-safe; a null action changes nothing.
    unsafe {
        if previous.is_null() {
            libc::_exit(1);
        }
        libc::sigaction(signal, previous, null_mut());
        libc::raise(signal);
    }
}

fn find(address: usize) -> Option<&'static Slot> {
    let mut chunk = CHUNKS.load(Ordering::Acquire);
    // SAFETY: chunks are leaked, so a pointer to one is null or valid for ever.
    while let Some(current) = unsafe { chunk.as_ref() } {
        for slot in &current.slots {
            let start = slot.start.load(Ordering::Acquire);
            // The last page of a file is mapped whole.
            let len = slot.len.load(Ordering::Relaxed).next_multiple_of(4096);
            if start != 0 && address >= start && address - start < len {
                return Some(slot);
            }
        }
        chunk = current.next.load(Ordering::Acquire);
    }
    None
}

fn report(slot: &Slot, address: usize) {
    let name = slot.name.load(Ordering::Relaxed);
    // SAFETY: the slot is in use, so its name is a live allocation of this length.
    let name = unsafe { std::slice::from_raw_parts(name, slot.name_len.load(Ordering::Relaxed)) };
    let mut digits = [0; 20];
    let offset = decimal(address - slot.start.load(Ordering::Relaxed), &mut digits);
    for part in [
        b"can't read ",
        name,
        b" at offset ",
        offset,
        b": the file was cut short or the disk failed (SIGBUS); check the disk, then run `kvtool verify` on the store\n",
    ] {
        // SAFETY: the bytes are live for the call; a failing write changes nothing.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}

/// Formats a number without allocating.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mapped::MappedFile;
    use super::*;
    use std::fs::OpenOptions;
    use std::process::Command;

    const CHILD: &str = "PINION_TEST_SIGBUS_FILE";

    #[test]
    fn reading_a_mapping_of_a_file_cut_short_names_the_file_and_exits_with_1() {
        if let Some(path) = std::env::var_os(CHILD) {
            let path = Path::new(&path);
            let mapped = MappedFile::open(path).unwrap();
            OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
            std::process::exit(i32::from(std::hint::black_box(mapped.as_ref())[5000]) + 70);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.sst");
        std::fs::write(&path, [1; 10_000]).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg(concat!(
                "drive::sigbus::tests::",
                "reading_a_mapping_of_a_file_cut_short_names_the_file_and_exits_with_1"
            ))
            .env(CHILD, &path)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&format!("{} at offset 5000", path.display())), "{stderr}");
    }

    #[test]
    fn an_address_is_found_only_while_its_mapping_lives() {
        let bytes = [0; 300];
        let registration = register(&bytes, Path::new("/some/file"));
        let address = bytes.as_ptr().addr();
        assert!(find(address + 299).is_some());
        drop(registration);
        assert!(find(address).is_none());
    }

    #[test]
    fn numbers_are_formatted_in_decimal() {
        let mut digits = [0; 20];
        for number in [0, 7, 10, usize::MAX] {
            assert_eq!(decimal(number, &mut digits), number.to_string().as_bytes());
        }
    }
}
