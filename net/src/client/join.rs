//! Several futures at once.

use std::pin::Pin;
use std::task::{Context, Poll};

enum Slot<F: Future> {
    Running(Pin<Box<F>>),
    Done(Option<F::Output>),
}

/// Runs all futures at once; answers their outputs in their order.
pub(super) async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut slots: Vec<Slot<F>> = futures.map(|future| Slot::Running(Box::pin(future))).collect();
    std::future::poll_fn(|context: &mut Context<'_>| {
        let mut is_done = true;
        for slot in &mut slots {
            let Slot::Running(future) = slot else { continue };
            match future.as_mut().poll(context) {
                Poll::Ready(output) => *slot = Slot::Done(Some(output)),
                Poll::Pending => is_done = false,
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let outputs = slots.into_iter().map(|slot| match slot {
        Slot::Done(output) => output,
        Slot::Running(_) => None,
    });
    outputs.flatten().collect()
}
