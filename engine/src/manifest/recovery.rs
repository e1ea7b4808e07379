//! Reading a manifest back.

use super::edit_bytes::Unread;
use super::format::{
    BLOCK, FORMAT_VERSION, FileIdentity, HeaderFault, ManifestRecord, RecordKind, parse_header,
};
use super::state::ManifestState;
use super::writer::{Manifest, encode_file};
use crate::Error;
use crate::aligned::AlignedBuf;
use crate::dir::{Dir, repair_hint, rewrite};
use crate::error::is_without_room;
use crate::fields::Malformed;
use crate::io::FileName;

/// A manifest that reached this sequence number isn't written on.
const SEQUENCE_MAX: u64 = 1 << 62;

impl Manifest {
    /// Reads the manifest of a shard's directory, or makes one in a directory that has no file of ours.
    ///
    /// A torn last edit is cut: the state moves to a new file, before the next edit at the latest if there is no room for it now. Leftovers of rewrites are removed. Fails
    /// with [`Error::Damaged`] where an edit that was durable can't be read, and with
    /// [`Error::Unusable`] where there are tables or log files but no manifest.
    pub fn recover(dir: &mut dyn Dir, shard_id: [u8; 16]) -> Result<(Manifest, ManifestState), Error> {
        let names = list(dir)?;
        let Some(number) = newest(&names) else {
            refuse_orphans(dir, &names)?;
            return start_file(dir, FileIdentity::new(shard_id, 1), 1, ManifestState::default(), &names);
        };
        let content = Content::read(dir, number)?;
        content.check_shard(dir, shard_id)?;
        if let Some(damage) = content.damage(dir) {
            return Err(damage);
        }
        content.check_sequence(dir)?;
        let (place, sequence) = (content.place, content.sequence);
        let must_move = content.bad.is_some();
        if must_move {
            let next = FileIdentity::new(shard_id, number + 1);
            match start_file(dir, next, sequence + 1, content.state.clone(), &names) {
                Err(Error::Io { source, .. }) if is_without_room(&source) => abandon(dir, next.number),
                done => return done,
            }
        }
        // A killed process may have left edits that only the page cache has, and no sync will write.
        let file = FileName::Manifest(number);
        rewrite(dir, file, 0..content.end)
            .map_err(|error| Error::io("make durable", file, dir.path(), error))?;
        dir.sync_dir().map_err(|error| Error::io("sync", "names", dir.path(), error))?;
        remove_leftovers(dir, &names, file);
        let mut manifest = Manifest::new(place, content.end, sequence, content.state.clone());
        if must_move {
            manifest.move_before_next_edit(number + 2);
        }
        Ok((manifest, content.state))
    }
}

/// Removes what a file left that couldn't be made. It says what the file that counts says: it does no harm if it stays.
fn abandon(dir: &mut dyn Dir, number: u64) {
    for file in [FileName::ManifestTemp(number), FileName::Manifest(number)] {
        // Mostly it isn't there.
        drop(dir.unlink(file));
    }
}

/// What a manifest file holds up to its first bad record.
#[derive(Debug)]
pub(super) struct Content {
    pub place: FileIdentity,
    pub state: ManifestState,
    /// Sequence number of the last sound record.
    pub sequence: u64,
    /// Where the next record starts.
    pub end: u64,
    pub edits: u64,
    /// What is wrong at `end`, if the file doesn't end there.
    pub bad: Option<String>,
    /// Offset of the first sound record behind a bad one, and how many there are.
    pub beyond: Option<(u64, u64)>,
}

impl Content {
    /// Reads a file. Its header and its full state must be sound: they were durable before the file got
    /// its name.
    pub fn read(dir: &dyn Dir, number: u64) -> Result<Content, Error> {
        Content::read_with(dir, number, &mut |_, _| {})
    }

