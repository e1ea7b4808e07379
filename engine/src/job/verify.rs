//! Reading tables back from the device against their checksums.

use super::pieces::Pieces;
use super::step::{Job, JobKind, JobOutput, JobStep};
use crate::error::Error;
use crate::io::{IoCompletion, IoRequest, Token};
use crate::table::{Table, Verifier};
use std::sync::Arc;

/// Verifies every block of some tables, resident or not. Ends with the first damage it finds.
pub struct VerifyJob {
    pieces: Pieces,
    /// Table and block that come next.
    next: (usize, usize),
    verifier: Option<Verifier>,
    failure: Option<Error>,
}

impl VerifyJob {
    /// A verification of these tables, in this order.
    pub fn new(tables: Vec<Arc<Table>>) -> VerifyJob {
        let pieces = Pieces::new(tables, false, Token(0));
        VerifyJob { pieces, next: (0, 0), verifier: None, failure: None }
    }

    /// Checks what has arrived, within the budget; `true` if it could go on at once.
    fn verify(&mut self, requests: &mut Vec<IoRequest>, budget: usize) -> Result<bool, Error> {
        let mut checked = 0;
        while let Some(source) = self.pieces.tables().get(self.next.0) {
            let (table, block) = self.next;
            let verifier = self.verifier.get_or_insert_with(|| Verifier::new(Arc::clone(source)));
            if block >= source.blocks() {
                if let Some(verifier) = self.verifier.take() {
                    verifier.finish()?;
                }
                self.next = (table + 1, 0);
                continue;
            }
            if checked >= budget {
                return Ok(true);
            }
            self.pieces.read_ahead(requests);
            let Some((_, raw)) = self.pieces.raw(table, block) else { return Ok(false) };
            verifier.check(raw)?;
            checked += raw.len();
            self.pieces.used(block);
            self.next = (table, block + 1);
        }
        Ok(false)
    }
}

impl Job for VerifyJob {
    fn kind(&self) -> JobKind {
        JobKind::Verify
    }

    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        budget_bytes: usize,
    ) -> JobStep {
        for completion in completions.drain(..) {
            if let Err(error) = self.pieces.complete(completion) {
                self.failure.get_or_insert(error);
            }
        }
        let mut going = false;
        if self.failure.is_none() {
            match self.verify(requests, budget_bytes.max(1)) {
                Ok(more) => going = more,
                Err(error) => self.failure = Some(error),
            }
        }
        let ended = self.next.0 == self.pieces.tables().len() || self.failure.is_some();
        match (going, ended && self.pieces.in_flight() == 0) {
            (true, _) => JobStep::More,
            (false, false) => JobStep::Waiting,
            (false, true) => JobStep::Done(self.failure.take().map_or(Ok(JobOutput::Nothing), Err)),
        }
    }
}
