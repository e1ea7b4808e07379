//! Values as large as the server takes them: a small memory may have a lower limit, and an attack beyond it would be none.

use super::assault::Assault;
use super::stream::set;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is tried first; then half of it, and so on.
const LARGEST_BYTES: usize = 16 << 20;
const SMALLEST_BYTES: usize = 64 << 10;

/// How long a SET may take.
const SET_MAX: Duration = Duration::from_secs(10);

/// A key that the probes set.
const PROBE: &[u8] = b"hostile:probe";

/// Sets a value, however long that takes; whether the server says that it did.
pub fn store(assault: &Assault<'_>, key: &[u8], bytes: usize) -> bool {
    let Some(mut hostile) = assault.connect_resp() else { return false };
    hostile.send(set(key, bytes)) && hostile.answer(SET_MAX).is_some_and(|answer| answer == "+OK")
}

/// The largest value that the server takes, within a factor of two.
pub fn largest(assault: &Assault<'_>) -> usize {
    let known = assault.stage.value_bytes_max.load(Ordering::Relaxed);
    if known > 0 {
        return known;
    }
    let mut bytes = LARGEST_BYTES;
    while bytes > SMALLEST_BYTES && assault.stage.is_attacked() {
        // A busy server refuses what it takes at other times.
        if (0..3).any(|_| store(assault, PROBE, bytes)) {
            store(assault, PROBE, 0);
            assault.stage.value_bytes_max.store(bytes, Ordering::Relaxed);
            break;
        }
        bytes /= 2;
    }
    bytes
}