    /// Reads a file and shows every sound record, with its offset.
    pub fn read_with(
        dir: &dyn Dir,
        number: u64,
        visit: &mut dyn FnMut(u64, &ManifestRecord),
    ) -> Result<Content, Error> {
        let file = FileName::Manifest(number);
        let damaged = |offset, what: &str| {
            let what = format!("{what}; {}", repair_hint(dir));
            Error::Damaged { file, offset, what }
        };
        let wrap = |error| Error::io("read", file, dir.path(), error);
        let len = dir.len(file).map_err(wrap)?;
        let bytes = dir.read(file, 0, usize::try_from(len).unwrap_or(usize::MAX)).map_err(wrap)?;
        let place = match bytes.get(..BLOCK as usize).map(parse_header) {
            Some(Ok(place)) if place.number == number => place,
            Some(Err(HeaderFault::Version(found))) => {
                return Err(Error::Format { file, found, supported: FORMAT_VERSION });
            }
            _ => return Err(damaged(0, "its header can't be read")),
        };
        let first = place.parse(BLOCK, &bytes[BLOCK as usize..]).map_err(|unread| match unread {
            Unread::Unknown(_) => unknown(dir, file, BLOCK, &unread),
            Unread::Malformed(_) => damaged(BLOCK, &unread.to_string()),
        })?;
        if first.kind != RecordKind::State {
            return Err(damaged(BLOCK, "it doesn't begin with a full state"));
        }
        ManifestState::default().check(&first.edit).map_err(|what| damaged(BLOCK, &what))?;
        visit(BLOCK, &first);
        let mut content = Content {
            place,
            state: ManifestState::default(),
            sequence: first.sequence,
            end: BLOCK + first.bytes,
            edits: 0,
            bad: None,
            beyond: None,
        };
        content.state.apply(&first.edit);
        content.read_edits(dir, &bytes, visit)?;
        Ok(content)
    }

    /// Reads the edits behind the state, up to the first bad one. One that is sound and that this build can't read is no
    /// torn one: it is refused.
    fn read_edits(
        &mut self,
        dir: &dyn Dir,
        bytes: &[u8],
        visit: &mut dyn FnMut(u64, &ManifestRecord),
    ) -> Result<(), Error> {
        while self.bad.is_none() && self.end < bytes.len() as u64 {
            match self.place.parse(self.end, &bytes[self.end as usize..]) {
                Ok(record) => self.take(record, visit),
                Err(unread @ Unread::Unknown(_)) => {
                    return Err(unknown(dir, FileName::Manifest(self.place.number), self.end, &unread));
                }
                Err(Unread::Malformed(Malformed(what))) => {
                    self.bad = Some(what.to_owned());
                    // If its checksum is right it was durable; it proves itself.
                    let is_whole = self.place.sequence(self.end, &bytes[self.end as usize..]).is_some();
                    self.beyond = is_whole.then_some((self.end, 1));
                }
            }
        }
        let mut at = self.end + BLOCK;
        while self.bad.is_some() && at < bytes.len() as u64 {
            // Whatever it says: that it is whole is enough.
            if self.place.sequence(at, &bytes[at as usize..]).is_some_and(|sequence| sequence > self.sequence)
            {
                let (offset, count) = self.beyond.unwrap_or((at, 0));
                self.beyond = Some((offset, count + 1));
            }
            at += BLOCK;
        }
        Ok(())
    }

    fn take(&mut self, record: ManifestRecord, visit: &mut dyn FnMut(u64, &ManifestRecord)) {
        if record.kind != RecordKind::Edit || record.sequence.checked_sub(1) != Some(self.sequence) {
            self.bad = Some("a record is out of order".to_owned());
        } else if let Err(what) = self.state.check(&record.edit) {
            self.bad = Some(what);
            // Its checksum is right, so it was durable; it proves itself.
            self.beyond = Some((self.end, 1));
        } else {
            visit(self.end, &record);
            self.state.apply(&record.edit);
            self.sequence = record.sequence;
            self.end += record.bytes;
            self.edits += 1;
        }
    }

    /// Refuses a manifest that has no sequence numbers left, or says so.
    pub fn check_sequence(&self, dir: &dyn Dir) -> Result<(), Error> {
        if self.sequence < SEQUENCE_MAX {
            return Ok(());
        }
        let (file, dir) = (FileName::Manifest(self.place.number), dir.path());
        Err(Error::Unusable(format!(
            "{file} in {dir} was edited {} times, or says so: no number is left; load its data into a new store",
            self.sequence
        )))
    }

    /// Refuses the manifest of another shard.
    pub fn check_shard(&self, dir: &dyn Dir, shard_id: [u8; 16]) -> Result<(), Error> {
        if self.place.shard_id == shard_id {
            return Ok(());
        }
        let (file, dir) = (FileName::Manifest(self.place.number), dir.path());
        Err(Error::Unusable(format!(
            "{file} in {dir} belongs to another shard; move it back to where it came from"
        )))
    }

