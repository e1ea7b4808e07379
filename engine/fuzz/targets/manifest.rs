//! Manifest files of arbitrary bytes: recovered, dumped, repaired, written on.
//!
//! Bound on memory: 4 MiB and 128 bytes for each byte of input; a file of blocks is at most 16 blocks here.
//!
//! - Recovery succeeds or fails without a change; damage names a file, an offset, a remedy.
//! - A recovered manifest recovers again to the same state, which a dump shows too, and takes another edit.
//! - Repair leaves a sound manifest alone; what it repairs recovers to the state that it reported.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_engine::Error;
use pinion_engine::drive::blocking::perform;
use pinion_engine::manifest::{Edit, Manifest, ManifestEvent, ManifestState, TableEntry};
use pinion_engine_fuzz::memory_dir::MemoryDir;
use pinion_engine_fuzz::{SHARD, bound, manifest_image};

fuzz_target!(|input: &[u8]| {
    bound::within((4 << 20) + 128 * input.len(), || run(input));
});

fn run(input: &[u8]) {
    let dir = manifest_image::expand(input);
    let mut edits = 0;
    let dumped = Manifest::dump(&dir, &mut |_| edits += 1);
    let _ = Manifest::shard_id(&dir);
    let mut recovered = dir.clone();
    match Manifest::recover(&mut recovered, SHARD) {
        Ok((manifest, state)) => {
            if !dir.files.is_empty() {
                let shown = dumped.map(|state| format!("{state:?}")).map_err(|error| error.to_string());
                let has_final = dir.files.keys().any(|name| name.to_string().ends_with(".manifest"));
                assert!(!has_final || shown == Ok(format!("{state:?}")), "the dump says {shown:?}");
                leaves_a_sound_one_alone(&dir, &state, has_final);
            }
            goes_on(recovered, manifest, state);
        }
        Err(error) => {
            assert_eq!(recovered, dir, "a recovery that fails changes nothing: {error}");
            check_error(&error);
            mends(dir, &error);
        }
    }
}

fn check_error(error: &Error) {
    let text = error.to_string();
    assert!(text.contains("manifest"), "names no file: {text}");
    if let Error::Damaged { .. } = error {
        assert!(text.contains("kvtool repair"), "names no remedy: {text}");
    }
}

fn leaves_a_sound_one_alone(dir: &MemoryDir, state: &ManifestState, has_final: bool) {
    let mut repaired = dir.clone();
    match Manifest::repair(&mut repaired, SHARD) {
        Ok(report) => {
            assert!(report.damage.is_empty(), "it recovers but is damaged: {:?}", report.damage);
            assert_eq!(report.state, *state);
        }
        Err(error) => assert!(!has_final, "it recovers but can't be repaired: {error}"),
    }
    assert_eq!(repaired, *dir, "the repair of a sound manifest changes nothing");
}

fn goes_on(mut dir: MemoryDir, mut manifest: Manifest, mut state: ManifestState) {
    let Some(same) = recover(&mut dir.clone()) else { return };
    assert_eq!(same, state, "a second recovery finds the same state");
    let number = (1..).find(|number| !state.tables.contains_key(number)).expect("a number is free");
    let edit = Edit { added: vec![TableEntry { number, level: 1, file_bytes: 4096 }], ..Edit::default() };
    if manifest.check(&edit).is_err() {
        return;
    }
    state.apply(&edit);
    let mut requests = Vec::new();
    manifest.append(edit, &mut requests);
    while !requests.is_empty() {
        let completion = perform(&mut dir, requests.remove(0));
        let event = manifest.complete(completion, &mut requests);
        assert!(!matches!(event, Some(ManifestEvent::Stalled(_))), "nothing failed, and it says {event:?}");
    }
    let Some(found) = recover(&mut dir) else { return };
    assert_eq!(found, state, "an edit that was written after a recovery is there");
}

/// Recovers what recovered, was repaired or was written on; `None` if that took its last sequence number.
fn recover(dir: &mut MemoryDir) -> Option<ManifestState> {
    match Manifest::recover(dir, SHARD) {
        Ok((_, state)) => Some(state),
        Err(error) => {
            assert!(error.to_string().contains("no number is left"), "it doesn't recover: {error}");
            None
        }
    }
}

fn mends(mut dir: MemoryDir, error: &Error) {
    let before = dir.clone();
    match Manifest::repair(&mut dir, SHARD) {
        Ok(report) if report.damage.is_empty() => {
            assert!(!matches!(error, Error::Damaged { .. }), "damage that repair doesn't see: {error}");
            assert_eq!(dir, before, "nothing is wrong, and the repair changes something");
        }
        Ok(report) => {
            let Some(state) = recover(&mut dir) else { return };
            assert_eq!(state, report.state, "it recovers to what the repair reported");
        }
        Err(refused) => {
            assert_eq!(dir, before, "a repair that refuses changes nothing: {refused}");
            check_error(&refused);
        }
    }
}
