//! A file system in memory that knows what is durable, and forgets the rest when the power goes.
//!
//! - A write changes the file at once and notes the old contents of the sectors it touched, until the file is synced.
//!   When the power goes, each noted sector is either as it was or as it is: per file all of them, none, or each by itself.
//! - A change of names (create, rename, unlink, mkdir) is noted in its directory until that directory is synced. When the
//!   power goes a prefix of the noted changes is kept, as with a journal.
//! - A length that wasn't synced is kept or not.
//!
//! An operation can be made the last one: then the victim is killed, and everything after fails and changes nothing.

use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};

/// What survives a power loss whole.
pub const SECTOR: usize = 512;

/// The number of the root directory.
pub const ROOT: u64 = 1;

/// Why an operation failed, as an errno.
pub type Errno = i32;

/// A file or a directory.
pub enum Node {
    /// A file.
    File(FileNode),
    /// A directory.
    Dir(DirNode),
}

/// A file.
#[derive(Default)]
pub struct FileNode {
    /// Its bytes as programs see them.
    pub bytes: Vec<u8>,
    /// What kind of the store's files it is, for the names of steps.
    kind: &'static str,
    durable_len: usize,
    undo: BTreeMap<usize, [u8; SECTOR]>,
}

/// A directory.
#[derive(Default)]
pub struct DirNode {
    /// Its names as programs see them.
    pub names: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    changes: Vec<Change>,
}

enum Change {
    Set(String, u64),
    Remove(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Change::Set(name, node) => names.insert(name.clone(), *node),
            Change::Remove(name) => names.remove(name),
        };
    }
}

/// When the victim is killed: at the `nth` operation named `step`, before or after it was done.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Such as `log.sync`.
    pub step: String,
    /// Counted from 1.
    pub nth: u64,
    /// Whether the operation itself is done.
    pub is_done: bool,
}

/// What a power loss did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    /// Sectors that went back to what they were.
    pub sectors: u64,
    /// Files of which some unsynced sectors were kept and some weren't.
    pub torn_files: u64,
    /// Changes of names that were forgotten.
    pub names: u64,
}

/// See the module.
pub struct Disk {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    is_dead: bool,
    victim: Option<u32>,
    trigger: Option<Trigger>,
    /// How often each step was taken since the power came back.
    pub steps: BTreeMap<String, u64>,
}

