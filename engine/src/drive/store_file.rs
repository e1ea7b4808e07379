//! `DIR/STORE`: what a store is, written once when it is made.
//!
//! A text of `key = value` lines, readable as TOML, the last of which is the CRC-32C of all bytes before
//! it. It is written to `STORE.tmp`, synced and renamed, so it is there whole or not at all.
//!
//! A store is given another number of shards by building the new shards beside the old ones, in directories
//! of the next *layout*, and replacing `STORE`: that switches from one to the other at once. Shard
//! directories of any other layout than the one that `STORE` names hold nothing that counts.
//!
//! A store is made in two steps: `STORE` is written before its shards are made, and again, saying so, when all of them
//! are there. So a first start that was cut off anywhere is made up by the next one, and a shard that is missing
//! afterwards is lost (`store_shards.rs`). `STORE` itself can be made anew from what the shards' manifests say (`store_rebuild.rs`).

use super::os_dir::sync_dir;
use super::owned;
use super::place::remove_shard_dir;
use super::store_rebuild::{rebuild, shard_words};
use crate::error::Error;
use crate::manifest::Membership;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The version of `STORE` that this build writes. It reads version 1 too, which has no layout: it is 0, and version 2,
/// which doesn't say whether the shards were made.
pub const STORE_FORMAT: u32 = 3;

/// How keys become slots: CRC-16/XMODEM of the key or of the tag in it, modulo 16,384.
pub const SLOT_HASH: &str = "crc16-xmodem/16384";

const FILE: &str = "STORE";
const TEMP: &str = "STORE.tmp";
const LEN_MAX: u64 = 4096;
const SLOTS: u32 = 16_384;

/// What `DIR/STORE` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFile {
    /// Random, made with the store; every file of the store is tied to it.
    pub id: [u8; 16],
    /// Number of shards.
    pub shards: u32,
    /// Number of partitions, a power of two up to 16,384.
    pub partitions: u32,
    /// Which of the shard directories count: 0 in a new store, one more each time the shards are remade.
    pub layout: u32,
    /// All shards were made: one that isn't there is lost.
    pub is_made: bool,
}

/// A store, and its description.
#[derive(Clone, Debug)]
pub struct StoreDir {
    /// Where it is.
    pub path: PathBuf,
    /// What `STORE` says.
    pub file: StoreFile,
}

/// The directory of a shard in a layout: `shard-000` in the first, `shard-000.layout-1` in the next.
pub fn shard_dir(store: &Path, layout: u32, shard: u32) -> PathBuf {
    store.join(match layout {
        0 => format!("shard-{shard:03}"),
        _ => format!("shard-{shard:03}.layout-{layout}"),
    })
}

/// The layout that a name of a shard directory belongs to; `None` if it is none.
pub(super) fn layout_of(name: &str) -> Option<u32> {
    place_of(name).map(|(_, layout)| layout)
}

/// The shard and the layout that a directory's name stands for; `None` if it is no shard's.
pub(super) fn place_of(name: &str) -> Option<(u32, u32)> {
    let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?;
    let name = name.strip_prefix("shard-")?;
    match name.split_once(".layout-") {
        Some((shard, layout)) => Some((number(shard)?, number(layout).filter(|&layout: &u32| layout > 0)?)),
        None => Some((number(name)?, 0)),
    }
}

impl StoreFile {
    /// No server serves more shards.
    pub const SHARDS_MAX: u32 = 1024;

