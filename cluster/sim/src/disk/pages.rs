//! The bytes of a file in pages that versions of the file share; a page of zeros takes no memory.

use std::sync::Arc;

/// What a device writes whole or not at all, bytes.
pub const SECTOR: usize = 512;
/// A page, bytes: what versions of a file share, and what space is counted in.
pub const PAGE: usize = 4096;
/// All sectors of a page.
pub(super) const ALL: u8 = 0xff;

/// A page; `None` is zeros.
pub(super) type Page = Option<Arc<[u8; PAGE]>>;

static ZEROS: [u8; PAGE] = [0; PAGE];

/// A page's bytes.
pub(super) fn bytes(page: &Page) -> &[u8; PAGE] {
    page.as_deref().unwrap_or(&ZEROS)
}

/// Puts the sectors of `mask` from `source` into `target`.
pub(super) fn copy_sectors(target: &mut Page, source: &Page, mask: u8) {
    if mask == ALL {
        target.clone_from(source);
        return;
    }
    let page = Arc::make_mut(target.get_or_insert_with(|| Arc::new(ZEROS)));
    for sector in (0..8).filter(|sector| mask & 1 << sector != 0) {
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        page[range.clone()].copy_from_slice(&bytes(source)[range]);
    }
}

/// The sectors that two pages have in common.
pub(super) fn alike(one: &Page, other: &Page) -> u8 {
    let sectors = bytes(one).chunks(SECTOR).zip(bytes(other).chunks(SECTOR)).enumerate();
    sectors.filter(|(_, (one, other))| one == other).fold(0, |mask, (sector, _)| mask | 1 << sector)
}

/// A version of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    pages: Vec<Page>,
    len: u64,
}

impl Pages {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Cuts or extends with zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            let inside = (len % PAGE as u64) as usize;
            self.pages.truncate(len.div_ceil(PAGE as u64) as usize);
            if let Some(Some(last)) = self.pages.last_mut().filter(|_| inside > 0) {
                Arc::make_mut(last)[inside..].fill(0);
            }
        }
        self.len = len;
    }

    pub fn page(&self, index: u32) -> &Page {
        self.pages.get(index as usize).unwrap_or(&None)
    }

    pub fn page_mut(&mut self, index: u32) -> &mut Page {
        if self.pages.len() <= index as usize {
            self.pages.resize(index as usize + 1, None);
        }
        &mut self.pages[index as usize]
    }

    /// How many pages the length covers.
    pub fn count(&self) -> u32 {
        self.len.div_ceil(PAGE as u64) as u32
    }

    /// Writes `data`, and tells which sectors of which page it touched.
    pub fn write(&mut self, offset: u64, data: &[u8], mut touched: impl FnMut(u32, u8)) {
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (index, inside) = ((at / PAGE as u64) as u32, (at % PAGE as u64) as usize);
            let (piece, behind) = rest.split_at(rest.len().min(PAGE - inside));
            put(self.page_mut(index), inside, piece);
            let (first, last) = (inside / SECTOR, (inside + piece.len() - 1) / SECTOR);
            touched(index, ALL << first & ALL >> (7 - last));
            (at, rest) = (at + piece.len() as u64, behind);
        }
        self.len = self.len.max(offset + data.len() as u64);
    }

    /// Hands `len` bytes from `offset` on to `take`, piece by piece; `false` if the file ends before.
    pub fn read(&self, offset: u64, len: usize, mut take: impl FnMut(&[u8])) -> bool {
        let Some(end) = offset.checked_add(len as u64).filter(|end| *end <= self.len) else { return false };
        let mut at = offset;
        while at < end {
            let inside = (at % PAGE as u64) as usize;
            let piece = (PAGE - inside).min((end - at) as usize);
            take(&bytes(self.page((at / PAGE as u64) as u32))[inside..inside + piece]);
            at += piece as u64;
        }
        true
    }
}

fn put(page: &mut Page, inside: usize, data: &[u8]) {
    let is_zero = || data.iter().all(|byte| *byte == 0);
    if let Ok(whole) = <&[u8; PAGE]>::try_from(data) {
        *page = if is_zero() { None } else { Some(Arc::new(*whole)) };
    } else if page.is_some() || !is_zero() {
        Arc::make_mut(page.get_or_insert_with(|| Arc::new(ZEROS)))[inside..inside + data.len()]
            .copy_from_slice(data);
    }
}
