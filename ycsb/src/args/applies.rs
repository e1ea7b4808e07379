//! Which options go with which store. One that would change nothing is refused: whoever gives it expects something of it.

use super::{Options, Route, UsageError};
use crate::db::Kind;

/// Refuses options that were given and don't apply to the store, with the reason.
pub(super) fn check(options: &Options) -> Result<(), UsageError> {
    let db = options.db;
    let given = [
        ("--target", !options.target.is_empty(), db.is_local(), "the store is in this process"),
        ("--route", options.route.is_some(), db.is_local(), "the store is in this process"),
        ("--connections", options.connections.is_some(), db.is_local(), IN_PROCESS),
        ("--depth", options.depth.is_some(), db.is_local(), IN_PROCESS),
        ("--dir", options.dir.is_some(), db != Kind::Embedded, NOT_HERE),
        ("--durability", options.durability.is_some(), db != Kind::Embedded, NOT_HERE),
        ("--memory", options.memory.is_some(), db != Kind::Embedded, NOT_HERE),
        (
            "--route direct",
            options.route == Some(Route::Direct),
            db == Kind::Memcached,
            "it has no map of its cores",
        ),
    ];
    match given.into_iter().find(|(_, is_given, is_void, _)| *is_given && *is_void) {
        Some((option, _, _, reason)) => {
            let text = format!("{option} doesn't apply to --db {}: {reason}", db.name());
            Err(UsageError::Option(text))
        }
        None => Ok(()),
    }
}

const IN_PROCESS: &str = "each thread calls the store in this process; --threads says how many";
const NOT_HERE: &str = "it is for the embedded store, and any other is told where it is started";

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;
    use clap::Parser;

    fn checked(line: &str) -> Result<(), String> {
        let Command::Run(options) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("{line}")
        };
        check(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_would_change_nothing_are_refused_with_the_reason() {
        for (db, option) in [
            ("embedded", "--connections 5"),
            ("embedded", "--depth 4"),
            ("embedded", "--target 127.0.0.1:1"),
            ("null", "--target 127.0.0.1:1"),
            ("null", "--route any"),
            ("null", "--dir x"),
            ("pinion", "--durability none"),
            ("resp", "--memory 64MB"),
            ("memcached", "--dir x"),
            ("memcached", "--route direct"),
        ] {
            let told = checked(&format!("kvbench run -w a --db {db} {option}")).unwrap_err();
            let name = option.split(' ').next().unwrap();
            assert!(
                told.starts_with(name) && told.contains(&format!("doesn't apply to --db {db}: ")),
                "{told}"
            );
        }
    }

    #[test]
    fn options_that_apply_are_taken() {
        for line in [
            "--db pinion --connections 2 --depth 3 --target 127.0.0.1:1 --route any",
            "--db resp --depth 3 --route direct",
            "--db memcached --route any --depth 2",
            "--db embedded --dir x --durability none --memory 64MB --threads 2",
            "--db null --threads 2 --rate 5",
        ] {
            assert_eq!(checked(&format!("kvbench run -w a {line}")), Ok(()), "{line}");
        }
    }
}
