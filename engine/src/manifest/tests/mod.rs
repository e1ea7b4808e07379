//! What the manifest promises, against a directory that crashes, fails and rots.

mod damage;

use super::*;
use crate::Error;
use crate::clock::{BootId, BootTime, ClockStamp};
use crate::dir::Dir;
use crate::dir::testing::MemoryDir;
use crate::drive::blocking::perform;
use crate::io::{FileName, IoCompletion, IoRequest};
use crate::key::{Incarnation, Partition, Version};
use crate::log::{LogPosition, Reached};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SHARD: [u8; 16] = [9; 16];
const BLOCK: usize = 4096;

fn recover(dir: &mut MemoryDir) -> Result<(Manifest, ManifestState), Error> {
    Manifest::recover(dir, SHARD)
}

/// The edit of flush number `n`: one table comes, every third time an older one goes.
fn edit(n: u64) -> Edit {
    let group = GroupState {
        partition: Partition((n % 3) as u16),
        incarnation: Incarnation(1),
        applied_index: n,
        applied_term: 1,
        max_version: Version(n * 10),
        floor: Version(n * 10),
        clock_us: n * 1000,
        ..GroupState::default()
    };
    Edit {
        added: vec![TableEntry { number: n, level: (n % 7) as u8, file_bytes: n * 4096 }],
        removed: if n.is_multiple_of(3) { vec![n - 2] } else { Vec::new() },
        groups: vec![group],
        log_start: n.is_multiple_of(2).then_some(LogPosition { segment: n, offset: 4096 }),
        log_reached: Some(Reached { generation: n, file: n % 4 }),
        next_file: Some(n + 1),
        membership: n.is_multiple_of(5).then_some(Membership {
            shard: 1,
            shards: 2,
            partitions: 64,
            layout: n as u32,
        }),
        clock: (n % 3 != 1).then(|| stamp(n)),
    }
}

fn stamp(n: u64) -> ClockStamp {
    let boot = BootTime { id: BootId([5; 16]), us: n * 1000 + 2 };
    ClockStamp { shard_us: n * 1000, wall_us: n * 1000 + 1, is_sure: true, boot }
}

fn state_after(edits: u64) -> ManifestState {
    let mut state = ManifestState::default();
    for n in 1..=edits {
        state.check(&edit(n)).unwrap();
        state.apply(&edit(n));
    }
    state
}

fn settle(dir: &mut MemoryDir, manifest: &mut Manifest, mut requests: Vec<IoRequest>) -> Vec<ManifestEvent> {
    let mut events = Vec::new();
    while !requests.is_empty() {
        let completion = perform(dir, requests.remove(0));
        assert!(manifest.owns(completion.token));
        events.extend(manifest.complete(completion, &mut requests));
    }
    events
}

/// A manifest with so many edits, all durable.
fn sample(edits: u64) -> (MemoryDir, Manifest) {
    let mut dir = MemoryDir::new();
    let (mut manifest, _) = recover(&mut dir).unwrap();
    for n in 1..=edits {
        let mut requests = Vec::new();
        manifest.append(edit(n), &mut requests);
        let events = settle(&mut dir, &mut manifest, requests);
        assert!(matches!(events.as_slice(), [ManifestEvent::Durable(durable)] if *durable == edit(n)));
    }
    (dir, manifest)
}

fn names(dir: &MemoryDir) -> Vec<FileName> {
    dir.list().unwrap()
}

#[test]
fn an_empty_directory_gets_an_empty_durable_manifest() {
    let mut dir = MemoryDir::new();
    let (manifest, state) = recover(&mut dir).unwrap();
    assert_eq!((state, manifest.is_busy()), (ManifestState::default(), false));
    dir.crash_losing_all();
    assert_eq!(names(&dir), [FileName::Manifest(1)]);
    assert_eq!(recover(&mut dir).unwrap().1, ManifestState::default());
}

