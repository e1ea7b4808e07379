//! `kvtool verify`: reads everything back and names each damage: file, offset, what it is and what it means.
//!
//! 1. The manifest must be sound and its shard the one that the store expects; the tables that it names must be there.
//! 2. The log is read from where the manifest starts it, each record down to its operations.
//! 3. Of each table the footer, index, filter, properties and every block are checked, and that entries lie in order,
//!    where the index and the filter look for them. A damaged block doesn't end the search for others.
//! 4. Tables must fit together as levels.

mod tables;

use super::error::ToolError;
use super::output::Output;
use super::progress::Progress;
use super::target::{OneFile, Shard, Target};
use super::text::{Columns, runs};
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::group::apply::check;
use pinion_engine::io::FileName;
use pinion_engine::log::{HardState, RecordKind, clock_behind, replay};
use pinion_engine::manifest::{Manifest, ManifestState};
use serde::Serialize;

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In which shard.
    pub shard: String,
    /// In which file.
    pub file: String,
    /// Where in it, in bytes; `None` if it is the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What that costs.
    pub means: String,
}

impl Finding {
    /// A shard's directory isn't there.
    pub(super) fn missing_shard(target: &Target, name: &str) -> Finding {
        Finding {
            shard: name.to_owned(),
            file: name.to_owned(),
            offset: None,
            what: "the shard's directory is missing".to_owned(),
            means: means_missing(target, name),
        }
    }

    /// Where it is, for people. What is wrong with a shard or a file as a whole has no place in it.
    pub fn place(&self) -> String {
        let Finding { shard, file, .. } = self;
        match self.offset {
            _ if file == shard => shard.clone(),
            None => format!("{shard}/{file}"),
            Some(offset) => format!("{shard}/{file} at offset {offset}"),
        }
    }
}

/// What a verification read, and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Shards.
    pub shards: u64,
    /// Tables.
    pub tables: u64,
    /// Blocks of tables.
    pub blocks: u64,
    /// Entries in sound blocks.
    pub entries: u64,
    /// Sound parts of logs.
    pub parts: u64,
    /// Records in them.
    pub records: u64,
    /// Damage.
    pub damage: Vec<Finding>,
}

/// Verifies a target and prints what it finds.
pub fn run(target: &Target, output: &mut Output<'_>) -> Result<(), ToolError> {
    let mut report = Report::default();
    for name in &target.missing {
        report.damage.push(Finding::missing_shard(target, name));
    }
    let total =
        target.shards.iter().map(|shard| bytes_of(&shard.dir, target.file)).sum::<Result<u64, Error>>()?;
    let progress = Progress::bytes(total);
    for shard in &target.shards {
        verify_shard(shard, target.file, &mut report, &progress)?;
    }
    drop(progress);
    print(&report, output)?;
    match report.damage.len() {
        0 => Ok(()),
        1 => Err(ToolError::Damage("1 damage was found".to_owned())),
        count => Err(ToolError::Damage(format!("{count} damages were found"))),
    }
}

/// What it costs that a shard isn't there.
fn means_missing(target: &Target, name: &str) -> String {
    if !target.lost.iter().any(|lost| lost == name) {
        return "nothing, if the server's first start was cut off: the next one makes it".to_owned();
    }
    let partitions = target.partitions(name).unwrap_or_default();
    format!(
        "every key of partitions {} is lost unless it is put back; `kvtool repair` makes it anew, empty",
        runs(&partitions)
    )
}

/// Verifies a shard, or one file of it.
pub fn verify_shard(
    shard: &Shard,
    only: Option<FileName>,
    report: &mut Report,
    progress: &Progress,
) -> Result<(), Error> {
    let mut check = Check { shard, report, progress };
    check.report.shards += 1;
    match only {
        None => check.everything(),
        Some(FileName::Table(number)) => tables::check_one(&mut check, number, None),
        Some(file @ FileName::Manifest(_)) => check.manifest(&OneFile { dir: &shard.dir, file }).map(drop),
        Some(file) => {
            let Some(state) = check.manifest(&shard.dir)? else { return Ok(()) };
            let others = check.report.damage.len();
            check.log(&state)?;
            // The log is one stream; damage elsewhere in it isn't this file's.
            let mut seen = 0;
            check.report.damage.retain(|finding| {
                seen += 1;
                seen <= others || finding.file == file.to_string()
            });
            Ok(())
        }
    }
}

/// The verification of one shard.
struct Check<'c> {
    shard: &'c Shard,
    report: &'c mut Report,
    progress: &'c Progress,
}

