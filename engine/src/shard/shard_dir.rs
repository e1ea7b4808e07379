//! Where a shard is, and what is wrong there: errors are told with the shard's directory and what to do.

use crate::dir::store_of;
use crate::error::Error;

/// A shard's directory, and the damage met in it.
#[derive(Debug)]
pub(super) struct ShardDir {
    dir: String,
    /// The first damage met since the shard was opened; it stays until a repair, for which the shard is closed.
    damage: Option<String>,
}

impl ShardDir {
    pub fn new(dir: String) -> ShardDir {
        ShardDir { dir, damage: None }
    }

    /// The shard's directory, for messages.
    pub fn dir(&self) -> &str {
        &self.dir
    }

    /// What was met first, if anything.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// A file that was just written doesn't read back as it should: no data is lost.
    pub fn tell_unread(&self, error: &Error) -> String {
        format!(
            "{}/{error}, right after it was written: the disk may be failing; it is written again",
            self.dir
        )
    }

    /// An error met while the shard serves, in full; damage is remembered.
    pub fn tell(&mut self, error: &Error) -> String {
        let text = match error {
            Error::Damaged { .. } => format!("{}/{error}; {}", self.dir, damage_hint(&self.dir)),
            Error::Io { operation, file, source, .. } => {
                format!("{operation} {file} in {}: {source}", self.dir)
            }
            _ => error.to_string(),
        };
        if matches!(error, Error::Damaged { .. }) && self.damage.is_none() {
            self.damage = Some(text.clone());
        }
        text
    }
}

/// What to do about a damaged block: all but its keys are served.
fn damage_hint(dir: &str) -> String {
    let store = store_of(dir);
    format!(
        "everything else is served; to repair, stop the server, run `kvtool verify {store}` to see all damage, then \
         `kvtool repair {store}`"
    )
}

/// Damage that keeps a shard from being opened, with its directory and what to do.
pub(super) fn at_open(error: Error, dir: &str) -> Error {
    match error {
        Error::Damaged { file, offset, what } => {
            let store = store_of(dir);
            let hint = format!("in {dir}; run `kvtool verify {store}`, then `kvtool repair {store}`");
            Error::Damaged { file, offset, what: format!("{what}; {hint}") }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::FileName;

    fn damaged() -> Error {
        Error::Damaged { file: FileName::Table(1), offset: 8192, what: "checksum".to_owned() }
    }

    #[test]
    fn damage_is_told_with_its_path_and_the_commands_and_is_remembered() {
        let mut dir = ShardDir::new("/data/shard-003".to_owned());
        let text = dir.tell(&damaged());
        assert!(text.starts_with("/data/shard-003/000001.sst is damaged at offset 8192: checksum"), "{text}");
        assert!(text.contains("`kvtool verify /data`") && text.contains("`kvtool repair /data`"), "{text}");
        assert_eq!(dir.damage(), Some(text.as_str()));
    }

    #[test]
    fn an_operation_that_failed_names_the_directory_and_is_no_damage() {
        let mut dir = ShardDir::new("/data/shard-000".to_owned());
        let full = std::io::ErrorKind::StorageFull.into();
        let text = dir.tell(&Error::io("prepare", FileName::Log(2), "the shard's directory", full));
        assert!(text.starts_with("prepare 000002.log in /data/shard-000: "), "{text}");
        assert_eq!(dir.damage(), None);
    }

    #[test]
    fn damage_at_open_names_the_directory_and_both_commands() {
        let text = at_open(damaged(), "/data/shard-001").to_string();
        assert!(text.contains("in /data/shard-001; run `kvtool verify /data`"), "{text}");
    }
}