    /// A new store's, with a random id.
    pub fn new(shards: u32, partitions: u32) -> Result<StoreFile, Error> {
        let mut id = [0; 16];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut id))
            .map_err(|source| Error::io("read", "urandom", "/dev", source))?;
        let file = StoreFile { id, shards, partitions, layout: 0, is_made: false };
        file.check().map_err(Error::Unusable)?;
        Ok(file)
    }

    /// Reads `DIR/STORE`; `None` if there is none, so the directory holds no store (yet).
    pub fn read(dir: &Path) -> Result<Option<StoreFile>, Error> {
        match read_text(dir)? {
            None => Ok(None),
            Some(text) => parse(&text).map(Some).map_err(|what| unreadable(dir, &text, &what)),
        }
    }

    /// Whether `DIR/STORE` is lost (there are shards, and it isn't there) or damaged; in words, if it is.
    pub fn damage(dir: &Path) -> Result<Option<String>, Error> {
        match read_text(dir)? {
            None => Ok((!shards_in(dir)?.is_empty()).then(|| "it isn't there".to_owned())),
            Some(text) => Ok(parse(&text).err().filter(|_| !has_checksum(&text))),
        }
    }

    /// Reads `DIR/STORE`; `None` if the directory holds no store. One that has shards and no `STORE` has lost it.
    pub fn find(dir: &Path) -> Result<Option<StoreFile>, Error> {
        let file = StoreFile::read(dir)?;
        if file.is_none() && !shards_in(dir)?.is_empty() {
            return Err(Error::Unusable(format!(
                "{} is missing, which says what the shards beside it are part of; put it back, or {}",
                dir.join(FILE).display(),
                remedy_without_store_file(dir)
            )));
        }
        Ok(file)
    }

    /// Says durably that all shards were made: they are. Should that not be possible now, the next start says it.
    pub fn mark_made(&mut self, dir: &Path) {
        if self.is_made {
            return;
        }
        self.is_made = true;
        if let Err(error) = self.write(dir) {
            tracing::warn!("a shard that gets lost before the next start won't be missed: {error}");
        }
    }

    /// What a shard's manifest says of the store.
    pub fn membership(&self, shard: u32) -> Membership {
        let StoreFile { shards, partitions, layout, .. } = *self;
        Membership { shard, shards, partitions, layout }
    }

    /// Writes `DIR/STORE` atomically and durably, over one that may be there.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        self.check().map_err(Error::Unusable)?;
        let write = || {
            let mut file = owned::create_file(&dir.join(TEMP))?;
            file.write_all(self.to_text().as_bytes())?;
            file.sync_all()?;
            fs::rename(dir.join(TEMP), dir.join(FILE))?;
            sync_dir(dir)
        };
        write().map_err(|source| Error::io("write", FILE, dir.display(), source))
    }

    /// The id that ties a shard's files to it: the store's, with the shard's number and the layout mixed in.
    pub fn shard_id(&self, shard: u32) -> [u8; 16] {
        let mut id = self.id;
        let numbers = shard.to_le_bytes().into_iter().chain(self.layout.to_le_bytes());
        for (byte, number) in id.iter_mut().zip(numbers) {
            *byte ^= number;
        }
        id
    }

    /// The id of the store of which a shard has this one.
    pub(super) fn id_of(shard_id: [u8; 16], shard: u32, layout: u32) -> [u8; 16] {
        // Mixing the numbers in a second time takes them out.
        StoreFile { id: shard_id, shards: 0, partitions: 0, layout, is_made: false }.shard_id(shard)
    }

    /// The directory of a shard of the store in `dir`.
    pub fn shard_dir(&self, dir: &Path, shard: u32) -> PathBuf {
        shard_dir(dir, self.layout, shard)
    }

    /// The shard directories in `dir` that belong to another layout: what a reshard that was cut off left.
    pub fn other_layouts(&self, dir: &Path) -> Result<Vec<PathBuf>, Error> {
        let names = shards_in(dir)?.into_iter().filter(|name| layout_of(name) != Some(self.layout));
        Ok(names.map(|name| dir.join(name)).collect())
    }

    /// Removes [`StoreFile::other_layouts`]. For whoever has opened, and so locked, the store in `dir`.
    pub fn remove_other_layouts(&self, dir: &Path) -> Result<(), Error> {
        for path in self.other_layouts(dir)? {
            tracing::info!("removing {}: the store's shards were remade", path.display());
            remove_shard_dir(&path)?;
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.shards == 0 || self.shards > self.partitions {
            return Err(format!(
                "{} shards for {} partitions; a store has at least 1 shard and no more shards than partitions",
                self.shards, self.partitions
            ));
        }
        if !self.partitions.is_power_of_two() || self.partitions > SLOTS {
            return Err(format!(
                "{} partitions; their number must be a power of two from 1 to {SLOTS}",
                self.partitions
            ));
        }
        Ok(())
    }

    fn to_text(&self) -> String {
        let id: String = self.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let StoreFile { shards, partitions, layout, is_made, .. } = self;
        let mut text = format!(
            "# A Pinion store. Made with the store; not for editing.\n\
             format = {STORE_FORMAT}\nid = \"{id}\"\nshards = {shards}\npartitions = {partitions}\n\
             layout = {layout}\nslots = \"{SLOT_HASH}\"\nmade = {is_made}\n"
        );
        let crc = crc32c::crc32c(text.as_bytes());
        writeln!(text, "crc32c = \"{crc:08x}\"").expect("writing to a String never fails");
        text
    }
}

