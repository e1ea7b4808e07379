//! Where a report or a picture goes. A file is opened before the run, so that a place that can't be written is told before
//! anything is measured; what is in it stays until there is something to replace it with.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::command::Failure;

/// Standard output, or a file that is open.
pub(crate) struct Destination {
    file: Option<Opened>,
}

struct Opened {
    path: PathBuf,
    file: File,
    /// Whether the file is our own and nothing is in it yet.
    is_empty: bool,
}

impl Destination {
    /// The file, or standard output without one.
    pub(crate) fn open(path: Option<&Path>) -> Result<Destination, Failure> {
        let Some(path) = path else { return Ok(Destination { file: None }) };
        let is_new = !path.exists();
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|cause| failed(path, cause))?;
        Ok(Destination { file: Some(Opened { path: path.to_owned(), file, is_empty: is_new }) })
    }

    /// Whether both are the same file.
    pub(crate) fn is_same(&self, other: &Destination) -> bool {
        let identity = |destination: &Destination| {
            let metadata =
                destination.file.as_ref()?.file.metadata().ok().filter(|metadata| metadata.is_file())?;
            Some((metadata.dev(), metadata.ino()))
        };
        identity(self).is_some_and(|one| identity(other) == Some(one))
    }

    /// Writes the text, in place of what a file held before.
    pub(crate) fn write(mut self, text: &str) -> Result<(), Failure> {
        match &mut self.file {
            None => io::stdout()
                .write_all(text.as_bytes())
                .map_err(|cause| failed(Path::new("standard output"), cause)),
            Some(opened) => {
                opened.is_empty = false;
                opened.replace(text).map_err(|cause| failed(&opened.path, cause))
            }
        }
    }
}

impl Opened {
    fn replace(&mut self, text: &str) -> io::Result<()> {
        // A pipe or a terminal has no length.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(text.as_bytes())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.is_empty {
            // A run that came to nothing leaves nothing.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path, cause: io::Error) -> Failure {
    Failure::Write { path: path.display().to_string(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_it_has_until_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        std::fs::write(&old, "what was measured before").unwrap();
        let open = |path: &Path| Destination::open(Some(path)).unwrap();
        drop((open(&old), open(&new)));
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "what was measured before");
        assert!(!new.exists());
        open(&old).write("now").unwrap();
        open(&new).write("now").unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&old), read(&new)), ("now".to_owned(), "now".to_owned()));
    }

    #[test]
    fn a_place_that_can_not_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/such/folder");
        let told = Destination::open(Some(&path)).err().unwrap().to_string();
        assert!(told.starts_with(&format!("can't write {}", path.display())), "{told}");
    }

    #[test]
    fn two_names_of_a_file_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::write(&one, "").unwrap();
        std::os::unix::fs::symlink(&one, &two).unwrap();
        let open = |path: &Path| Destination::open(Some(path)).unwrap();
        assert!(open(&one).is_same(&open(&two)));
        assert!(!open(&one).is_same(&open(&dir.path().join("three"))));
        assert!(!Destination::open(None).unwrap().is_same(&Destination::open(None).unwrap()));
    }
}
