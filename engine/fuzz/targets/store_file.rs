//! `DIR/STORE` of arbitrary bytes: read, and written again.
//!
//! Bound on memory: 64 KiB; no more than 4 KiB of the file are read.
//!
//! - An error names the file and what to do. What was read is the same after it was written.
//!
//! The first byte of an input decides whether the last line's checksum is made right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_engine::drive::StoreFile;
use pinion_engine_fuzz::bound;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = tempfile::Builder::new().prefix("pinion-fuzz").tempdir().expect("a directory can be made");
    dir.keep()
});

fuzz_target!(|input: &[u8]| {
    let (&flags, text) = input.split_first().unwrap_or((&0, b""));
    let mut text = text.to_vec();
    if flags & 1 != 0
        && let Some(at) = text.windows(9).rposition(|window| window == b"crc32c = ")
    {
        let crc = crc32c::crc32c(&text[..at]);
        text.truncate(at);
        text.extend_from_slice(format!("crc32c = \"{crc:08x}\"\n").as_bytes());
    }
    let dir = DIR.as_path();
    fs::write(dir.join("STORE"), &text).expect("the file can be written");
    bound::within(64 << 10, || match StoreFile::read(dir) {
        Ok(read) => {
            let read = read.expect("there is a file");
            assert!(read.shards >= 1 && read.shards <= read.partitions && read.partitions <= 16_384);
            let _ = (read.shard_id(0), read.shard_dir(dir, 0));
            read.write(dir).expect("what was read can be written");
            assert_eq!(StoreFile::read(dir).expect("what was written can be read"), Some(read));
        }
        Err(error) => assert!(error.to_string().contains("STORE"), "names no file: {error}"),
    });
});
