//! YCSB's properties: `name=value` lines of a workload file, `-p` on the command line.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Something is wrong with a property.
#[derive(Debug, thiserror::Error)]
pub enum PropertyError {
    /// The file can't be read.
    #[error("{path:?} is neither a letter from a to f nor a file of properties that can be read: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A line or argument isn't `name=value`.
    #[error("{0:?} isn't name=value")]
    Form(String),
    /// No such property.
    #[error("there is no property {name:?}; did you mean {nearest:?}?")]
    Unknown {
        /// As given.
        name: String,
        /// The one that is spelled most alike.
        nearest: &'static str,
    },
    /// A value that makes no sense.
    #[error("{name}={value}: {expected}")]
    Value {
        /// Of which property.
        name: &'static str,
        /// As given.
        value: String,
        /// What would do.
        expected: String,
    },
    /// Properties that don't fit each other.
    #[error("{0}")]
    Conflict(String),
}

/// Every property that is understood.
pub const NAMES: &[&str] = &[
    "recordcount",
    "operationcount",
    "insertstart",
    "insertcount",
    "table",
    "fieldcount",
    "fieldlength",
    "minfieldlength",
    "fieldlengthdistribution",
    "fieldlengthhistogram",
    "readallfields",
    "writeallfields",
    "dataintegrity",
    "readproportion",
    "updateproportion",
    "insertproportion",
    "scanproportion",
    "readmodifywriteproportion",
    "requestdistribution",
    "minscanlength",
    "maxscanlength",
    "scanlengthdistribution",
    "insertorder",
    "zeropadding",
    "hotspotdatafraction",
    "hotspotopnfraction",
    "exponential.percentile",
    "exponential.frac",
    "threadcount",
    "target",
    "maxexecutiontime",
    "status.interval",
];

/// Names and values; later ones replace earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Reads a workload file; properties that aren't known here are left to others, as YCSB does.
    pub fn read(path: &Path) -> Result<Properties, PropertyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| PropertyError::File { path: path.to_owned(), cause })?;
        Properties::parse(&text)
    }

    /// Reads the text of a workload file: comments begin with `#` or `!`.
    pub fn parse(text: &str) -> Result<Properties, PropertyError> {
        let mut properties = Properties::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (name, value) = line.split_once(['=', ':']).ok_or(PropertyError::Form(line.to_owned()))?;
            properties.0.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(properties)
    }

    /// Sets one from the command line, where a name that isn't known is a mistake.
    pub fn set(&mut self, assignment: &str) -> Result<(), PropertyError> {
        let (name, value) = assignment.split_once('=').ok_or(PropertyError::Form(assignment.to_owned()))?;
        if !NAMES.contains(&name) {
            let nearest = NAMES.iter().min_by_key(|known| distance(name, known)).unwrap_or(&"recordcount");
            return Err(PropertyError::Unknown { name: name.to_owned(), nearest });
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Sets one unless it is set.
    pub fn default_to(&mut self, name: &'static str, value: impl Display) {
        self.0.entry(name.to_owned()).or_insert_with(|| value.to_string());
    }

    /// As text, if set.
    pub fn text(&self, name: &'static str) -> Option<&str> {
        debug_assert!(NAMES.contains(&name));
        self.0.get(name).map(String::as_str)
    }

    /// As a number or boolean.
    pub fn get<T: FromStr>(&self, name: &'static str, default: T) -> Result<T, PropertyError> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.to_ascii_lowercase().parse().map_err(|_| {
                let kind = std::any::type_name::<T>();
                let expected = match kind {
                    "bool" => "expected true or false".to_owned(),
                    "f64" => "expected a number".to_owned(),
                    _ => "expected a whole number, 0 or more".to_owned(),
                };
                PropertyError::Value { name, value: text.to_owned(), expected }
            }),
        }
    }

    /// As one of several words.
    pub fn choose<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Result<T, PropertyError> {
        let text = self.text(name).unwrap_or(words[0].0);
        let found = words.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let expected = format!("expected one of {}", known.join(", "));
            PropertyError::Value { name, value: text.to_owned(), expected }
        })
    }
}

/// Edits between two names.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, left) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, right) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_comments_and_later_lines_win() {
        let properties =
            Properties::parse("# a\n! b\nrecordcount = 5\n\nrecordcount=7\nworkload: x\n").unwrap();
        assert_eq!(properties.get("recordcount", 0u64).unwrap(), 7);
        assert!(Properties::parse("nonsense").is_err());
    }

    #[test]
    fn a_misspelled_name_is_told_the_right_one() {
        let error = Properties::default().set("recordcuont=5").unwrap_err();
        assert!(error.to_string().contains("did you mean \"recordcount\""), "{error}");
    }

    #[test]
    fn a_bad_value_says_what_would_do() {
        let properties = Properties::parse("recordcount=many\nreadallfields=TRUE").unwrap();
        let error = properties.get("recordcount", 0u64).unwrap_err();
        assert_eq!(error.to_string(), "recordcount=many: expected a whole number, 0 or more");
        assert!(properties.get("readallfields", false).unwrap());
    }
}
