//! A store that does nothing: what the load generator itself costs.

use super::local::Local;
use super::request::{Outcome, Request};

struct Null {
    record: Vec<u8>,
}

impl Local for Null {
    fn perform(&mut self, request: &Request<'_>, take: &mut dyn FnMut(Outcome<'_>)) {
        take(match request {
            Request::Read { .. } => Outcome::Value(&self.record),
            Request::Write { .. } => Outcome::Done,
            Request::Scan { limit, .. } => Outcome::Page { rows: *limit as usize, cursor: None },
        });
    }
}

pub(super) fn handles(threads: usize, record: &[u8]) -> Vec<Box<dyn Local>> {
    (0..threads).map(|_| Box::new(Null { record: record.to_vec() }) as Box<dyn Local>).collect()
}