#[test]
fn edits_become_durable_in_order_one_at_a_time() {
    let (mut dir, mut manifest) = sample(0);
    let mut requests = Vec::new();
    for n in 1..=5 {
        manifest.append(edit(n), &mut requests);
    }
    assert_eq!(requests.len(), 1);
    assert!(manifest.is_busy());
    let events = settle(&mut dir, &mut manifest, requests);
    for (n, event) in (1..=5).zip(&events) {
        assert!(matches!(event, ManifestEvent::Durable(durable) if *durable == edit(n)));
    }
    assert!(events.len() == 5 && !manifest.is_busy());
    dir.crash_losing_all();
    assert_eq!(recover(&mut dir).unwrap().1, state_after(5));
    assert_eq!(*manifest.state(), state_after(5));
}

#[test]
fn a_manifest_that_outgrew_its_state_moves_to_the_next_number() {
    let (mut dir, mut manifest) = sample(3);
    manifest.rewrite_from(1);
    let mut requests = Vec::new();
    for n in 4..=40 {
        manifest.append(edit(n), &mut requests);
    }
    let events = settle(&mut dir, &mut manifest, requests);
    assert_eq!(events.len(), 37);
    let number = manifest.file().number();
    assert!(number > 2);
    assert_eq!(names(&dir), [FileName::Manifest(number)]);
    assert!(dir.len(manifest.file()).unwrap() <= 6 * BLOCK as u64);
    assert_eq!(recover(&mut dir).unwrap().1, state_after(40));
}

#[test]
fn a_rewrite_that_finds_no_room_is_put_off_and_edits_go_on() {
    let (mut dir, mut manifest) = sample(6);
    manifest.rewrite_from(1);
    let mut requests = Vec::new();
    manifest.append(edit(7), &mut requests);
    assert!(matches!(requests.as_slice(), [IoRequest::Create { .. }]));
    dir.fail_after(0);
    let completion = perform(&mut dir, requests.remove(0));
    assert!(manifest.complete(completion, &mut requests).is_none());
    dir.heal();
    let events = settle(&mut dir, &mut manifest, requests);
    assert!(matches!(events.as_slice(), [ManifestEvent::Durable(_)]), "{events:?}");
    assert_eq!(recover(&mut dir).unwrap().1, state_after(7));
}

#[test]
fn edits_that_failed_are_made_again_in_a_new_file() {
    let (mut dir, mut manifest) = sample(2);
    let (mut requests, doubtful) = (Vec::new(), manifest.file());
    manifest.append(edit(3), &mut requests);
    manifest.append(edit(4), &mut requests);
    dir.fail_after(0);
    let events = settle(&mut dir, &mut manifest, requests);
    assert!(matches!(events.as_slice(), [ManifestEvent::Stalled(_)]));
    assert!(manifest.is_stalled());
    let mut requests = Vec::new();
    manifest.retry(&mut requests);
    let events = settle(&mut dir, &mut manifest, requests);
    assert!(matches!(events.as_slice(), [ManifestEvent::Stalled(_)]), "the disk is still broken");
    dir.heal();
    let mut requests = Vec::new();
    manifest.retry(&mut requests);
    let events = settle(&mut dir, &mut manifest, requests);
    assert!(
        matches!(events.as_slice(), [ManifestEvent::Durable(_), ManifestEvent::Durable(_)]),
        "{events:?}"
    );
    assert_ne!(manifest.file(), doubtful);
    assert!(!names(&dir).contains(&doubtful), "{:?}", names(&dir));
    dir.crash_losing_all();
    assert_eq!(recover(&mut dir).unwrap().1, state_after(4));
}