    /// The error if what is wrong at the end was durable once.
    pub fn damage(&self, dir: &dyn Dir) -> Option<Error> {
        let (what, (beyond, _)) = (self.bad.as_ref()?, self.beyond?);
        let hint = repair_hint(dir);
        let what = if beyond == self.end {
            format!("{what}; {hint}")
        } else {
            format!("{what}, though the sound edit at offset {beyond} was written after it; {hint}")
        };
        Some(Error::Damaged { file: FileName::Manifest(self.place.number), offset: self.end, what })
    }
}

/// A sound record that this build can't read.
fn unknown(dir: &dyn Dir, file: FileName, offset: u64, unread: &Unread) -> Error {
    Error::Newer { file, dir: dir.path(), offset, what: unread.to_string() }
}

/// The files of a shard. One whose number leaves none for the next is refused: what came behind it would be lost.
pub(super) fn list(dir: &dyn Dir) -> Result<Vec<FileName>, Error> {
    let names = dir.list().map_err(|error| Error::io("list", "files", dir.path(), error))?;
    match names.iter().find(|name| name.number() > FileName::NUMBER_MAX) {
        None => Ok(names),
        Some(name) => Err(Error::Unusable(format!(
            "{name} in {} has a number that no store reaches; move it out of there",
            dir.path()
        ))),
    }
}

/// The number of the manifest that counts.
pub(super) fn newest(names: &[FileName]) -> Option<u64> {
    names.iter().filter(|name| matches!(name, FileName::Manifest(_))).map(|name| name.number()).max()
}

fn refuse_orphans(dir: &dyn Dir, names: &[FileName]) -> Result<(), Error> {
    let is_data = |name: &FileName| matches!(name, FileName::Table(_) | FileName::Log(_));
    if names.iter().any(is_data) { Err(without_manifest(dir, names)) } else { Ok(()) }
}

/// What is missing in a directory that has no manifest, and should have one.
pub(crate) fn without_manifest(dir: &dyn Dir, names: &[FileName]) -> Error {
    let data = names.iter().filter(|name| matches!(name, FileName::Table(_) | FileName::Log(_))).count();
    let what = match data {
        0 => "all files of the shard are missing, and with them every key of its partitions".to_owned(),
        _ => format!("the manifest is missing, which says which of {data} tables and log files count"),
    };
    Error::Unusable(format!("{}: {what}; put back what is missing, or {}", dir.path(), repair_hint(dir)))
}

/// Makes a new manifest file that says `state`, as a rewrite does, and removes the others.
pub(super) fn start_file(
    dir: &mut dyn Dir,
    place: FileIdentity,
    sequence: u64,
    state: ManifestState,
    names: &[FileName],
) -> Result<(Manifest, ManifestState), Error> {
    let (temp, file) = (FileName::ManifestTemp(place.number), FileName::Manifest(place.number));
    let mut buf = AlignedBuf::with_capacity(0);
    encode_file(place, sequence, &state, &mut buf);
    let written = dir
        .create(temp)
        .and_then(|()| dir.write(temp, 0, &buf))
        .and_then(|()| dir.sync(temp))
        .and_then(|()| dir.rename(temp, file))
        .and_then(|()| dir.sync_dir());
    written.map_err(|error| Error::io("write", file, dir.path(), error))?;
    remove_leftovers(dir, names, file);
    Ok((Manifest::new(place, buf.len() as u64, sequence, state.clone()), state))
}

/// Removes every manifest file of `names` but `keep`, which is durable and counts whether the others go or not: one that
/// can't be removed goes at the next opening.
fn remove_leftovers(dir: &mut dyn Dir, names: &[FileName], keep: FileName) {
    for &name in names {
        let manifest = matches!(name, FileName::Manifest(_) | FileName::ManifestTemp(_));
        let gone = keep == FileName::Manifest(name.number()) && matches!(name, FileName::ManifestTemp(_));
        if manifest
            && name != keep
            && !gone
            && let Err(error) = dir.unlink(name)
        {
            tracing::warn!("{name} in {}, which {keep} replaced, can't be removed: {error}", dir.path());
        }
    }
}