impl Check<'_> {
    fn everything(&mut self) -> Result<(), Error> {
        let Some(state) = self.manifest(&self.shard.dir)? else {
            return self.orphaned_tables();
        };
        self.log(&state)?;
        tables::check_all(self, &state)
    }

    /// Checks the manifest; its state, if it can be trusted.
    fn manifest(&mut self, dir: &dyn Dir) -> Result<Option<ManifestState>, Error> {
        self.progress.on(format!("{}: manifest", self.shard.name));
        let state = Manifest::dump(dir, &mut |_| {});
        let means = "which tables and which part of the log count can't be told from there on; the shard doesn't open";
        let state = match state {
            Ok(state) => state,
            Err(error) => return self.found(error, means).map(|()| None),
        };
        if self.shard.expected_id.is_some_and(|id| Manifest::shard_id(dir).is_ok_and(|found| found != id)) {
            let what = "the manifest belongs to another shard".to_owned();
            let file = self.shard.name.clone();
            self.push(
                file,
                None,
                what,
                "the directory was moved here from another store or shard".to_owned(),
            );
            return Ok(None);
        }
        Ok(Some(state))
    }

    fn log(&mut self, state: &ManifestState) -> Result<(), Error> {
        self.progress.on(format!("{}: log", self.shard.name));
        let id = self.shard.id()?;
        let (dir, mut unreadable) = (&self.shard.dir, Vec::new());
        let replayed = replay(dir, state.log(), id, &mut |record, at| {
            let parsed = clock_behind(None, &record).and_then(|_| match record.kind {
                RecordKind::Entry(entry) => check(entry, record.origin, record.payload),
                RecordKind::HardState => HardState::parse(record.payload).map(drop),
                RecordKind::Clock => Ok(()),
            });
            if let Err(what) = parsed {
                unreadable.push((
                    at,
                    format!(
                        "the record of partition {} at index {} can't be parsed: {what}",
                        record.group.0, record.index
                    ),
                ));
            }
            Ok(())
        });
        for (at, what) in unreadable {
            let means =
                "its checksum is right, so it was written like this: a defect; the shard doesn't open";
            self.push(format!("log segment {}", at.segment), Some(at.offset.into()), what, means.to_owned());
        }
        match replayed {
            Ok(read) => {
                self.report.parts += read.parts;
                self.report.records += read.records;
                Ok(())
            }
            Err(error) => {
                self.found(error, "what was logged from there on can't be replayed; the shard doesn't open")
            }
        }
    }

    /// Without a manifest every table in the directory may count.
    fn orphaned_tables(&mut self) -> Result<(), Error> {
        for name in list(&self.shard.dir)? {
            if let FileName::Table(number) = name {
                tables::check_one(self, number, None)?;
            }
        }
        Ok(())
    }

    /// Notes an error if it is damage; anything else is why verification itself fails.
    fn found(&mut self, error: Error, means: &str) -> Result<(), Error> {
        let text = error.to_string();
        match error {
            Error::Damaged { file, offset, what } => {
                self.push(file.to_string(), Some(offset), what, means.to_owned())
            }
            Error::Io { file, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                self.push(
                    file,
                    None,
                    "it is missing, and the manifest names it".to_owned(),
                    means.to_owned(),
                );
            }
            Error::Io { file, source, .. } if is_loss(&source) => {
                self.push(file, None, source.to_string(), means.to_owned());
            }
            Error::Format { file, .. } => {
                let means = "nothing is damaged: this build can't read it, and no repair touches it";
                self.push(file.to_string(), None, text, means.to_owned());
            }
            Error::Unusable(what) => self.push(self.shard.name.clone(), None, what, means.to_owned()),
            other => return Err(other),
        }
        Ok(())
    }

    fn push(&mut self, file: String, offset: Option<u64>, what: String, means: String) {
        let shard = self.shard.name.clone();
        self.report.damage.push(Finding { shard, file, offset, what, means });
    }
}

/// Whether an I/O error says that data is gone, rather than that it can't be reached now.
fn is_loss(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::UnexpectedEof;
    // EIO: the device can't read it any more.
    error.kind() == UnexpectedEof || error.raw_os_error() == Some(libc::EIO)
}

fn list(dir: &dyn Dir) -> Result<Vec<FileName>, Error> {
    let mut names = dir.list().map_err(|source| Error::io("list", "files", dir.path(), source))?;
    names.sort_unstable();
    Ok(names)
}

/// Bytes of the tables that will be read.
fn bytes_of(dir: &dyn Dir, only: Option<FileName>) -> Result<u64, Error> {
    let tables = list(dir)?.into_iter().filter(|name| only.is_none_or(|only| only == *name));
    let tables = tables.filter(|name| matches!(name, FileName::Table(_)));
    Ok(tables.map(|name| dir.len(name).unwrap_or(0)).sum())
}

fn print(report: &Report, output: &mut Output<'_>) -> Result<(), ToolError> {
    if output.is_json() {
        return output.json(report);
    }
    for finding in &report.damage {
        output.line(format!("{}: {}", finding.place(), finding.what))?;
        output.line(format!("    {}", finding.means))?;
    }
    let mut columns =
        Columns::new(&[">shards", ">tables", ">blocks", ">entries", ">parts", ">records", ">damage"]);
    let counts = [report.shards, report.tables, report.blocks, report.entries, report.parts, report.records];
    let [shards, tables, blocks, entries, parts, records] = counts.map(|count| count.to_string());
    columns.row([shards, tables, blocks, entries, parts, records, report.damage.len().to_string()]);
    output.lines(columns.lines(0))
}