#[test]
fn a_rewrite_whose_name_is_in_doubt_is_made_again_under_a_higher_number() {
    for failing in [3, 4] {
        let (mut dir, mut manifest) = sample(6);
        manifest.rewrite_from(1);
        let mut requests = Vec::new();
        manifest.append(edit(7), &mut requests);
        // Create, write and sync, rename, sync of the directory.
        for _ in 0..failing - 1 {
            let completion = perform(&mut dir, requests.remove(0));
            manifest.complete(completion, &mut requests);
        }
        let token = match requests.remove(0) {
            // It fails although it is done.
            IoRequest::Rename { token, from, to } => {
                dir.rename(from, to).unwrap();
                dir.sync_dir().unwrap();
                token
            }
            IoRequest::SyncDir { token } => token,
            other => panic!("{other:?}"),
        };
        let failed = IoCompletion { token, result: Err(std::io::Error::other("injected")) };
        let event = manifest.complete(failed, &mut requests);
        assert!(matches!(event, Some(ManifestEvent::Stalled(_))));
        // Nobody removes what the attempt left.
        requests.clear();
        manifest.retry(&mut requests);
        let events = settle(&mut dir, &mut manifest, requests);
        assert!(matches!(events.as_slice(), [ManifestEvent::Durable(_)]), "{events:?}");
        dir.crash_losing_all();
        assert_eq!(recover(&mut dir).unwrap().1, state_after(7));
    }
}

#[test]
fn a_torn_last_edit_is_cut_and_never_seen_again() {
    let (mut dir, manifest) = sample(4);
    let file = manifest.file();
    dir.tamper(file, |bytes| {
        let len = bytes.len();
        bytes[len - BLOCK + 100] ^= 1;
    });
    assert_eq!(recover(&mut dir).unwrap().1, state_after(3));
    assert_eq!(names(&dir), [FileName::Manifest(2)]);
    assert_eq!(recover(&mut dir).unwrap().1, state_after(3));
}