impl Disk {
    /// An empty file system.
    pub fn new() -> Disk {
        let nodes = BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]);
        Disk { nodes, next: ROOT + 1, is_dead: false, victim: None, trigger: None, steps: BTreeMap::new() }
    }

    /// Whom to kill, and when if not from outside.
    pub fn aim(&mut self, victim: u32, trigger: Option<Trigger>) {
        (self.victim, self.trigger) = (Some(victim), trigger);
    }

    /// The power goes: nothing is done any more, and the victim is killed.
    pub fn die(&mut self) {
        self.is_dead = true;
        if let Some(pid) = self.victim.take() {
            // SAFETY: kill takes no memory; the victim is our own child and not yet waited for.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
        }
    }

    /// Whether the power went.
    pub fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// The power comes back: what wasn't durable is kept or lost, as `rng` decides.
    pub fn recover(&mut self, rng: &mut SmallRng) -> Losses {
        let mut losses = Losses::default();
        for node in self.nodes.values_mut() {
            match node {
                Node::Dir(dir) => dir.lose(rng, &mut losses),
                Node::File(file) => file.lose(rng, &mut losses),
            }
        }
        let named: BTreeSet<u64> = self.nodes.values().flat_map(Node::children).chain([ROOT]).collect();
        self.nodes.retain(|number, _| named.contains(number));
        (self.is_dead, self.victim, self.trigger) = (false, None, None);
        self.steps.clear();
        losses
    }

    /// Does an operation that changes something, unless the power is gone or goes before it.
    fn change<T>(
        &mut self,
        step: String,
        act: impl FnOnce(&mut Disk) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if self.is_dead {
            return Err(libc::EIO);
        }
        let taken = self.steps.entry(step.clone()).or_default();
        *taken += 1;
        let last = self.trigger.as_ref().filter(|trigger| trigger.step == step && trigger.nth == *taken);
        match last.map(|trigger| trigger.is_done) {
            None => act(self),
            Some(is_done) => {
                let outcome = if is_done { act(self) } else { Err(libc::EIO) };
                self.die();
                outcome.and(Err(libc::EIO))
            }
        }
    }

    /// A node by its number.
    pub fn node(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(libc::ENOENT)
    }

    /// A directory by its number.
    pub fn dir(&self, number: u64) -> Result<&DirNode, Errno> {
        match self.node(number)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(libc::ENOTDIR),
        }
    }

    /// A file by its number.
    pub fn file(&self, number: u64) -> Result<&FileNode, Errno> {
        match self.node(number)? {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(libc::EISDIR),
        }
    }

    fn dir_mut(&mut self, number: u64) -> Result<&mut DirNode, Errno> {
        match self.nodes.get_mut(&number).ok_or(libc::ENOENT)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(libc::ENOTDIR),
        }
    }

    fn file_mut(&mut self, number: u64) -> Result<&mut FileNode, Errno> {
        match self.nodes.get_mut(&number).ok_or(libc::ENOENT)? {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(libc::EISDIR),
        }
    }

    fn kind(&self, number: u64) -> &'static str {
        self.file(number).map_or("dir", |file| file.kind)
    }

    /// The number of a name in a directory.
    pub fn find(&self, parent: u64, name: &str) -> Result<u64, Errno> {
        self.dir(parent)?.names.get(name).copied().ok_or(libc::ENOENT)
    }

    /// Makes a file or a directory.
    pub fn create(&mut self, parent: u64, name: &str, is_dir: bool) -> Result<u64, Errno> {
        let kind = if is_dir { "dir" } else { kind_of(name) };
        self.change(format!("{kind}.create"), |disk| {
            if disk.dir(parent)?.names.contains_key(name) {
                return Err(libc::EEXIST);
            }
            let number = disk.next;
            disk.next += 1;
            let node = match is_dir {
                true => Node::Dir(DirNode::default()),
                false => Node::File(FileNode { kind, ..FileNode::default() }),
            };
            disk.nodes.insert(number, node);
            disk.dir_mut(parent)?.record(Change::Set(name.to_owned(), number));
            Ok(number)
        })
    }

    /// Removes a name. Its node stays until nobody can come back to it.
    pub fn remove(&mut self, parent: u64, name: &str) -> Result<(), Errno> {
        self.change(format!("{}.unlink", kind_of(name)), |disk| {
            let number = disk.find(parent, name)?;
            if disk.dir(number).is_ok_and(|dir| !dir.names.is_empty()) {
                return Err(libc::ENOTEMPTY);
            }
            disk.dir_mut(parent)?.record(Change::Remove(name.to_owned()));
            Ok(())
        })
    }

    /// Renames over whatever is there, within one directory.
    pub fn rename(&mut self, parent: u64, name: &str, to_parent: u64, to: &str) -> Result<(), Errno> {
        self.change(format!("{}.rename", kind_of(name)), |disk| {
            if parent != to_parent {
                return Err(libc::EXDEV);
            }
            let number = disk.find(parent, name)?;
            let dir = disk.dir_mut(parent)?;
            // One change: a journal keeps both halves or none.
            dir.record(Change::Set(to.to_owned(), number));
            dir.record(Change::Remove(name.to_owned()));
            if let Ok(file) = disk.file_mut(number) {
                file.kind = kind_of(to);
            }
            Ok(())
        })
    }

    /// Writes into a file.
    pub fn write(&mut self, number: u64, offset: usize, data: &[u8]) -> Result<(), Errno> {
        let kind = self.kind(number);
        let step = if offset == 0 { "write-head" } else { "write" };
        self.change(format!("{kind}.{step}"), |disk| {
            disk.file_mut(number)?.write(offset, data);
            Ok(())
        })
    }

    /// Changes a file's length.
    pub fn truncate(&mut self, number: u64, len: usize) -> Result<(), Errno> {
        let kind = self.kind(number);
        self.change(format!("{kind}.truncate"), |disk| {
            disk.file_mut(number)?.truncate(len);
            Ok(())
        })
    }

    /// Makes a file's bytes, or a directory's names, durable.
    pub fn sync(&mut self, number: u64) -> Result<(), Errno> {
        let kind = self.kind(number);
        self.change(format!("{kind}.sync"), |disk| {
            match disk.nodes.get_mut(&number).ok_or(libc::ENOENT)? {
                Node::File(file) => {
                    file.undo.clear();
                    file.durable_len = file.bytes.len();
                }
                Node::Dir(dir) => {
                    dir.changes.clear();
                    dir.durable = dir.names.clone();
                }
            }
            Ok(())
        })
    }
}