/// What makes up for files of a store.
pub(super) fn remedy(dir: &Path) -> String {
    format!("`kvtool repair {}` makes up for it as far as possible", dir.display())
}

/// What makes up for `STORE`: a repair, where the shards say enough of it.
fn remedy_without_store_file(dir: &Path) -> String {
    // How many partitions there are can be told to the repair.
    let is_repairable = shard_words(dir).is_ok_and(|words| rebuild(&words, Some(SLOTS)).is_ok());
    if is_repairable {
        return remedy(dir);
    }
    "restore the store from a backup: the shards here don't say enough to make it anew".to_owned()
}

/// `text` isn't what this build can open. Where it is as it was written, no repair helps, and none is needed.
fn unreadable(dir: &Path, text: &str, what: &str) -> Error {
    let file = dir.join(FILE);
    let newer = number(text, "format").ok().filter(|&format| format > STORE_FORMAT);
    let advice = match newer {
        Some(format) if has_checksum(text) => {
            format!("use a build that reads format {format}; nothing is damaged")
        }
        None if has_checksum(text) => "use the build that made the store; nothing is damaged".to_owned(),
        Some(format) => format!(
            "and its checksum doesn't match; use a build that reads format {format} if one made it, otherwise put it back, or {}",
            remedy_without_store_file(dir)
        ),
        None => format!("put it back, or {}", remedy_without_store_file(dir)),
    };
    Error::Unusable(format!("{} is no store file that this build can open: {what}; {advice}", file.display()))
}

/// The names of the shards' directories in `dir`, of all layouts.
pub(super) fn shards_in(dir: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::io("list", "shards", dir.display(), source);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_str().filter(|name| place_of(name).is_some()).map(str::to_owned);
        // A link that leads nowhere is a shard on a disk that isn't there, or one whose removal was cut off.
        names.extend(name.filter(|_| entry.path().is_dir() || entry.path().is_symlink()));
    }
    names.sort();
    Ok(names)
}

/// What is in `DIR/STORE`, if it is there; nothing sensible, if it is no text.
fn read_text(dir: &Path) -> Result<Option<String>, Error> {
    let mut bytes = Vec::new();
    match File::open(dir.join(FILE)).and_then(|file| file.take(LEN_MAX).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io("read", FILE, dir.display(), source)),
    }
}

/// Whether the text is as it was written, by whatever version.
fn has_checksum(text: &str) -> bool {
    let Some(at) = text.rfind("crc32c = ") else { return false };
    let crc = value(&text[at..], "crc32c").ok().and_then(|crc| u32::from_str_radix(crc, 16).ok());
    crc == Some(crc32c::crc32c(&text.as_bytes()[..at]))
}

fn parse(text: &str) -> Result<StoreFile, String> {
    // The version comes first: what follows may look different in another one.
    let format: u32 = number(text, "format")?;
    if !(1..=STORE_FORMAT).contains(&format) {
        return Err(format!("it has format {format}, this build reads 1 to {STORE_FORMAT}"));
    }
    if !has_checksum(text) {
        return Err("its checksum doesn't match, so it was damaged or edited".to_owned());
    }
    let slots = value(text, "slots")?;
    if slots != SLOT_HASH {
        return Err(format!("it maps keys to slots by {slots:?}, this build by {SLOT_HASH:?}"));
    }
    let file = StoreFile {
        id: parse_id(value(text, "id")?).ok_or("its id is no 32 hexadecimal digits")?,
        shards: number(text, "shards")?,
        partitions: number(text, "partitions")?,
        layout: if format == 1 { 0 } else { number(text, "layout")? },
        is_made: format > 2 && flag(text, "made")?,
    };
    file.check()?;
    Ok(file)
}

fn value<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    text.lines()
        .filter_map(|line| line.split_once(" = "))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.trim_matches('"'))
        .ok_or_else(|| format!("{key:?} is missing"))
}

fn number(text: &str, key: &str) -> Result<u32, String> {
    let value = value(text, key)?;
    value.parse().map_err(|_| format!("{key:?} is {value:?}, no number"))
}

fn flag(text: &str, key: &str) -> Result<bool, String> {
    let value = value(text, key)?;
    value.parse().map_err(|_| format!("{key:?} is {value:?}, neither true nor false"))
}

fn parse_id(hex: &str) -> Option<[u8; 16]> {
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    let mut id = [0; 16];
    for (i, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(id)
}

#[cfg(test)]
#[path = "store_file_test.rs"]
mod tests;
