//! What a program can check of how the tree is built: that it stays as simple as it is, and gets simpler.
//!
//! Where something isn't yet as it should be, a list here says so, with today's figure. Such a list only shrinks: what got
//! better without its figure fails, too.

mod imports;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use tree::Source;

/// Lines of a file beyond which it is two things.
const LINES_MAX: usize = 400;

/// Longer files that there are.
const LONG: &[(&str, usize)] = &[
    ("cluster/sim/src/calamity.rs", 496),
    ("cluster/sim/src/client/tests/server.rs", 558),
    ("cluster/sim/src/model/history.rs", 485),
    ("cluster/sim/src/model/register.rs", 477),
    ("cluster/tests/commands.rs", 435),
    ("engine/src/drive/background/tests.rs", 405),
    ("engine/src/log/tests/writing.rs", 413),
    ("engine/src/manifest/tests/mod.rs", 511),
    ("engine/src/shard/tests/settling.rs", 404),
    ("engine/src/table/cache.rs", 441),
    ("net/src/resp/order.rs", 411),
    ("net/src/resp/parser.rs", 431),
];

/// Files that import each other in a circle may be so many.
const CIRCLE_MAX: usize = 3;

#[test]
fn every_module_begins_with_what_it_is() {
    let silent: Vec<_> = tree::sources()
        .filter(|source| !source.is_test() && !source.text.starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "these files don't begin with //! and what they are: {silent:#?}");
}

/// Words that stood for something that has another name now, and where they mustn't come back (docs/glossary.md has those that
/// count).
const RETIRED: &[(&str, &str, &str)] = &[
    ("engine/src/shard/", "generation of writes", "log write"),
    ("engine/src/shard/", "forming commit", "forming log write"),
    ("engine/src/shard/", "Generation", "LogWrite"),
    ("engine/src/log/", "Commit ", "PartHeader, or LogWrite"),
    ("engine/src/log/", "CommitId", "LogWriteId"),
    ("engine/src/tree/", "Snapshot", "ReadPins"),
    ("engine/src/job/", "Snapshot", "ReadPins"),
    ("engine/src/shard/", "Snapshot", "ReadPins"),
    ("cluster/src/session/wire/", "Terms", "Asked"),
    ("net/src/client/", "Terms", "CallOptions"),
];

#[test]
fn retired_words_stay_away() {
    let mut found = Vec::new();
    for source in tree::sources() {
        for (folder, word, instead) in RETIRED {
            let is_there = source.path.starts_with(folder) && source.text.contains(word);
            found.extend(is_there.then(|| format!("{}: {word:?}; say {instead:?}", source.path)));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn one_type_has_a_name() {
    let names = ["Place", "Home"];
    for name in names {
        let kinds = ["struct", "enum", "type"].map(|kind| format!("{kind} {name}"));
        let is_declared = |line: &str| {
            let rest =
                |kind: &String| line.trim_start().trim_start_matches("pub ").strip_prefix(kind.as_str());
            kinds
                .iter()
                .filter_map(rest)
                .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let declaring: Vec<_> =
            tree::sources().filter(|source| source.text.lines().any(is_declared)).map(|s| s.path).collect();
        assert_eq!(declaring.len(), 1, "{name}: {declaring:?}");
    }
}

#[test]
fn files_are_short() {
    let known: BTreeMap<_, _> = LONG.iter().copied().collect();
    let is_long = |source: &Source| known.contains_key(source.path.as_str()) || source.lines() > LINES_MAX;
    let found: BTreeMap<_, _> =
        tree::sources().filter(is_long).map(|source| (source.path.clone(), source.lines())).collect();
    differ(&known, &found, "lines");
}

#[test]
fn circles_of_imports_are_small() {
    let sources: Vec<_> = tree::sources().filter(|source| !source.is_test()).collect();
    let crates: BTreeSet<_> = sources.iter().filter_map(Source::crate_root).collect();
    let circles_of = |root: &String| {
        let of_crate: Vec<_> =
            sources.iter().filter(|source| source.crate_root().as_ref() == Some(root)).collect();
        imports::circles(root, &of_crate)
    };
    let mut large: Vec<_> = crates.iter().flat_map(circles_of).collect();
    large.retain(|circle| circle.len() > CIRCLE_MAX);
    assert!(large.is_empty(), "{large:#?}");
}

/// The rooms of a request in `cluster/src`, from the one on top to the one below all: each knows those behind it in this list,
/// and none before it.
const ROOMS: &[&str] = &["core", "session", "route", "topology"];

#[test]
fn a_room_knows_only_those_below_it() {
    const ROOT: &str = "cluster/src";
    let sources: Vec<_> = tree::sources().filter(|source| !source.is_test()).collect();
    let of_crate: Vec<_> =
        sources.iter().filter(|source| source.crate_root().is_some_and(|root| root == ROOT)).collect();
    let room = |path: &str| {
        let folder = path.strip_prefix(ROOT)?.split('/').nth(1)?;
        ROOMS.iter().position(|&room| room == folder)
    };
    let mut upwards = imports::imports(ROOT, &of_crate);
    upwards.retain(|(from, to)| room(from).zip(room(to)).is_some_and(|(from, to)| from > to));
    assert!(upwards.is_empty(), "{upwards:#?}");
    for (place, name) in ROOMS.iter().enumerate() {
        assert!(of_crate.iter().any(|source| room(&source.path) == Some(place)), "there is no room {name}");
    }
}

/// Fails where something is worse than it was, or better and not yet noted.
fn differ(known: &BTreeMap<&str, usize>, found: &BTreeMap<String, usize>, what: &str) {
    let mut complaints = Vec::new();
    for (path, &count) in found {
        match known.get(path.as_str()) {
            Some(&before) if before == count => {}
            Some(&before) => complaints.push(format!("{path}: {count} {what}, the list says {before}")),
            None => complaints.push(format!("{path}: {count} {what}: too many")),
        }
    }
    let gone = known.keys().filter(|path| !found.contains_key(**path));
    complaints.extend(gone.map(|path| format!("{path}: in the list, but not so any more")));
    assert!(complaints.is_empty(), "{complaints:#?}");
}
