//! The sources of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of our packages, in the root.
const PACKAGES: [&str; 6] = ["engine", "net", "cluster", "bench", "ycsb", "tools"];

/// A Rust file.
pub struct Source {
    /// Its path from the root.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl Source {
    /// Whether it holds tests, or what only they need.
    pub fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        let name = self.path.rsplit('/').next().unwrap_or_default();
        parts.any(|part| part == "tests")
            || name == "tests.rs"
            || name.ends_with("_test.rs")
            || name == "testing.rs"
    }

    /// Its lines.
    pub fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// The folder whose modules it is one of, if it is a module of a crate.
    pub fn crate_root(&self) -> Option<String> {
        let (root, _) = self.path.split_once("/src/")?;
        Some(format!("{root}/src"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the root").to_owned()
}

/// All of them.
pub fn sources() -> impl Iterator<Item = Source> {
    let (root, mut paths) = (root(), Vec::new());
    PACKAGES.iter().for_each(|package| collect(&root.join(package), &mut paths));
    assert!(paths.len() > 500, "only {} sources were found", paths.len());
    paths.sort_unstable();
    paths.into_iter().map(move |path| Source {
        text: fs::read_to_string(&path).expect("sources are UTF-8"),
        path: path.strip_prefix(&root).expect("it was found there").display().to_string(),
    })
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
