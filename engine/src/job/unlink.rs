//! Removing files that nothing refers to any more.

use super::step::{Job, JobKind, JobOutput, JobStep};
use super::table_writer::io_error;
use crate::error::Error;
use crate::io::{FileName, IoCompletion, IoRequest, Token};
use crate::table::Table;
use std::any::Any;
use std::io::ErrorKind;
use std::sync::Arc;

/// Unlinks in flight at a time: freeing blocks is slow on some file systems.
const UNLINKS_MAX: usize = 2;

/// Lets go of tables and removes files. One that is gone already is no error; any other error is reported at the end,
/// after all files were tried.
pub struct UnlinkJob {
    things: Vec<Box<dyn Any + Send>>,
    files: Vec<FileName>,
    /// The file that each token stands for.
    asked: Vec<FileName>,
    in_flight: usize,
    failure: Option<Error>,
}

impl UnlinkJob {
    /// Removes `files`. `tables` are let go of first, so that their memory is given back on the thread
    /// that runs the job and not on the one that serves.
    pub fn new(files: Vec<FileName>, tables: Vec<Arc<Table>>) -> UnlinkJob {
        let things = tables.into_iter().map(|table| Box::new(table) as Box<dyn Any + Send>).collect();
        UnlinkJob { things, files, asked: Vec::new(), in_flight: 0, failure: None }
    }

    /// Only lets go of things whose memory takes its time to give back.
    pub fn letting_go(things: Vec<Box<dyn Any + Send>>) -> UnlinkJob {
        UnlinkJob { things, files: Vec::new(), asked: Vec::new(), in_flight: 0, failure: None }
    }
}

impl Job for UnlinkJob {
    fn kind(&self) -> JobKind {
        JobKind::Housekeeping
    }

    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        _budget_bytes: usize,
    ) -> JobStep {
        self.things.clear();
        for completion in completions.drain(..) {
            self.in_flight -= 1;
            match completion.result {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let file = self.asked[completion.token.0 as usize];
                    self.failure.get_or_insert(io_error("remove", file, error));
                }
                _ => {}
            }
        }
        while self.in_flight < UNLINKS_MAX
            && let Some(file) = self.files.pop()
        {
            requests.push(IoRequest::Unlink { token: Token(self.asked.len() as u64), file });
            self.asked.push(file);
            self.in_flight += 1;
        }
        match self.in_flight {
            0 => JobStep::Done(self.failure.take().map_or(Ok(JobOutput::Nothing), Err)),
            _ => JobStep::Waiting,
        }
    }
}
