//! Damage to data at rest.

use super::faults::{Damage, DamageKind, RotMix};
use super::file::File;
use super::media::Media;
use super::names::Inode;
use super::pages::{PAGE, Page, SECTOR, bytes};
use pinion_engine::io::FileName;
use rand::Rng;
use rand::rngs::SmallRng;
use std::ops::Range;
use std::sync::Arc;

/// So many places are tried before it gives up on finding data that the damage would change.
const TRIES: usize = 32;

/// Draws one of the weights.
fn weighted(weights: [u32; 3], rng: &mut SmallRng) -> Option<usize> {
    let sum: u32 = weights.iter().sum();
    let mut at = rng.random_range(0..sum.max(1));
    weights.iter().position(|&weight| {
        let is_here = at < weight;
        at = at.saturating_sub(weight);
        is_here
    })
}

/// Whether a log's header is damaged, and no commit behind the first one tells that the log went on there.
fn hides_a_segment(range: &Range<u64>, file: &File) -> bool {
    let header = PAGE as u64;
    range.start < header && file.newest.start <= header
}

/// Of [`kind_of`].
const LOGS: usize = 0;

fn kind_of(name: FileName) -> Option<usize> {
    match name {
        FileName::Log(_) => Some(LOGS),
        FileName::Manifest(_) => Some(1),
        FileName::Table(_) => Some(2),
        FileName::ManifestTemp(_) => None,
    }
}

/// A page that rotted.
#[derive(Clone, Debug)]
pub(super) struct Rotten {
    name: FileName,
    inode: Inode,
    page: u32,
    /// What it held, and what it held then.
    before: Page,
    after: Page,
}

/// See [`super::Disk::rot`]. Only pages are damaged that hold something, and hold what is durable.
pub(super) fn rot(media: &mut Media, rng: &mut SmallRng) -> Option<Damage> {
    let mix = media.faults.rot;
    (0..TRIES).find_map(|_| try_rot(media, mix, rng))
}

fn try_rot(media: &mut Media, mix: RotMix, rng: &mut SmallRng) -> Option<Damage> {
    let wanted = weighted([mix.logs, mix.manifests, mix.tables], rng)?;
    let how = weighted([mix.flip, mix.misdirected, mix.stale], rng)?;
    let files: Vec<_> = media.names.iter().filter(|(name, _)| kind_of(*name) == Some(wanted)).collect();
    let (name, inode) = *files.get(rng.random_range(0..files.len().max(1)))?;
    let file = media.files.get(&inode)?;
    let len = file.durable.len().min(file.now.len());
    let pages = len.div_ceil(PAGE as u64) as u32;
    let first = rng.random_range(0..pages.max(1));
    let run = match rng.random_range(0..4) {
        0 => rng.random_range(first..pages.max(first + 1)) + 1,
        1 => pages,
        _ => first + 1,
    };
    let (mut damaged, kind) = match how {
        0 => (vec![flipped(file.durable.page(first), rng)], DamageKind::Flip),
        1 => {
            let (source, from) = elsewhere(media, wanted, first, rng)?;
            let content =
                (0..run - first).map(|page| media.files[&source.1].durable.page(from + page).clone());
            let offset = u64::from(from) * PAGE as u64;
            (content.collect(), DamageKind::Misdirected { file: source.0, offset })
        }
        _ => (stale(media, name, file, first..run, rng)?, DamageKind::Stale),
    };
    let mut range: Option<Range<u64>> = None;
    for (page, after) in (first..pages).zip(&mut damaged) {
        if !file.is_page_clean(page) {
            return None;
        }
        let start = u64::from(page) * PAGE as u64;
        *after = cut(std::mem::take(after), (len - start).min(PAGE as u64) as usize);
        if let Some(changed) = changed(file.durable.page(page), after, start) {
            range = Some(range.map_or(changed.start, |range| range.start)..changed.end);
        }
    }
    let range = range.filter(|_| file.durable.page(first).is_some())?;
    let is_newest = range.start < file.newest.end && file.newest.start < range.end
        || wanted == LOGS && hides_a_segment(&range, file);
    let file = media.files.get_mut(&inode)?;
    for (page, after) in (first..pages).zip(&damaged) {
        let before = file.durable.page(page).clone();
        media.rotten.push(Rotten { name, inode, page, before, after: after.clone() });
        file.tamper(page, after);
    }
    media.counters.damages += 1;
    Some(Damage { file: name, range, kind, is_newest })
}

/// See [`super::Disk::mend`]. What was written since stays.
pub(super) fn mend(media: &mut Media, mut which: impl FnMut(FileName) -> bool) {
    let (mended, rotten) =
        std::mem::take(&mut media.rotten).into_iter().partition(|rotten| which(rotten.name));
    media.rotten = rotten;
    let mended: Vec<Rotten> = mended;
    for Rotten { inode, page, before, after, .. } in mended.iter().rev() {
        if let Some(file) = media.files.get_mut(inode) {
            file.mend(*page, before, after);
        }
    }
}

/// See [`super::Disk::accept`].
pub(super) fn accept(media: &mut Media, mut which: impl FnMut(FileName) -> bool) {
    media.rotten.retain(|rotten| !which(rotten.name));
}

/// What the pages held before: in this file, or, if they are as they were first written, in a file that was removed and
/// whose place this one may have got.
fn stale(
    media: &Media,
    name: FileName,
    file: &File,
    pages: Range<u32>,
    rng: &mut SmallRng,
) -> Option<Vec<Page>> {
    let alike: Vec<_> =
        media.removed.iter().filter(|(removed, _)| kind_of(*removed) == kind_of(name)).collect();
    let removed = alike.get(rng.random_range(0..alike.len().max(1))).map(|(_, pages)| pages);
    let older = |page| match file.older.get(&page) {
        Some(Some(older)) => Some(Some(older.clone())),
        _ => Some(removed?.page(page).clone()),
    };
    pages.map(older).collect()
}

fn flipped(before: &Page, rng: &mut SmallRng) -> Page {
    let mut content = *bytes(before);
    let sector = rng.random_range(0..PAGE / SECTOR) * SECTOR;
    for _ in 0..rng.random_range(1..=3) {
        content[sector + rng.random_range(0..SECTOR)] ^= 1 << rng.random_range(0..8);
    }
    Some(Arc::new(content))
}

/// A file, and a page of it: half the time one of this kind, and half the time `page`, as where two files are alike.
fn elsewhere(media: &Media, kind: usize, page: u32, rng: &mut SmallRng) -> Option<((FileName, Inode), u32)> {
    let is_any = rng.random();
    let files: Vec<_> =
        media.names.iter().filter(|(name, _)| is_any || kind_of(*name) == Some(kind)).collect();
    let source = files[rng.random_range(0..files.len())];
    let pages = media.files.get(&source.1)?.durable.count();
    let page = if rng.random() { page } else { rng.random_range(0..pages.max(1)) };
    (page < pages).then_some((source, page))
}

/// Leaves zeros behind the end of the file, as the page had.
fn cut(page: Page, len: usize) -> Page {
    let mut content = *bytes(&page);
    content[len..].fill(0);
    Some(Arc::new(content))
}

/// From the first byte that differs to the last, in a page that starts at `start`.
fn changed(before: &Page, after: &Page, start: u64) -> Option<Range<u64>> {
    let (before, after) = (bytes(before), bytes(after));
    let differs = |at: &usize| before[*at] != after[*at];
    let (first, last) = ((0..PAGE).find(differs)?, (0..PAGE).rfind(differs)?);
    Some(start + first as u64..start + last as u64 + 1)
}
