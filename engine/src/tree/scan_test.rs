//! Scans: what bounds them, and what they jump over.

use super::test_store::{TestStore, prefix, stored_key};
use super::{ScanLimits, ScanRange, ScanStep, Tree, scan_page};
use crate::key::{Entry, Expiry, Kind, Stamp, Version};
use crate::memtable::Memtable;
use crate::shard::request::Page;
use crate::table::BlockCache;

const WIDE: ScanLimits = ScanLimits { items: 100_000, bytes: usize::MAX, work: 100_000 };

fn page_of(memtable: &Memtable, at: Version, limits: ScanLimits, page: &mut Page) -> ScanStep {
    let (from, to) = (prefix(0).to_bytes(), prefix(0).end());
    let range = ScanRange { from: &from, to: &to, at, now_ms: 0, keys_only: false };
    let mut cache = BlockCache::new(0);
    scan_page(&[memtable], &Tree::new(), &mut cache, &range, &limits, page).expect("memory is whole")
}

fn insert(memtable: &mut Memtable, key: u16, version: u64, kind: Kind) {
    let key = stored_key(0, key);
    let stamp = Stamp::new(Version(version), kind);
    memtable.insert(Entry { key: &key, stamp, expiry: Expiry::NEVER, value: b"v" });
}

#[test]
fn a_page_of_tombstones_ends_early_and_goes_on() {
    let mut memtable = Memtable::new();
    (0..5000).for_each(|key| insert(&mut memtable, key, 1, Kind::Tombstone));
    insert(&mut memtable, 5000, 1, Kind::Value);
    let mut page = Page::default();
    let limits = ScanLimits { items: 10, bytes: 1000, work: 1000 };
    let step = page_of(&memtable, Version::MAX, limits, &mut page);
    assert_eq!(step, ScanStep::Page { next: Some(stored_key(0, 1000)) });
    assert!(page.is_empty());
}

#[test]
fn a_key_with_many_versions_costs_no_more_than_others() {
    let mut memtable = Memtable::new();
    (1..50_000).for_each(|version| insert(&mut memtable, 1, version, Kind::Value));
    insert(&mut memtable, 2, 1, Kind::Value);
    for at in [Version(1), Version(25_000), Version::MAX] {
        let mut page = Page::default();
        let limits = ScanLimits { items: 10, bytes: 1000, work: 64 };
        assert_eq!(page_of(&memtable, at, limits, &mut page), ScanStep::Page { next: None });
        assert_eq!(page.len(), 2);
    }
}

#[test]
fn a_full_page_says_where_the_next_begins() {
    let mut memtable = Memtable::new();
    (0..10).for_each(|key| insert(&mut memtable, key, 1, Kind::Value));
    let mut page = Page::default();
    let limits = ScanLimits { items: 4, ..WIDE };
    let step = page_of(&memtable, Version::MAX, limits, &mut page);
    assert_eq!(step, ScanStep::Page { next: Some(stored_key(0, 4)) });
    let mut page = Page::default();
    let limits = ScanLimits { items: 10, ..WIDE };
    assert_eq!(page_of(&memtable, Version::MAX, limits, &mut page), ScanStep::Page { next: None });
    assert_eq!(page.len(), 10);
}

#[test]
fn keys_only_leaves_values_out() {
    let mut memtable = Memtable::new();
    insert(&mut memtable, 1, 9, Kind::Value);
    let (from, to) = (prefix(0).to_bytes(), prefix(0).end());
    let range = ScanRange { from: &from, to: &to, at: Version::MAX, now_ms: 0, keys_only: true };
    let (mut cache, mut page) = (BlockCache::new(0), Page::default());
    scan_page(&[&memtable], &Tree::new(), &mut cache, &range, &WIDE, &mut page).expect("memory is whole");
    let items: Vec<_> = page.iter().map(|(key, value)| (key.to_vec(), value.bytes, value.version)).collect();
    assert_eq!(items, [(b"key00001".to_vec(), &b""[..], Version(9))]);
}

#[test]
fn tables_under_a_range_tombstone_are_jumped_over() {
    let mut store = TestStore::new(1);
    for key in 0..2000 {
        store.put(&stored_key(0, key), &[7; 200], Expiry::NEVER);
    }
    store.put(&stored_key(1, 0), b"last", Expiry::NEVER);
    store.freeze();
    store.flush().expect("nothing fails");
    store.clear(prefix(0).to_bytes().to_vec(), prefix(0).end());
    let (from, to) = (prefix(0).to_bytes(), prefix(1).end());
    let range = ScanRange { from: &from, to: &to, at: Version::MAX, now_ms: 0, keys_only: false };
    let (mut cache, mut page) = (BlockCache::new(1 << 20), Page::default());
    let limits = ScanLimits { work: 100, ..WIDE };
    let mut reads = 0;
    let mut next = range.from.to_vec();
    loop {
        let range = ScanRange { from: &next, ..range };
        let step = scan_page(&[&store.active], &store.tree, &mut cache, &range, &limits, &mut page);
        match step.expect("tables are whole") {
            ScanStep::Page { next } => {
                assert_eq!(next, None);
                break;
            }
            ScanStep::NeedsRead { blocks, next: from } => {
                reads += blocks.len();
                for block in blocks {
                    let (_, table) =
                        store.tree.tables().find(|(_, t)| t.meta().number == block.table).expect("known");
                    let file = &store.driver.files[&crate::io::FileName::Table(block.table)];
                    let raw = &file[block.offset as usize..][..block.len as usize];
                    cache.insert(block, table.decode_block(block, raw).expect("blocks are whole"));
                }
                next = from;
            }
        }
    }
    assert_eq!(page.len(), 1);
    assert!(reads < 2 * store.tree.tables().count() + 20, "{reads} blocks of about 100 were read");
}
