//! Making tables resident, or not any more.

use super::step::{Job, JobKind, JobOutput, JobStep};
use super::table_writer::io_error;
use crate::error::Error;
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest, Token};
use crate::table::Table;
use std::collections::VecDeque;
use std::sync::Arc;

/// Reads whole tables into memory (one at a time, verifying each), or makes them paged. Ends with
/// [`JobOutput::Reopened`]: the tables in their new form, to be installed in place of the old ones of the same number.
pub struct ResidencyJob {
    waiting: VecDeque<Arc<Table>>,
    resident: bool,
    loading: Option<Arc<Table>>,
    reopened: Vec<Arc<Table>>,
}

impl ResidencyJob {
    /// Gives all of `tables` one residency.
    pub fn new(tables: Vec<Arc<Table>>, resident: bool) -> ResidencyJob {
        ResidencyJob { waiting: tables.into(), resident, loading: None, reopened: Vec::new() }
    }

    fn loaded(&mut self, completion: IoCompletion) -> Result<(), Error> {
        let Some(table) = self.loading.take() else { return Ok(()) };
        let file = FileName::Table(table.meta().number);
        match completion.result.map_err(|error| io_error("read", file, error))? {
            IoOutput::Data(bytes) => self.reopened.push(Arc::new(table.with_residency(Some(bytes))?)),
            _ => return Err(Error::Unusable(format!("a read of {file} yielded no data"))),
        }
        Ok(())
    }

    fn go_on(&mut self, requests: &mut Vec<IoRequest>) -> Result<(), Error> {
        if self.resident && self.loading.is_none() {
            self.loading = self.waiting.pop_front();
            if let Some(table) = &self.loading {
                let (file, len) = (FileName::Table(table.meta().number), table.meta().file_bytes as usize);
                requests.push(IoRequest::Read { token: Token(0), file, offset: 0, len });
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
        let results = completions.drain(..).map(|completion| self.loaded(completion));
        let results: Result<(), Error> = results.collect();
        if let Err(error) = results.and_then(|()| self.go_on(requests)) {
            return JobStep::Done(Err(error));
        }
        match self.loading {
            Some(_) => JobStep::Waiting,
            None => JobStep::Done(Ok(JobOutput::Reopened(std::mem::take(&mut self.reopened)))),
        }
    }
}
