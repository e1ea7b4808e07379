//! What cores and signal handlers tell the node.

use crate::error::Error;
use std::sync::mpsc::Sender;

/// Something the node has to react to.
#[derive(Debug)]
pub enum Event {
    /// Somebody wants the node to stop.
    StopRequested,
    /// A core has answered everything it took in.
    Drained(usize),
    /// The node can't go on, and why.
    Failed(Error),
    /// A core's thread has ended.
    Ended(usize, Result<(), Error>),
}

/// Tells the node something, from any thread.
#[derive(Clone)]
pub struct Events(Sender<Event>);

impl Events {
    /// Events that arrive at this channel's other end.
    pub fn new(sender: Sender<Event>) -> Events {
        Events(sender)
    }

    /// Asks the node to stop.
    pub fn request_stop(&self) {
        self.tell(Event::StopRequested);
    }

    /// The node can't go on.
    pub fn failed(&self, error: Error) {
        self.tell(Event::Failed(error));
    }

    /// A core has drained.
    pub fn drained(&self, core: usize) {
        self.tell(Event::Drained(core));
    }

    /// A core has ended.
    pub fn ended(&self, core: usize, result: Result<(), Error>) {
        self.tell(Event::Ended(core, result));
    }

    fn tell(&self, event: Event) {
        // A node that is gone has nothing left to do.
        let _ = self.0.send(event);
    }
}
