//! Requests performed on glommio: DMA files where the directory has O_DIRECT, buffered files elsewhere,
//! and plain calls on the executor's helper thread for names.

use crate::aligned::AlignedBuf;
use crate::drive::direct;
use crate::drive::files::is_aligned;
use crate::drive::rare;
use crate::drive::span::{ReadSpan, aligned_progress};
use crate::error::Error;
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest};
use glommio::GlommioError;
use glommio::io::{BufferedFile, DmaFile, OpenOptions, ReadResult};
use glommio::sync::Semaphore;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// The most that one transfer moves, in bytes: bounds the memory of a large request.
const TRANSFER_BYTES: usize = 1 << 20;

/// A shard's directory as the executor sees it.
pub(super) struct Disk {
    dir: Arc<PathBuf>,
    direct: bool,
}

/// The files that a job has open, until it ends.
pub(super) struct OpenFiles {
    files: RefCell<HashMap<(FileName, bool), Rc<Handle>>>,
    /// Several requests on a file that isn't open yet open it once.
    opening: Semaphore,
}

impl Default for OpenFiles {
    fn default() -> OpenFiles {
        OpenFiles { files: RefCell::default(), opening: Semaphore::new(1) }
    }
}

enum Handle {
    Direct(DmaFile),
    Buffered(BufferedFile),
}

impl Disk {
    /// The directory at `dir`. Runs on the executor.
    pub(super) async fn open(dir: PathBuf) -> Result<Disk, Error> {
        let probe = direct::probe(&dir)?;
        // The first DMA file of a device that an executor opens tells it whether the device can be
        // polled; an empty one tells it wrongly that it can.
        if let Some(path) = probe.as_ref().and_then(|probe| probe.filled_path()) {
            let failed = |error| Error::io("open", "O_DIRECT probe", dir.display(), plain(error));
            DmaFile::open(path).await.map_err(failed)?.close().await.map_err(failed)?;
        }
        Ok(Disk { direct: probe.is_some(), dir: Arc::new(dir) })
    }

    /// Where its files are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Performs a request.
    pub(super) async fn perform(&self, request: IoRequest, files: &OpenFiles) -> IoCompletion {
        match request {
            IoRequest::Read { token, file, offset, len } => {
                IoCompletion { token, result: self.read(files, file, offset, len).await }
            }
            IoRequest::Write { token, file, offset, data, sync } => {
                IoCompletion { token, result: self.write(files, file, offset, data, sync).await }
            }
            IoRequest::Sync { token, file } => {
                IoCompletion { token, result: self.sync(files, file).await.map(|()| IoOutput::Done) }
            }
            rare => {
                files.observe(&rare);
                let dir = Arc::clone(&self.dir);
                self.blocking(move || rare::perform(&dir, &rare)).await
            }
        }
    }

    /// Runs something that blocks, and doesn't panic, on the executor's helper thread.
    pub(super) async fn blocking<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> T {
        glommio::executor().spawn_blocking(call).await
    }

    async fn read(&self, files: &OpenFiles, file: FileName, offset: u64, len: usize) -> io::Result<IoOutput> {
        let handle = self.handle(files, file, self.direct).await?;
        let span = ReadSpan::new(offset, len);
        let mut buf = AlignedBuf::with_capacity(span.len);
        while !span.is_covered_by(buf.len()) {
            let piece = TRANSFER_BYTES.min(span.len - buf.len());
            let bytes = handle.read_at(span.offset + buf.len() as u64, piece).await?;
            let before = buf.len();
            buf.extend_from_slice(&bytes);
            if !span.is_covered_by(buf.len()) {
                buf.truncate(aligned_progress(buf.len(), handle.is_direct()));
                if buf.len() <= before {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(IoOutput::Data(span.cut(buf)))
    }

    async fn write(
        &self,
        files: &OpenFiles,
        file: FileName,
        offset: u64,
        data: AlignedBuf,
        sync: bool,
    ) -> io::Result<IoOutput> {
        let direct = self.direct && is_aligned(offset, data.len());
        let handle = self.handle(files, file, direct).await?;
        let mut written = 0;
        while written < data.len() {
            let piece = &data[written..data.len().min(written + TRANSFER_BYTES)];
            let count = handle.write_at(offset + written as u64, piece).await?;
            let end = if written + count == data.len() {
                data.len()
            } else {
                written + aligned_progress(count, direct)
            };
            if end <= written {
                return Err(ErrorKind::WriteZero.into());
            }
            written = end;
        }
        if sync {
            handle.sync().await?;
        }
        Ok(IoOutput::Written(data))
    }

    async fn sync(&self, files: &OpenFiles, file: FileName) -> io::Result<()> {
        self.handle(files, file, self.direct).await?.sync().await
    }

    async fn handle(&self, files: &OpenFiles, file: FileName, direct: bool) -> io::Result<Rc<Handle>> {
        let _turn = files.opening.acquire_permit(1).await.map_err(plain)?;
        if let Some(handle) = files.files.borrow().get(&(file, direct)) {
            return Ok(Rc::clone(handle));
        }
        let path = rare::path(&self.dir, file);
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let handle = Rc::new(if direct {
            Handle::Direct(options.dma_open(path).await.map_err(plain)?)
        } else {
            Handle::Buffered(options.buffered_open(path).await.map_err(plain)?)
        });
        files.files.borrow_mut().insert((file, direct), Rc::clone(&handle));
        Ok(handle)
    }
}

impl OpenFiles {
    /// Forgets the files whose names a request changes.
    fn observe(&self, request: &IoRequest) {
        let mut files = self.files.borrow_mut();
        let mut forget = |file| {
            files.remove(&(file, false));
            files.remove(&(file, true));
        };
        match *request {
            IoRequest::Create { file, .. } | IoRequest::Unlink { file, .. } => forget(file),
            IoRequest::Rename { from, to, .. } => {
                forget(from);
                forget(to);
            }
            _ => {}
        }
    }
}

impl Handle {
    fn is_direct(&self) -> bool {
        matches!(self, Handle::Direct(_))
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<ReadResult> {
        match self {
            Handle::Direct(file) => file.read_at_aligned(offset, len).await,
            Handle::Buffered(file) => file.read_at(offset, len).await,
        }
        .map_err(plain)
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Handle::Direct(file) => {
                let mut buf = file.alloc_dma_buffer(bytes.len());
                buf.as_bytes_mut().copy_from_slice(bytes);
                file.write_at(buf, offset).await
            }
            Handle::Buffered(file) => file.write_at(bytes.to_vec(), offset).await,
        }
        .map_err(plain)
    }

    async fn sync(&self) -> io::Result<()> {
        match self {
            Handle::Direct(file) => file.fdatasync().await,
            Handle::Buffered(file) => file.fdatasync().await,
        }
        .map_err(plain)
    }
}

/// The error of the system call, which callers tell apart by its number.
fn plain(error: GlommioError<()>) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.into(),
    }
}
