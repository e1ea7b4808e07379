//! Mounts a [`Disk`] through FUSE, without any cache of the kernel's that would outlive a power loss.

use super::disk::{Disk, Node, SECTOR};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A disk that is shared between the file system's thread and whoever cuts its power.
pub type SharedDisk = Arc<Mutex<Disk>>;

/// Takes the lock of a disk.
pub fn lock(disk: &SharedDisk) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long files of a process that is gone may stay open.
const UNMOUNT_MAX: Duration = Duration::from_secs(20);

/// Ends a session. What a process had open that was killed is closed a moment after it is gone.
pub fn unmount(session: BackgroundSession, at: &Path) -> io::Result<()> {
    let path = CString::new(at.as_os_str().as_bytes())?;
    let until = Instant::now() + UNMOUNT_MAX;
    // SAFETY: the path is a string that ends with a zero, and outlives the call.
    while unsafe { libc::umount2(path.as_ptr(), 0) } != 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EBUSY) || Instant::now() > until {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    session.join()
}

/// Mounts `disk` at `at` until the session is unmounted.
pub fn mount(disk: &SharedDisk, at: &Path) -> io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("pinion-volatile".to_owned()), MountOption::NoAtime];
    fuser::spawn_mount(Volatile(Arc::clone(disk)), at, &config)
}

/// Attributes and names may change behind the kernel's back, when the power goes: it asks each time.
const NO_CACHE: Duration = Duration::ZERO;

/// Room that the file system says it has, in blocks of 4 KiB.
const BLOCKS: u64 = 1 << 22;

struct Volatile(SharedDisk);

impl Volatile {
    fn with<T>(&self, act: impl FnOnce(&mut Disk) -> Result<T, i32>) -> Result<T, Errno> {
        act(&mut lock(&self.0)).map_err(Errno::from_i32)
    }

    fn attributes(&self, number: u64) -> Result<FileAttr, Errno> {
        self.with(|disk| disk.node(number).map(|node| attributes(number, node)))
    }

    fn empty(&self, reply: ReplyEmpty, act: impl FnOnce(&mut Disk) -> Result<(), i32>) {
        match self.with(act) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn entry(&self, reply: ReplyEntry, number: Result<u64, Errno>) {
        match number.and_then(|number| self.attributes(number)) {
            Ok(attributes) => reply.entry(&NO_CACHE, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }
}

fn attributes(number: u64, node: &Node) -> FileAttr {
    let (kind, size, perm) = match node {
        Node::Dir(_) => (FileType::Directory, 0, 0o755),
        Node::File(file) => (FileType::RegularFile, file.bytes.len() as u64, 0o644),
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(SECTOR as u64),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        // SAFETY: these calls only read the process's own numbers.
        uid: unsafe { libc::getuid() },
        gid: unsafe { libc::getgid() },
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn text(name: &OsStr) -> Result<&str, i32> {
    name.to_str().ok_or(libc::EINVAL)
}

impl Filesystem for Volatile {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Log commits and pieces of tables arrive whole.
        config
            .set_max_write(1 << 20)
            .map(drop)
            .or_else(|nearest| config.set_max_write(nearest).map(drop))
            .ok();
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(reply, self.with(|disk| disk.find(parent.0, text(name)?)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino.0) {
            Ok(attributes) => reply.attr(&NO_CACHE, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = self.with(|disk| size.map_or(Ok(()), |size| disk.truncate(ino.0, size as usize)));
        match resized.and_then(|()| self.attributes(ino.0)) {
            Ok(attributes) => reply.attr(&NO_CACHE, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        self.entry(reply, self.with(|disk| disk.create(parent.0, text(name)?, true)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |disk| disk.remove(parent.0, text(name)?));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |disk| disk.remove(parent.0, text(name)?));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.empty(reply, |disk| disk.rename(parent.0, text(name)?, to_parent.0, text(to)?));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let made = self.with(|disk| disk.create(parent.0, text(name)?, false));
        match made.and_then(|number| self.attributes(number)) {
            Ok(attributes) => {
                reply.created(&NO_CACHE, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = lock(&self.0);
        match disk.file(ino.0) {
            Ok(file) => {
                let start = file.bytes.len().min(offset as usize);
                let end = file.bytes.len().min(start + size as usize);
                reply.data(&file.bytes[start..end]);
            }
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.with(|disk| disk.write(ino.0, offset as usize, data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.empty(reply, |disk| disk.sync(ino.0));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.empty(reply, |disk| disk.sync(ino.0));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let names = match self.with(|disk| Ok(disk.dir(ino.0)?.names.clone())) {
            Ok(names) => names,
            Err(error) => return reply.error(error),
        };
        for (place, (name, number)) in names.iter().enumerate().skip(offset as usize) {
            let kind = self.attributes(*number).map_or(FileType::RegularFile, |attributes| attributes.kind);
            if reply.add(INodeNo(*number), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}
