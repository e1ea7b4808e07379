//! Damage to data at rest.

use super::faults::{Damage, DamageKind, RotMix};
use super::media::Media;
use super::names::Inode;
use super::pages::{PAGE, Page, SECTOR, bytes};
use pinion_engine::io::FileName;
use rand::Rng;
use rand::rngs::SmallRng;
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

fn kind_of(name: FileName) -> Option<usize> {
    match name {
        FileName::Log(_) => Some(0),
        FileName::Manifest(_) => Some(1),
        FileName::Table(_) => Some(2),
        FileName::ManifestTemp(_) => None,
    }
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
    let pages = file.durable.count().min(file.now.count());
    let page = rng.random_range(0..pages.max(1));
    let before = file.durable.page(page).clone();
    if page >= pages || before.is_none() || !file.is_page_clean(page) {
        return None;
    }
    let (after, kind) = match how {
        0 => (flipped(&before, rng), DamageKind::Flip),
        1 => {
            let (file, offset, content) = elsewhere(media, (inode, page), rng)?;
            (content, DamageKind::Misdirected { file, offset })
        }
        _ => (file.older.get(&page)?.clone(), DamageKind::Stale),
    };
    let inside = (file.durable.len().min(file.now.len()) - u64::from(page) * PAGE as u64).min(PAGE as u64);
    let after = cut(after, inside as usize);
    let range = changed(&before, &after, page)?;
    let is_newest = range.start < file.newest.end && file.newest.start < range.end;
    media.files.get_mut(&inode)?.tamper(page, &after);
    media.rotten.push((name, inode, page, before));
    media.counters.damages += 1;
    Some(Damage { file: name, range, kind, is_newest })
}

/// See [`super::Disk::mend`].
pub(super) fn mend(media: &mut Media, mut which: impl FnMut(FileName) -> bool) {
    for (name, inode, page, before) in std::mem::take(&mut media.rotten).into_iter().rev() {
        if !which(name) {
            media.rotten.insert(0, (name, inode, page, before));
        } else if let Some(file) = media.files.get_mut(&inode)
            && file.is_page_clean(page)
        {
            file.tamper(page, &before);
        }
    }
}

fn flipped(before: &Page, rng: &mut SmallRng) -> Page {
    let mut content = *bytes(before);
    let sector = rng.random_range(0..PAGE / SECTOR) * SECTOR;
    for _ in 0..rng.random_range(1..=3) {
        content[sector + rng.random_range(0..SECTOR)] ^= 1 << rng.random_range(0..8);
    }
    Some(Arc::new(content))
}

/// A page of any file but `not`.
fn elsewhere(media: &Media, not: (Inode, u32), rng: &mut SmallRng) -> Option<(FileName, u64, Page)> {
    let files: Vec<_> = media.names.iter().collect();
    let (name, inode) = files[rng.random_range(0..files.len())];
    let file = media.files.get(&inode)?;
    let page = rng.random_range(0..file.durable.count().max(1));
    let content = file.durable.page(page).clone();
    ((inode, page) != not && content.is_some()).then_some((name, u64::from(page) * PAGE as u64, content))
}

/// Leaves zeros behind the end of the file, as the page had.
fn cut(page: Page, len: usize) -> Page {
    let mut content = *bytes(&page);
    content[len..].fill(0);
    Some(Arc::new(content))
}

/// From the first byte that differs to the last.
fn changed(before: &Page, after: &Page, page: u32) -> Option<std::ops::Range<u64>> {
    let (before, after) = (bytes(before), bytes(after));
    let differs = |at: &usize| before[*at] != after[*at];
    let (first, last) = ((0..PAGE).find(differs)?, (0..PAGE).rfind(differs)?);
    let start = u64::from(page) * PAGE as u64;
    Some(start + first as u64..start + last as u64 + 1)
}