#[test]
fn the_bytes_are_those_that_the_documentation_draws() {
    let (dir, manifest) = sample(3);
    let bytes = dir.bytes(manifest.file());
    let u64s = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let u32s = |values: &[u32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();

    let mut header = [&b"PinMnfst"[..], &u32s(&[3, 0]), &SHARD, &u64s(&[1])].concat();
    header.resize(BLOCK, 0);
    let crc = crc32c::crc32c(&header).to_le_bytes();
    header[12..16].copy_from_slice(&crc);
    assert_eq!(bytes[..BLOCK], header);

    // The third edit adds table 3, removes table 1, changes partition 0 and tells the clocks; it moves no log start, tells of
    // segment 3 of the log in file 3, and nothing of the store.
    let at = 4 * BLOCK;
    let mut body = [u64s(&[4]), u32s(&[40 + 32 + 24 + 8 + 72 + 48, 4096]), u64s(&[2])].concat();
    body.extend([u64s(&[0]), u32s(&[0, 2 | 4 | 16]), u64s(&[4]), u32s(&[1, 1, 1, 0])].concat());
    body.extend([u64s(&[3, 3]), u32s(&[0, 0, 0, 0])].concat());
    body.extend(
        [u64s(&[3, 3 * 4096, 3, 1]), u32s(&[72, 0, 1, 0]), u64s(&[0, 3, 1, 30, 30, 3000, 0])].concat(),
    );
    body.extend([u64s(&[3000, 3001, 3002]), vec![5; 16], u32s(&[1, 0])].concat());
    body.resize(BLOCK - 8, 0);
    let salt = [&SHARD[..], &u64s(&[1, at as u64])].concat();
    let crc = crc32c::crc32c(&[&salt[..], &body].concat());
    assert_eq!(bytes[at..], [&b"PMrc"[..], &crc.to_le_bytes(), &body].concat());
}

/// A manifest whose last edit is torn, and the state before it.
fn torn() -> (MemoryDir, ManifestState) {
    let (mut dir, manifest) = sample(4);
    let torn = dir.bytes(manifest.file()).len() - BLOCK + 100;
    dir.flip(manifest.file(), torn, 0);
    (dir, state_after(3))
}

#[test]
fn a_manifest_that_must_move_and_has_no_room_is_read_and_moves_before_the_next_edit() {
    let (mut dir, expected) = torn();
    dir.fill_after(0);
    let (mut manifest, state) = recover(&mut dir).unwrap();
    assert_eq!((state, names(&dir)), (expected.clone(), vec![FileName::Manifest(1)]));
    let mut requests = Vec::new();
    manifest.append(edit(5), &mut requests);
    let events = settle(&mut dir, &mut manifest, requests);
    assert!(matches!(events.as_slice(), [ManifestEvent::Stalled(_)]), "{events:?}");
    assert_eq!(recover(&mut dir).unwrap().1, expected);
    dir.heal();
    let mut requests = Vec::new();
    manifest.retry(&mut requests);
    settle(&mut dir, &mut manifest, requests);
    assert_eq!(recover(&mut dir).unwrap().1.log_reached.generation, 5);
}

#[test]
fn a_manifest_that_has_moved_counts_although_there_is_no_room_to_remove_the_old_one() {
    let (mut dir, expected) = torn();
    dir.keep(FileName::Manifest(1));
    let (mut manifest, state) = recover(&mut dir).unwrap();
    assert_eq!((state, manifest.file()), (expected, FileName::Manifest(2)));
    let mut requests = Vec::new();
    manifest.append(edit(5), &mut requests);
    settle(&mut dir, &mut manifest, requests);
    assert_eq!(recover(&mut dir).unwrap().1.log_reached.generation, 5);
    dir.crash_losing_all();
    assert_eq!(recover(&mut dir).unwrap().1.log_reached.generation, 5);
    assert_eq!(names(&dir), [FileName::Manifest(2)]);
}

#[test]
fn an_edit_at_once_is_not_written_over_a_tear() {
    let (mut dir, _) = torn();
    dir.fill_after(0);
    let (mut manifest, state) = recover(&mut dir).unwrap();
    let file = manifest.file();
    let before = dir.bytes(file).to_vec();
    let edit = Edit { clock: Some(stamp(9)), ..Edit::default() };
    assert!(manifest.append_at_once(&mut dir, &edit).is_err());
    assert_eq!((dir.bytes(file), manifest.state()), (before.as_slice(), &state));
}

#[test]
fn the_clocks_of_a_manifest_do_not_go_back() {
    let mut state = state_after(5);
    for (told, kept) in [(3, 5), (6, 6), (4, 6)] {
        state.apply(&Edit { clock: Some(stamp(told)), ..Edit::default() });
        assert_eq!(state.clock, Some(stamp(kept)));
    }
}

#[test]
fn an_edit_that_forgets_a_segment_of_the_log_is_refused() {
    let state = state_after(4);
    let forgetful = Edit { log_reached: Some(Reached { generation: 3, file: 1 }), ..Edit::default() };
    assert!(state.check(&forgetful).unwrap_err().contains("forgets"));
}

#[test]
fn a_dump_shows_the_state_and_every_edit() {
    let (dir, _) = sample(3);
    let mut shown = Vec::new();
    let state =
        Manifest::dump(&dir, &mut |record| shown.push((record.offset, record.sequence, record.is_state)))
            .unwrap();
    assert_eq!(shown, [(4096, 1, true), (8192, 2, false), (12288, 3, false), (16384, 4, false)]);
    assert_eq!(state, state_after(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flipped_bit_before_the_last_edit_is_damage(
        edits in 1_u64..8, byte in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let (mut dir, manifest) = sample(edits);
        let file = manifest.file();
        let byte = byte.index(dir.bytes(file).len() - BLOCK);
        dir.flip(file, byte, bit);
        match recover(&mut dir) {
            Err(Error::Damaged { file: named, offset, what }) => {
                prop_assert_eq!((named, offset), (file, (byte / BLOCK * BLOCK) as u64));
                prop_assert!(what.contains("`kvtool repair store`"), "{}", what);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_bytes_make_recovery_panic(
        bytes in proptest::collection::vec((0_usize..6 * BLOCK, any::<u8>()), 1..30), len in 0_usize..6 * BLOCK,
    ) {
        let (mut dir, manifest) = sample(4);
        dir.tamper(manifest.file(), |file| {
            for (at, byte) in bytes {
                file[at] = byte;
            }
            file.truncate(len);
        });
        let _ = recover(&mut dir);
        let _ = Manifest::repair(&mut dir, SHARD);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append,
    Perform,
    Crash,
    Kill,
    Fail { passing: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Append),
        10 => Just(Step::Perform),
        1 => Just(Step::Crash),
        1 => Just(Step::Kill),
        1 => (0_u64..4).prop_map(|passing| Step::Fail { passing }),
    ]
}

struct World {
    dir: MemoryDir,
    manifest: Manifest,
    rng: StdRng,
    in_flight: Vec<IoRequest>,
    appended: u64,
    durable: u64,
}

impl World {
    fn perform_one(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.in_flight.len());
        let completion = perform(&mut self.dir, self.in_flight.remove(at));
        if let Some(ManifestEvent::Durable(durable)) = self.manifest.complete(completion, &mut self.in_flight)
        {
            self.durable += 1;
            assert_eq!(durable, edit(self.durable));
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append => {
                self.appended += 1;
                self.manifest.append(edit(self.appended), &mut self.in_flight);
            }
            Step::Perform => self.perform_one(),
            Step::Crash | Step::Kill => {
                for mut request in std::mem::take(&mut self.in_flight) {
                    if let IoRequest::Write { sync, .. } = &mut request {
                        *sync = false;
                    }
                    if self.rng.random_ratio(2, 3) && !matches!(request, IoRequest::SyncDir { .. }) {
                        perform(&mut self.dir, request);
                    }
                }
                if matches!(step, Step::Crash) {
                    self.dir.crash(&mut self.rng);
                }
                self.recover();
            }
            Step::Fail { passing } => {
                self.dir.fail_after(*passing);
                while !self.in_flight.is_empty() {
                    self.perform_one();
                }
                if self.rng.random_ratio(2, 3) {
                    self.dir.heal();
                }
                while self.manifest.is_stalled() {
                    if self.rng.random_ratio(1, 4) {
                        self.dir.heal();
                        return self.recover();
                    }
                    self.manifest.retry(&mut self.in_flight);
                    for _ in 0..self.rng.random_range(0..9) {
                        self.perform_one();
                    }
                    if self.rng.random_ratio(1, 2) {
                        self.dir.heal();
                    }
                }
                self.dir.heal();
            }
        }
    }

    /// Recovers, sometimes after attempts that were themselves cut off.
    fn recover(&mut self) {
        while self.rng.random_ratio(1, 3) {
            self.dir.fail_after(self.rng.random_range(0..8));
            if let Ok((manifest, state)) = recover(&mut self.dir) {
                self.check(manifest, state);
            }
            self.dir.heal();
            if self.rng.random_ratio(1, 2) {
                self.dir.crash(&mut self.rng);
            }
        }
        let (manifest, state) =
            recover(&mut self.dir).unwrap_or_else(|error| panic!("a crash isn't damage: {error}"));
        self.check(manifest, state);
        assert_eq!(names(&self.dir), [self.manifest.file()], "nothing is left over");
    }

    fn check(&mut self, manifest: Manifest, state: ManifestState) {
        self.in_flight.clear();
        let survived = (self.durable..=self.appended).find(|&edits| state_after(edits) == state);
        self.durable = survived.expect("the state is that after all durable edits, or later ones");
        self.appended = self.durable;
        self.manifest = manifest;
        self.manifest.rewrite_from(1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn durable_edits_survive_crashes_at_any_step_of_edits_and_rewrites(
        seed in any::<u64>(), steps in proptest::collection::vec(step(), 1..200),
    ) {
        let (dir, mut manifest) = sample(0);
        manifest.rewrite_from(1);
        let rng = StdRng::seed_from_u64(seed);
        let mut world = World { dir, manifest, rng, in_flight: Vec::new(), appended: 0, durable: 0 };
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::Crash);
    }
}
