//! What an operation costs in instructions: a program for callgrind, which counts what [`measured`] does.
//!
//! `instructions prepare DIR tables|memtable` makes a store, `instructions WORK DIR OPERATIONS` works on it: two processes, as valgrind
//! (3.19) holds up the background thread while the caller's waits for it in the ring, and a flush would never end.
//! `bench/instructions.py` runs both for two builds. The program uses of the engine only what embedded programs do, so that it
//! compiles beside older ones.

use pinion_engine::shard::Durability;
use pinion_engine::store::{KeyValue, LocalStore, StoreOptions};
use std::error::Error;
use std::hint::black_box;

/// Records that are there before the work begins.
const RECORDS: u64 = 100_000;
const VALUE: [u8; 100] = [7; 100];
/// Items a scan.
const ITEMS: usize = 100;

type Step = fn(&mut LocalStore, u64) -> Result<(), Box<dyn Error>>;

/// Name and one operation; its number chooses the key.
const WORKS: [(&str, Step); 4] = [("get", get), ("get-absent", get_absent), ("set", set), ("scan", scan)];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, dir, what] = arguments.as_slice() else {
        return Err("usage: instructions prepare DIR tables|memtable, or instructions get|get-absent|set|scan DIR OPERATIONS".into());
    };
    let mut store =
        LocalStore::open(dir, StoreOptions { durability: Durability::None, ..StoreOptions::default() })?;
    if work == "prepare" {
        (0..RECORDS).try_for_each(|record| store.put(&key(record), &VALUE).map(drop))?;
        if what == "tables" {
            store.settle()?;
        }
    } else {
        let (_, step) =
            WORKS.into_iter().find(|(name, _)| name == work).ok_or_else(|| format!("{work} is no work"))?;
        let operations = what.parse()?;
        // Once before, so that what is done once isn't counted.
        run(&mut store, operations, step)?;
        measured(&mut store, operations, step)?;
    }
    Ok(store.close()?)
}

/// What is counted: callgrind knows it by its name.
#[inline(never)]
fn measured(store: &mut LocalStore, operations: u64, step: Step) -> Result<(), Box<dyn Error>> {
    run(store, operations, step)
}

fn run(store: &mut LocalStore, operations: u64, step: Step) -> Result<(), Box<dyn Error>> {
    (0..operations).try_for_each(|operation| step(black_box(store), operation.wrapping_mul(7_919)))
}

fn get(store: &mut LocalStore, number: u64) -> Result<(), Box<dyn Error>> {
    let length = store.get_with(&key(number % RECORDS), |value| value.map(<[u8]>::len))?;
    (length == Some(VALUE.len())).then_some(()).ok_or_else(|| "a record isn't there".into())
}

fn get_absent(store: &mut LocalStore, number: u64) -> Result<(), Box<dyn Error>> {
    let length = store.get_with(&key(RECORDS + number), |value| value.map(<[u8]>::len))?;
    length.is_none().then_some(()).ok_or_else(|| "a record is there that nobody wrote".into())
}

fn set(store: &mut LocalStore, number: u64) -> Result<(), Box<dyn Error>> {
    Ok(store.put(&key(number % RECORDS), &VALUE).map(drop)?)
}

fn scan(store: &mut LocalStore, number: u64) -> Result<(), Box<dyn Error>> {
    black_box(store.scan(&key(number % RECORDS), b"", ITEMS)?);
    Ok(())
}

/// "user" and 16 digits that look random, as YCSB's are.
fn key(record: u64) -> [u8; 20] {
    let mut key = *b"user0000000000000000";
    let mut rest = record.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}
