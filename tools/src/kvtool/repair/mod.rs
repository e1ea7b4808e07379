//! `kvtool repair`: makes a damaged store one that opens.
//!
//! 1. Where `STORE` is lost or damaged, it is made anew from what the shards say of it (`store.rs`).
//! 2. The store is verified. If it is sound, nothing is changed.
//! 3. Every file that will be changed or dropped is kept in `repair-TIME` first, and synced there.
//! 4. Damaged tables are rewritten, under their number and in their level, from the blocks that are sound; tables
//!    of which nothing is left, or that are missing, leave the manifest.
//! 5. The log is cut before its first bad or missing part; a segment whose header alone is damaged stays.
//! 6. A shard whose manifest is damaged or lost is built anew from all its tables and its log; one that is missing, empty,
//!    unless a repair that was cut off has it.
//! 7. The store is verified again.
//!
//! It says what it dropped: tables, key ranges, parts and records. A lost block may have held a deletion:
//! older values of its keys, if any are in deeper tables, are visible again.

mod aside;
mod rebuild;
mod salvage;
mod shard;
mod store;

use super::ToolError;
use super::args;
use super::output::Output;
use super::progress::Progress;
use super::target::{Shard, Target};
use super::verify::{Finding, Report, verify_shard};
use aside::Aside;
use serde::Serialize;
use shard::ShardRepair;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use store::StoreRepair;

#[derive(Serialize)]
struct RepairReport {
    /// What was done about a lost `STORE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreRepair>,
    damage: Vec<Finding>,
    /// Where the originals are.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_in: Option<String>,
    repairs: Vec<ShardRepair>,
}

/// Repairs a store, or one shard.
pub fn run(args: &args::Repair, output: &mut Output<'_>) -> Result<(), ToolError> {
    let store = store::mend(args, output)?;
    if store.as_ref().is_some_and(|store| !store.is_made_anew) {
        let report = RepairReport { store, damage: Vec::new(), kept_in: None, repairs: Vec::new() };
        return if output.is_json() { output.json(&report) } else { Ok(()) };
    }
    let target = Target::own(&args.path)?;
    target.no_file("repair")?;
    let findings = find_damage(&target)?;
    let missing = missing_shards(&target);
    let damage = missing.iter().chain(findings.iter().flat_map(|(_, report)| &report.damage));
    let damage: Vec<Finding> = damage.cloned().collect();
    let mut report = RepairReport { store, damage, kept_in: None, repairs: Vec::new() };
    if !output.is_json() {
        for finding in &report.damage {
            output.line(format!("{}: {}", finding.place(), finding.what))?;
            if args.dry_run {
                output.line(format!("    {}", finding.means))?;
            }
        }
        if report.damage.is_empty() && report.store.is_none() {
            output.line("nothing is damaged; nothing was changed")?;
        }
    }
    if !report.damage.is_empty() && !args.dry_run {
        confirm(args)?;
        repair(&target, &findings, &missing, &mut report, output)?;
    }
    if output.is_json() { output.json(&report) } else { Ok(()) }
}

/// The shards that are lost. Before all of them were made none is: the server makes those that aren't there.
fn missing_shards(target: &Target) -> Vec<Finding> {
    let lost = target.missing.iter().filter(|name| target.lost.contains(name));
    lost.map(|name| Finding::missing_shard(target, name)).collect()
}

fn find_damage(target: &Target) -> Result<Vec<(&Shard, Report)>, ToolError> {
    let progress = Progress::open_ended();
    let verify = |shard| {
        let mut report = Report::default();
        verify_shard(shard, None, &mut report, &progress)?;
        Ok((shard, report))
    };
    target.shards.iter().map(verify).collect()
}

/// Asks whoever sits at the terminal; elsewhere the answer must be given beforehand.
fn confirm(args: &args::Repair) -> Result<(), ToolError> {
    if args.yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(ToolError::Usage("nobody can be asked here whether to repair; add --yes".to_owned()));
    }
    let mut answer = String::new();
    // A terminal that can't be written to can't be read from either.
    let asked = write!(stderr(), "Repair? What can't be proved is dropped; originals are kept. [y/N] ");
    asked.and_then(|()| stdin().lock().read_line(&mut answer)).map_err(ToolError::Output)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(ToolError::Damage("not repaired".to_owned())),
    }
}

fn repair(
    target: &Target,
    findings: &[(&Shard, Report)],
    missing: &[Finding],
    report: &mut RepairReport,
    output: &mut Output<'_>,
) -> Result<(), ToolError> {
    let root = target.store.as_ref().map_or_else(|| args_path(target), |store| store.path.clone());
    for finding in missing {
        aside::refuse_unfinished(&root, &finding.shard)?;
    }
    let aside = Aside::create(&root)?;
    report.kept_in = Some(aside.path().display().to_string());
    if !output.is_json() {
        output.line(format!("originals are kept in {}", aside.path().display()))?;
    }
    let mut made = Vec::new();
    for finding in missing {
        made.push((target.make_missing(&finding.shard)?, vec![finding.clone()]));
    }
    let found = findings.iter().map(|(shard, report)| (*shard, &report.damage));
    for (shard, damage) in made.iter().map(|(shard, damage)| (shard, damage)).chain(found) {
        if damage.is_empty() {
            continue;
        }
        let partitions = target.partitions(&shard.name);
        let repair = shard::repair(shard, damage, partitions.as_deref(), &aside)?;
        if !output.is_json() {
            output.lines(repair.lines())?;
        }
        report.repairs.push(repair);
        let mut again = Report::default();
        verify_shard(shard, None, &mut again, &Progress::open_ended())?;
        if let Some(finding) = again.damage.first() {
            return Err(ToolError::Damage(format!(
                "{} is still damaged: {}; restore the shard from a backup",
                finding.place(),
                finding.what
            )));
        }
    }
    Ok(())
}

/// Where a shard without a store is.
fn args_path(target: &Target) -> std::path::PathBuf {
    use pinion_engine::dir::Dir;
    target.shards.first().map(|shard| shard.dir.path().into()).unwrap_or_default()
}
