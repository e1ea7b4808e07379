//! A write batch of arbitrary bytes: parsed, and built again from what was parsed.
//!
//! Bound on memory: 64 KiB and 16 bytes for each byte of input; parsing itself allocates only an error's text.
//!
//! - A batch is read to its end or to one error that says where it ends early.
//! - What was read and built again is the same batch, and has the same requests that are to be done once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_engine::key::{Expiry, Kind};
use pinion_engine::log::{Batch, BatchBuilder, BatchOp};
use pinion_engine::once::Row;
use pinion_engine_fuzz::bound;

fuzz_target!(|input: &[u8]| {
    bound::within((64 << 10) + 16 * input.len(), || run(input));
});

fn run(input: &[u8]) {
    let Ok(batch) = Batch::parse(input) else {
        // It is too short, or has flags that nobody knows.
        let flags = input.get(12..BatchBuilder::HEADER_BYTES);
        return assert!(flags.is_none_or(|flags| flags != [0; 4]));
    };
    let mut builder = BatchBuilder::new(batch.clock_us());
    let (mut read, mut failed) = (0, false);
    for op in batch.ops() {
        assert!(!failed, "the first error ends the iteration");
        match op {
            Ok(op) => {
                read += 1;
                append(&mut builder, op);
            }
            Err(what) => {
                failed = true;
                assert!(!what.is_empty());
            }
        }
    }
    assert!(failed || read == batch.len(), "a batch without an error is read to its end");
    let rows = rows(&batch, failed);
    rows.iter().for_each(|row| builder.remember(&row.once, row.answer));
    builder.seal(batch.clock_us());
    let built = Batch::parse(builder.bytes()).expect("what was built parses");
    assert_eq!(self::rows(&built, false), rows);
    assert_eq!((built.len(), built.clock_us()), (read, batch.clock_us()));
    for (one, other) in batch.ops().zip(built.ops()) {
        if let Ok(one) = one {
            assert_eq!(canonical(one), other.expect("what was built is read to its end"));
        }
    }
}

/// The requests that are to be done once, up to an error.
fn rows<'a>(batch: &Batch<'a>, has_failed: bool) -> Vec<Row<'a>> {
    match batch.section() {
        Ok(None) => Vec::new(),
        Ok(Some(section)) => section.map_while(Result::ok).collect(),
        Err(what) => {
            assert!(has_failed || !what.is_empty());
            Vec::new()
        }
    }
}

fn append(builder: &mut BatchBuilder, op: BatchOp<'_>) {
    match op.kind {
        Kind::Value => builder.put(op.keyspace, op.key, op.version, op.expiry, op.value),
        Kind::Tombstone => builder.delete(op.keyspace, op.key, op.version),
        Kind::RangeTombstone => builder.delete_range(op.keyspace, op.key, op.value, op.version),
    }
}

/// Only values expire, and a tombstone has none.
fn canonical(op: BatchOp<'_>) -> BatchOp<'_> {
    match op.kind {
        Kind::Value => op,
        Kind::Tombstone => BatchOp { expiry: Expiry::NEVER, value: b"", ..op },
        Kind::RangeTombstone => BatchOp { expiry: Expiry::NEVER, ..op },
    }
}
