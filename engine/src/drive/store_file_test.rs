//! What `STORE` says, is refused with, and survives.

use super::*;
use proptest::prelude::*;

#[test]
fn a_store_file_survives_writing_and_reading() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(StoreFile::read(dir.path()).unwrap(), None);
    let store = StoreFile::new(2, 64).unwrap();
    store.write(dir.path()).unwrap();
    assert_eq!(StoreFile::read(dir.path()).unwrap(), Some(store));
    assert!(!dir.path().join(TEMP).exists());
}

#[test]
fn a_store_file_of_the_first_format_is_of_layout_0_and_doesnt_miss_shards() {
    let text = "format = 1\nid = \"07070707070707070707070707070707\"\nshards = 2\npartitions = 64\n\
                slots = \"crc16-xmodem/16384\"\n";
    let text = format!("{text}crc32c = \"{:08x}\"\n", crc32c::crc32c(text.as_bytes()));
    let store = StoreFile { id: [7; 16], shards: 2, partitions: 64, layout: 0, is_made: false };
    assert_eq!(parse(&text), Ok(store));
}

#[test]
fn shard_directories_tell_their_layout() {
    for layout in [0, 1, 12] {
        let path = shard_dir(Path::new("store"), layout, 1234);
        assert_eq!(path.file_name().and_then(|name| layout_of(name.to_str()?)), Some(layout));
    }
    for other in ["shard-", "shard-x", "shard-000.old", "shard-000.layout-0", "shard-+1", "STORE"] {
        assert_eq!(layout_of(other), None, "{other}");
    }
}

#[test]
fn only_shards_of_other_layouts_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["shard-000", "shard-001", "shard-000.layout-1", "shard-000.layout-2", "repair-1"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let store = StoreFile { layout: 1, ..StoreFile::new(1, 64).unwrap() };
    store.remove_other_layouts(dir.path()).unwrap();
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["repair-1", "shard-000.layout-1"]);
}

#[test]
fn the_same_shard_of_two_layouts_has_different_ids() {
    let old = StoreFile::new(2, 64).unwrap();
    let new = StoreFile { layout: 1, ..old.clone() };
    assert_ne!(old.shard_id(0), new.shard_id(0));
    assert_ne!(new.shard_id(1), old.shard_id(0));
}

#[test]
fn two_stores_and_two_shards_have_different_ids() {
    let (a, b) = (StoreFile::new(2, 64).unwrap(), StoreFile::new(2, 64).unwrap());
    assert_ne!(a.id, b.id);
    assert_ne!(a.shard_id(0), a.shard_id(1));
}

#[test]
fn impossible_numbers_are_refused_with_the_limit() {
    for (shards, partitions, named) in [(0, 64, "at least 1"), (2, 1, "no more"), (1, 48, "power of two")] {
        let error = StoreFile::new(shards, partitions).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn a_store_of_another_format_names_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), "format = 9\n").unwrap();
    let error = StoreFile::read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("format 9, this build reads 1 to 3"), "{error}");
}

#[test]
fn a_sound_store_file_of_a_newer_format_is_no_damage_and_needs_a_newer_build() {
    let dir = tempfile::tempdir().unwrap();
    let text = "format = 9\nother = true\n";
    fs::write(dir.path().join(FILE), format!("{text}crc32c = \"{:08x}\"\n", crc32c::crc32c(text.as_bytes())))
        .unwrap();
    let error = StoreFile::read(dir.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("this build reads 1 to 3; use a build that reads format 9; nothing is damaged"),
        "{error}"
    );
    assert_eq!(StoreFile::damage(dir.path()).unwrap(), None, "no repair touches it");
}

#[test]
fn a_repair_is_only_recommended_where_a_shard_says_what_the_store_was() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), "format = 3\n").unwrap();
    let damaged = StoreFile::read(dir.path()).unwrap_err().to_string();
    fs::remove_file(dir.path().join(FILE)).unwrap();
    fs::create_dir(dir.path().join("shard-000")).unwrap();
    let missing = StoreFile::find(dir.path()).unwrap_err().to_string();
    for error in [damaged, missing] {
        assert!(error.contains("put it back, or restore the store from a backup: the shards"), "{error}");
        assert!(!error.contains("kvtool repair"), "{error}");
    }
}

proptest! {
    #[test]
    fn a_changed_byte_never_passes_and_never_panics(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let store = StoreFile { id: [7; 16], shards: 2, partitions: 64, layout: 3, is_made: true };
        let mut bytes = store.to_text().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        if let Ok(text) = String::from_utf8(bytes) {
            // Case and the final line's end are all that the checksum can't tell.
            prop_assert!(parse(&text).is_err() || parse(&text) == Ok(store));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        let _ = parse(&text);
    }
}
