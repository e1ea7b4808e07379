//! The protocol against itself: what is encoded is decoded, and no bytes do harm.

mod hostile;
mod once;
mod requests;
mod responses;

use super::{Frame, Limits, Parsed, parse};

/// The one frame that `bytes` are.
fn frame_of(bytes: &[u8]) -> Frame<'_> {
    match parse(bytes, &Limits::default()) {
        Parsed::Frame(frame, consumed) => {
            assert_eq!(consumed, bytes.len());
            assert_eq!(consumed % 8, 0);
            frame
        }
        other => panic!("{other:?}"),
    }
}
