//! Making `STORE` anew, where it is lost or damaged, from what the shards' manifests say of it.

use super::aside::Aside;
use super::confirm;
use crate::kvtool::args;
use crate::kvtool::error::ToolError;
use crate::kvtool::output::Output;
use crate::kvtool::text::hex;
use pinion_engine::drive::{StoreFile, StoreLock, rebuild_store_file, shard_words};
use serde::Serialize;

/// What was wrong with `STORE`, and what it says anew.
#[derive(Debug, Serialize)]
pub struct StoreRepair {
    damage: String,
    id: String,
    shards: u32,
    partitions: u32,
    layout: u32,
    /// It was written; otherwise that was only tried.
    pub is_made_anew: bool,
    /// Where the damaged one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_in: Option<String>,
}

/// Makes `STORE` anew if it has to be; `None` if it is sound, or the path is no store's.
pub fn mend(args: &args::Repair, output: &mut Output<'_>) -> Result<Option<StoreRepair>, ToolError> {
    let path = &args.path;
    if !path.is_dir() {
        return Ok(None);
    }
    let Some(damage) = StoreFile::damage(path)? else { return Ok(None) };
    let _lock = StoreLock::acquire(path)?;
    let file = rebuild_store_file(&shard_words(path)?, args.partitions).map_err(|why| {
        ToolError::Damage(format!(
            "{}: {damage}; it can't be made anew: {why}; restore it from a backup",
            path.join("STORE").display()
        ))
    })?;
    let StoreFile { shards, partitions, layout, .. } = file;
    if !output.is_json() {
        output.line(format!("STORE: {damage}"))?;
        output.line(format!(
            "    by its shards it said: id {}, shards {shards}, partitions {partitions}, layout {layout}",
            hex(&file.id)
        ))?;
    }
    let id = hex(&file.id);
    let mut repair =
        StoreRepair { damage, id, shards, partitions, layout, is_made_anew: false, kept_in: None };
    if args.dry_run {
        return Ok(Some(repair));
    }
    confirm(args)?;
    if path.join("STORE").exists() {
        let aside = Aside::create(path)?;
        aside.keep_store_file(&path.join("STORE"))?;
        repair.kept_in = Some(aside.path().display().to_string());
    }
    file.write(path)?;
    repair.is_made_anew = true;
    if !output.is_json() {
        output.line("STORE is made anew")?;
    }
    Ok(Some(repair))
}
