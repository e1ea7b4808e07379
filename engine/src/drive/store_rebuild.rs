//! `STORE` made anew from what the shards say, where it is lost or damaged.
//!
//! Each shard's manifest names the store's numbers and its own, and its id is the store's with those mixed in. `STORE`
//! is believed to have been what the shards of one layout agree on. Of several layouts (a reshard was cut off) the lowest
//! counts of which all shards are there: a reshard removes the old shards only when the new ones are whole, and nothing
//! is written to those before it has. Where no layout is whole, it is the lowest.

use super::os_dir::OsDir;
use super::store_file::{StoreFile, place_of, shards_in};
use crate::error::Error;
use crate::manifest::{Manifest, Membership};
use std::collections::BTreeMap;
use std::path::Path;

/// What a shard's directory says of the store that it is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardWord {
    /// The directory's name.
    pub name: String,
    /// The id in its manifest; `None` if that can't be read.
    pub shard_id: Option<[u8; 16]>,
    /// What the manifest says; `None` if it never heard of it.
    pub membership: Option<Membership>,
}

/// Reads what the shards in a directory say.
pub fn shard_words(dir: &Path) -> Result<Vec<ShardWord>, Error> {
    let word = |name: String| {
        let shard = OsDir::open(dir.join(&name))?;
        let shard_id = Manifest::shard_id(&shard).ok();
        let state = shard_id.and_then(|id| Manifest::read(&shard, id).ok());
        Ok(ShardWord { name, shard_id, membership: state.and_then(|state| state.membership) })
    };
    shards_in(dir)?.into_iter().map(word).collect()
}

/// The store that these shards are part of. `partitions` is asked for where they never heard of it. The error says why it
/// can't be told.
pub fn rebuild(words: &[ShardWord], partitions: Option<u32>) -> Result<StoreFile, String> {
    let mut layouts: BTreeMap<u32, Vec<(u32, &ShardWord)>> = BTreeMap::new();
    for word in words {
        let (shard, layout) = place_of(&word.name).ok_or_else(|| format!("{} is no shard", word.name))?;
        layouts.entry(layout).or_default().push((shard, word));
    }
    let (mut refusals, mut incomplete) = (Vec::new(), None);
    for (layout, shards) in layouts {
        let is_there =
            |shard: &u32| shards.iter().any(|(there, word)| there == shard && word.shard_id.is_some());
        match of_layout(layout, &shards, partitions) {
            Ok(file) if (0..file.shards).all(|shard| is_there(&shard)) => return Ok(file),
            Ok(file) => incomplete = incomplete.or(Some(file)),
            Err(why) => refusals.push(why),
        }
    }
    if let Some(file) = incomplete {
        return Ok(file);
    }
    Err(if refusals.is_empty() { "there is no shard".to_owned() } else { refusals.join("; ") })
}

fn of_layout(
    layout: u32,
    shards: &[(u32, &ShardWord)],
    partitions: Option<u32>,
) -> Result<StoreFile, String> {
    let said = |(shard, word): &(u32, &ShardWord)| {
        word.membership.filter(|said| (said.shard, said.layout) == (*shard, layout))
    };
    // Who never heard of the store is believed to be of the one that the others know.
    let anyone = shards.iter().find_map(said);
    let mut agreed: Option<StoreFile> = None;
    for (shard, word) in shards {
        let Some(shard_id) = word.shard_id else { continue };
        let id = StoreFile::id_of(shard_id, *shard, layout);
        let said = said(&(*shard, word)).or(anyone);
        let file = StoreFile {
            id,
            shards: said.map_or(shards.len() as u32, |said| said.shards),
            partitions: said.map(|said| said.partitions).or(partitions).ok_or_else(|| {
                format!(
                    "{} doesn't know how many partitions the store has; say it with --partitions N",
                    word.name
                )
            })?,
            layout,
            is_made: true,
        };
        match &agreed {
            Some(agreed) if *agreed != file => {
                return Err(format!("{} is of another store than the shards before it", word.name));
            }
            _ => agreed = Some(file),
        }
    }
    let file = agreed.ok_or("no manifest of a shard can be read, so the store's id is lost")?;
    file.check()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(file: &StoreFile) -> Vec<ShardWord> {
        let word = |shard| {
            let name =
                file.shard_dir(Path::new("/"), shard).file_name().unwrap().to_str().unwrap().to_owned();
            let membership = Some(file.membership(shard));
            ShardWord { name, shard_id: Some(file.shard_id(shard)), membership }
        };
        (0..file.shards).map(word).collect()
    }

    fn store(layout: u32) -> StoreFile {
        StoreFile { id: [7; 16], shards: 3, partitions: 64, layout, is_made: true }
    }

    #[test]
    fn shards_that_agree_make_the_store_anew_also_if_one_is_missing_or_silent() {
        let mut said = words(&store(0));
        assert_eq!(rebuild(&said, None), Ok(store(0)));
        said[0].shard_id = None;
        said.remove(1);
        assert_eq!(rebuild(&said, None), Ok(store(0)));
        assert_eq!(rebuild(&words(&store(4)), None), Ok(store(4)));
    }

    #[test]
    fn shards_that_never_heard_of_the_store_need_the_number_of_partitions() {
        let mut said = words(&store(0));
        said.iter_mut().for_each(|word| word.membership = None);
        assert!(rebuild(&said, None).unwrap_err().contains("--partitions N"));
        assert_eq!(rebuild(&said, Some(64)), Ok(store(0)));
    }

    #[test]
    fn a_shard_that_never_heard_of_the_store_takes_the_others_word_but_has_to_be_of_it() {
        for silent in 0..3 {
            let mut said = words(&store(0));
            said[silent].membership = None;
            said.remove((silent + 1) % 3);
            assert_eq!(rebuild(&said, None), Ok(store(0)));
            said.iter_mut().find(|word| word.membership.is_none()).unwrap().shard_id = Some([9; 16]);
            assert!(rebuild(&said, None).unwrap_err().contains("is of another store"));
        }
    }

    #[test]
    fn shards_of_different_stores_or_without_any_manifest_make_none() {
        let mut said = words(&store(0));
        said[1].shard_id = Some([9; 16]);
        assert!(rebuild(&said, None).unwrap_err().contains("shard-001 is of another store"));
        said.iter_mut().for_each(|word| word.shard_id = None);
        assert!(rebuild(&said, None).unwrap_err().contains("the store's id is lost"));
        assert!(rebuild(&[], None).is_err());
    }

    #[test]
    fn of_a_reshard_that_was_cut_off_the_shards_count_that_are_whole() {
        let (mut part, whole) = (words(&store(2)), words(&store(1)));
        part.truncate(1);
        assert_eq!(rebuild(&[&part[..], &whole[..]].concat(), None), Ok(store(1)));
        let (mut part, whole) = (words(&store(0)), words(&store(1)));
        part.truncate(2);
        assert_eq!(rebuild(&[&part[..], &whole[..]].concat(), None), Ok(store(1)), "the old ones go");
    }
}
