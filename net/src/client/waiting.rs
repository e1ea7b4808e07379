//! A caller's wait for the response to its request.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::link::Link;
use super::pending::Outcome;
use crate::wire::Once;

/// The wait for one response. Dropped early, the response is forgotten when it comes.
pub(super) struct Waiting<'l> {
    link: &'l Link,
    id: u64,
    is_over: bool,
    /// What the request carried so that it is done exactly once.
    pub(super) once: Option<Once>,
}

impl<'l> Waiting<'l> {
    /// The wait for the response to the request with this id.
    pub(super) fn new(link: &'l Link, id: u64, once: Option<Once>) -> Waiting<'l> {
        Waiting { link, id, is_over: false, once }
    }
}

impl Future for Waiting<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match self.link.lock().pending.poll(self.id, context.waker()) {
            Some(outcome) => {
                self.is_over = true;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.link.lock();
            state.pending.forget(self.id);
            self.link.announce_room(&mut state);
        }
    }
}