/// What kind of the store's files a name means.
fn kind_of(name: &str) -> &'static str {
    match name.split_once('.').map(|(_, suffix)| suffix) {
        Some("log") => "log",
        Some("sst") => "table",
        Some("manifest") => "manifest",
        Some("manifest.tmp") => "manifest-temp",
        _ => "store",
    }
}

impl Node {
    fn children(&self) -> Vec<u64> {
        match self {
            Node::Dir(dir) => dir.names.values().copied().collect(),
            Node::File(_) => Vec::new(),
        }
    }
}

impl DirNode {
    fn record(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn lose(&mut self, rng: &mut SmallRng, losses: &mut Losses) {
        let mut kept = rng.random_range(0..=self.changes.len());
        // Not between the halves of a rename.
        if let (Some(Change::Set(_, node)), Some(Change::Remove(name))) =
            (kept.checked_sub(1).map(|last| &self.changes[last]), self.changes.get(kept))
            && self.durable_after(kept).get(name) == Some(node)
        {
            kept += 1;
        }
        losses.names += (self.changes.len() - kept) as u64;
        self.durable = self.durable_after(kept);
        self.changes.clear();
        self.names = self.durable.clone();
    }

    fn durable_after(&self, changes: usize) -> BTreeMap<String, u64> {
        let mut names = self.durable.clone();
        self.changes[..changes].iter().for_each(|change| change.apply(&mut names));
        names
    }
}

impl FileNode {
    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let bytes = &self.bytes;
            self.undo.entry(sector).or_insert_with(|| {
                let mut old = [0; SECTOR];
                let start = sector * SECTOR;
                let known = self.durable_len.min(bytes.len()).clamp(start, start + SECTOR) - start;
                old[..known].copy_from_slice(&bytes[start..start + known]);
                old
            });
        }
        self.bytes[offset..end].copy_from_slice(data);
    }

    fn truncate(&mut self, len: usize) {
        if len < self.bytes.len() {
            let zeros = vec![0; self.bytes.len() - len];
            self.write(len, &zeros);
        }
        self.bytes.resize(len, 0);
    }

    fn lose(&mut self, rng: &mut SmallRng, losses: &mut Losses) {
        if self.bytes.len() != self.durable_len && rng.random() {
            self.bytes.resize(self.durable_len, 0);
        }
        let (all, none) = (rng.random_ratio(1, 3), rng.random_ratio(1, 2));
        let (mut kept, mut lost) = (0, 0);
        for (sector, old) in std::mem::take(&mut self.undo) {
            let start = sector * SECTOR;
            if all || (!none && rng.random()) || start >= self.bytes.len() {
                kept += 1;
                continue;
            }
            let end = (start + SECTOR).min(self.bytes.len());
            self.bytes[start..end].copy_from_slice(&old[..end - start]);
            lost += 1;
        }
        losses.sectors += lost;
        losses.torn_files += u64::from(kept > 0 && lost > 0);
        self.durable_len = self.bytes.len();
    }
}
