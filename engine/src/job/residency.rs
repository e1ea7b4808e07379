//! Making tables resident, or not any more.

use super::table_writer::io_error;
use super::{IoCompletion, IoRequest, Job, JobKind, JobOutput, JobStep};
use crate::error::Error;
use crate::io::{FileName, IoOutput, Token};
use crate::table::Table;
use std::collections::VecDeque;
use std::sync::Arc;

/// Maps tables (one at a time, verifying each) or makes them paged. Ends with [`JobOutput::Reopened`]: the
/// tables in their new form, to be installed in place of the old ones of the same number.
pub struct ResidencyJob {
    waiting: VecDeque<Arc<Table>>,
    resident: bool,
    mapping: Option<Arc<Table>>,
    reopened: Vec<Arc<Table>>,
}

impl ResidencyJob {
    /// Gives all of `tables` one residency.
    pub fn new(tables: Vec<Arc<Table>>, resident: bool) -> ResidencyJob {
        ResidencyJob { waiting: tables.into(), resident, mapping: None, reopened: Vec::new() }
    }

    fn mapped(&mut self, completion: IoCompletion) -> Result<(), Error> {
        let Some(table) = self.mapping.take() else { return Ok(()) };
        let file = FileName::Table(table.meta().number);
        match completion.result.map_err(|error| io_error("map", file, error))? {
            IoOutput::Mapped(bytes) => self.reopened.push(Arc::new(table.with_residency(Some(bytes))?)),
            _ => return Err(Error::Unusable(format!("a map request of {file} yielded no mapping"))),
        }
        Ok(())
    }

    fn go_on(&mut self, requests: &mut Vec<IoRequest>) -> Result<(), Error> {
        if self.resident && self.mapping.is_none() {
            self.mapping = self.waiting.pop_front();
            if let Some(table) = &self.mapping {
                let file = FileName::Table(table.meta().number);
                requests.push(IoRequest::Map { token: Token(0), file });
            }
        }
        while !self.resident
            && let Some(table) = self.waiting.pop_front()
        {
            self.reopened.push(Arc::new(table.with_residency(None)?));
        }
        Ok(())
    }
}

impl Job for ResidencyJob {
    fn kind(&self) -> JobKind {
        JobKind::Housekeeping
    }

    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        _budget_bytes: usize,
    ) -> JobStep {
        let results = completions.drain(..).map(|completion| self.mapped(completion));
        let results: Result<(), Error> = results.collect();
        if let Err(error) = results.and_then(|()| self.go_on(requests)) {
            return JobStep::Done(Err(error));
        }
        match self.mapping {
            Some(_) => JobStep::Waiting,
            None => JobStep::Done(Ok(JobOutput::Reopened(std::mem::take(&mut self.reopened)))),
        }
    }
}
