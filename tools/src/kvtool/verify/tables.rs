//! Verifying tables, past their first damage.

use super::Check;
use crate::kvtool::text::key;
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::io::FileName;
use pinion_engine::manifest::ManifestState;
use pinion_engine::table::{BlockCursor, Table, Verifier};
use pinion_engine::tree::Tree;
use std::sync::Arc;

const UNOPENED: &str =
    "the table can't be opened, and so the shard can't; `kvtool repair` saves what blocks it can";
const MISSING: &str = "the shard doesn't open without it; put it back: `kvtool repair` drops it from the manifest, and all that it \
                       held is lost";

/// Verifies the tables that the manifest names, and that they fit together.
pub(super) fn check_all(check: &mut Check<'_>, state: &ManifestState) -> Result<(), Error> {
    let mut sound = Vec::new();
    for entry in state.tables.values() {
        let before = check.report.damage.len();
        check_one(check, entry.number, Some(entry.file_bytes))?;
        if check.report.damage.len() == before {
            let table = Table::open(&check.shard.dir, entry.number, false)?;
            sound.push((usize::from(entry.level), Arc::new(table)));
        }
    }
    match Tree::from_tables(sound) {
        Ok(_) => Ok(()),
        Err(error) => check.found(error, "reads may miss keys of either table; the shard doesn't open"),
    }
}

/// Verifies one table, which the manifest says is so long.
pub(super) fn check_one(check: &mut Check<'_>, number: u64, file_bytes: Option<u64>) -> Result<(), Error> {
    let dir: &dyn Dir = &check.shard.dir;
    check.progress.on(format!("{}: {}", check.shard.name, FileName::Table(number)));
    check.report.tables += 1;
    let table = match Table::open(dir, number, false) {
        Ok(table) => Arc::new(table),
        Err(error) if is_missing(&error) => return check.found(error, MISSING),
        Err(error) => return check.found(error, UNOPENED),
    };
    if let Some(expected) = file_bytes.filter(|&bytes| bytes != table.meta().file_bytes) {
        let what = format!("{} bytes long; the manifest says {expected}", table.meta().file_bytes);
        check.push(
            FileName::Table(number).to_string(),
            None,
            what,
            "it is not the file that was installed".to_owned(),
        );
    }
    // The engine's own check ends at the first damage; without any there is nothing more to look for.
    let mut verifier = Verifier::new(table.clone());
    while let Some(at) = verifier.wants() {
        let raw = read(dir, number, at.offset, at.len as usize)?;
        check.progress.advance(u64::from(at.len));
        if let Err(error) = verifier.check(&raw) {
            return each_block(check, &table, error);
        }
    }
    match verifier.finish() {
        Ok(report) => {
            check.report.blocks += report.blocks;
            check.report.entries += report.meta.entries;
        }
        Err(error) => {
            check.found(error, "its entries can be read, but not all of it is as it was written")?
        }
    }
    match Table::verify_padding(&table, dir) {
        Ok(()) => Ok(()),
        Err(error) => check.found(error, "no entry is touched, but something wrote into the file"),
    }
}

/// Goes through all blocks of a table of which one is known to be damaged.
fn each_block(check: &mut Check<'_>, table: &Arc<Table>, first: Error) -> Result<(), Error> {
    let dir: &dyn Dir = &check.shard.dir;
    let mut damaged: Vec<(Error, Vec<u8>)> = Vec::new();
    let mut last_key = table.meta().min_key.clone();
    let mut found = 0;
    for i in 0..table.blocks() {
        let at = table.block_ref(i);
        let block = match table.decode_block(at, &read(dir, at.table, at.offset, at.len as usize)?) {
            Ok(block) => block,
            Err(error) => {
                damaged.push((error, last_key.clone()));
                continue;
            }
        };
        check.report.blocks += 1;
        check.report.entries += block.entries() as u64;
        let mut cursor = BlockCursor::new(Arc::new(block));
        if let Some(entry) = cursor.entry() {
            report_blocks(check, &mut damaged, entry.key, &mut found)?;
        }
        while let Some(entry) = cursor.entry() {
            last_key.clear();
            last_key.extend_from_slice(entry.key);
            cursor.next();
        }
    }
    report_blocks(check, &mut damaged, &table.meta().max_key, &mut found)?;
    match found {
        // All checksums are right; what is wrong is how entries lie.
        0 => check.found(first, "reads may miss keys of this table"),
        _ => Ok(()),
    }
}

fn report_blocks(
    check: &mut Check<'_>,
    damaged: &mut Vec<(Error, Vec<u8>)>,
    next_key: &[u8],
    found: &mut usize,
) -> Result<(), Error> {
    for (error, last_key) in damaged.drain(..) {
        let (from, to) = (key(&last_key), key(next_key));
        let means = format!(
            "entries of this table between {from} and {to} can't be read; `kvtool repair` keeps the others"
        );
        check.found(error, &means)?;
        *found += 1;
    }
    Ok(())
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

fn read(dir: &dyn Dir, number: u64, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
    let file = FileName::Table(number);
    dir.read(file, offset, len).map_err(|source| Error::io("read", file, dir.path(), source))
}
