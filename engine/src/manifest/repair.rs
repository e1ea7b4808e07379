//! Makes a damaged manifest one that opens, and shows what a manifest holds.
//!
//! Edits are an order, as the log is: what is kept is the state before the first bad edit. Where the state
//! that began the newest file is itself bad, an older file counts, if a rewrite was interrupted before it
//! was removed; otherwise nothing can be proved and the repair refuses.

use super::format::{FileIdentity, RecordKind};
use super::recovery::{Content, list, newest, start_file, without_manifest};
use super::state::{Edit, ManifestState};
use super::writer::Manifest;
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;

/// What a repair of a manifest found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRepair {
    /// What was wrong, in words. Empty: nothing, and nothing was changed.
    pub damage: Vec<String>,
    /// Sound edits that stay.
    pub kept_edits: u64,
    /// Sound edits that go, because one before them is bad.
    pub dropped_edits: u64,
    /// What the manifest says now.
    pub state: ManifestState,
}

/// A record of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestDump {
    /// Where it starts in the file, in bytes.
    pub offset: u64,
    /// Its number; they rise by one.
    pub sequence: u64,
    /// Whether it is the full state that begins the file.
    pub is_state: bool,
    /// What it says.
    pub edit: Edit,
}

impl Manifest {
    /// Rewrites a damaged manifest from what comes before the damage. Does nothing to a sound one.
    pub fn repair(dir: &mut dyn Dir, shard_id: [u8; 16]) -> Result<ManifestRepair, Error> {
        let names = list(dir)?;
        let mut numbers: Vec<u64> = names
            .iter()
            .filter(|name| matches!(name, FileName::Manifest(_)))
            .map(|name| name.number())
            .collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let mut damage = Vec::new();
        for &number in &numbers {
            let content = match Content::read(dir, number) {
                Ok(content) if content.place.shard_id == shard_id => content,
                Ok(_) => {
                    damage.push(format!("{} belongs to another shard", FileName::Manifest(number)));
                    continue;
                }
                Err(error @ Error::Damaged { .. }) => {
                    damage.push(error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            damage.extend(content.damage(dir).map(|error| error.to_string()));
            let dropped_edits = content.beyond.map_or(0, |(_, count)| count);
            let kept_edits = content.edits;
            if !damage.is_empty() {
                content.check_sequence(dir)?;
                let place = FileIdentity::new(shard_id, numbers[0] + 1);
                start_file(dir, place, content.sequence + 1, content.state.clone(), &names)?;
            }
            return Ok(ManifestRepair { damage, kept_edits, dropped_edits, state: content.state });
        }
        Err(Error::Unusable(format!(
            "no manifest in {} can be read ({}); restore one from a backup",
            dir.path(),
            if damage.is_empty() { "there is none".to_owned() } else { damage.join("; ") }
        )))
    }

    /// Reads the manifest that counts without changing anything: hands every sound record to `visit` and
    /// returns the state they come to. The shard's id is taken from the file.
    pub fn dump(dir: &dyn Dir, visit: &mut dyn FnMut(ManifestDump)) -> Result<ManifestState, Error> {
        let content = Content::read_with(dir, newest_of(dir)?, &mut |offset, record| {
            let is_state = record.kind == RecordKind::State;
            visit(ManifestDump { offset, sequence: record.sequence, is_state, edit: record.edit.clone() });
        })?;
        content.damage(dir).map_or(Ok(content.state), Err)
    }

    /// The shard that the manifest in a directory was made for.
    pub fn shard_id(dir: &dyn Dir) -> Result<[u8; 16], Error> {
        Content::read(dir, newest_of(dir)?).map(|content| content.place.shard_id)
    }

    /// What the manifest of this shard says. Changes nothing; refuses one that is damaged, or another shard's.
    pub fn read(dir: &dyn Dir, shard_id: [u8; 16]) -> Result<ManifestState, Error> {
        let content = Content::read(dir, newest_of(dir)?)?;
        content.check_shard(dir, shard_id)?;
        content.damage(dir).map_or(Ok(content.state), Err)
    }
}

/// The number of the manifest that counts.
fn newest_of(dir: &dyn Dir) -> Result<u64, Error> {
    let names = list(dir)?;
    newest(&names).ok_or_else(|| without_manifest(dir, &names))
}
