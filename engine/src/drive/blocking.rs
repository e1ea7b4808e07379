//! Requests and jobs done at once, on the calling thread, over any directory: for work that nobody waits for beside, such as
//! repairing a store or giving it another number of shards.

use crate::Error;
use crate::dir::Dir;
use crate::io::{IoCompletion, IoOutput, IoRequest};
use crate::job::{Job, JobOutput, JobStep};
use crate::manifest::{Edit, Manifest, ManifestEvent};
use std::io::Result as IoResult;

/// So much of a job is done before its requests are, bytes.
const STEP_BYTES: usize = 4 << 20;

/// Does what a request asks for.
pub fn perform(dir: &mut dyn Dir, request: IoRequest) -> IoCompletion {
    let done = |result: IoResult<()>| result.map(|()| IoOutput::Done);
    let (token, result) = match request {
        IoRequest::Create { token, file } => (token, done(dir.create(file))),
        IoRequest::Write { token, file, offset, data, sync } => {
            let written = dir.write(file, offset, &data);
            let synced = written.and_then(|()| if sync { dir.sync(file) } else { Ok(()) });
            (token, synced.map(|()| IoOutput::Written(data)))
        }
        IoRequest::Read { token, file, offset, len } => {
            (token, dir.read(file, offset, len).map(|bytes| IoOutput::Data(bytes.as_slice().into())))
        }
        IoRequest::Sync { token, file } => (token, done(dir.sync(file))),
        IoRequest::SyncDir { token } => (token, done(dir.sync_dir())),
        IoRequest::Rename { token, from, to } => (token, done(dir.rename(from, to))),
        IoRequest::Unlink { token, file } => (token, done(dir.unlink(file))),
    };
    IoCompletion { token, result }
}

/// Steps a job to its end.
pub fn run_job(dir: &mut dyn Dir, job: &mut dyn Job) -> Result<JobOutput, Error> {
    let (mut completions, mut requests) = (Vec::new(), Vec::new());
    loop {
        let step = job.step(&mut completions, &mut requests, STEP_BYTES);
        if let JobStep::Done(result) = step {
            debug_assert!(requests.is_empty(), "a job that is done asks for nothing");
            return result;
        }
        let waits = matches!(step, JobStep::Waiting);
        debug_assert!(!waits || !requests.is_empty(), "a job waits for nothing");
        completions.extend(requests.drain(..).map(|request| perform(dir, request)));
    }
}

/// Appends an edit to a manifest; it is durable when this returns.
pub fn publish(dir: &mut dyn Dir, manifest: &mut Manifest, edit: Edit) -> Result<(), Error> {
    let mut requests = Vec::new();
    manifest.append(edit, &mut requests);
    while let Some(request) = requests.pop() {
        let completion = perform(dir, request);
        if let Some(ManifestEvent::Stalled(source)) = manifest.complete(completion, &mut requests) {
            return Err(Error::io("write", manifest.file(), dir.path(), source));
        }
    }
    Ok(())
}
