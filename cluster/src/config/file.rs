//! The configuration file: TOML, one key a setting, no tables. What it doesn't know is an error with its line.

use super::flags::NAMES;
use super::{Layer, Origin, Setting};
use crate::error::Error;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Reads a configuration file.
pub fn read(path: &Path) -> Result<Layer, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::Config(format!(
            "--config {}: {e}; name a file that can be read, or leave it out",
            path.display()
        ))
    })?;
    parse(&text, &path.display().to_string())
}

/// Reads the text of a configuration file that messages call `name`.
pub fn parse(text: &str, name: &str) -> Result<Layer, Error> {
    let place =
        |offset: usize| format!("{name}:{}", 1 + text[..offset.min(text.len())].matches('\n').count());
    let table = DeTable::parse(text).map_err(|e| {
        let offset = e.span().map_or(0, |span| span.start);
        Error::Config(format!("{}: {}", place(offset), e.message().replace('\n', ", ")))
    })?;
    let mut layer = Layer::default();
    for (key, value) in table.into_inner() {
        let place = place(key.span().start);
        let Some(known) = NAMES.into_iter().find(|&known| known == key.get_ref().as_ref()) else {
            return Err(Error::Config(format!(
                "{place}: unknown key {:?}; the keys are {}",
                key.get_ref(),
                NAMES.join(", ")
            )));
        };
        let text = scalar(value.get_ref()).ok_or_else(|| {
            Error::Config(format!(
                "{place}: {known} takes a string, a number, true, false or a list of strings"
            ))
        })?;
        layer.insert(known, Setting { text, origin: Origin::File(format!("{place}: {known}")) });
    }
    Ok(layer)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Array(items) => items
            .iter()
            .map(|item| scalar(item.get_ref()))
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(",")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_settings_with_their_line() {
        let layer = parse("# a comment\nshards = 2\njoin = [\"a:1\", \"b:2\"]\ninsecure = true\n", "kv.toml")
            .unwrap();
        assert_eq!(layer["shards"].text, "2");
        assert_eq!(layer["join"].text, "a:1,b:2");
        assert_eq!(layer["insecure"].origin.to_string(), "kv.toml:4: insecure");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_name() {
        let error = parse("shards = 2\n\nshard = 3\n", "kv.toml").unwrap_err().to_string();
        assert!(error.starts_with("kv.toml:3: unknown key \"shard\""), "{error}");
    }

    #[test]
    fn what_is_no_toml_is_refused_in_one_line_with_its_place() {
        let error = parse("shards = 2\nlisten = =\n", "kv.toml").unwrap_err().to_string();
        assert!(error.starts_with("kv.toml:2: ") && !error.contains('\n'), "{error}");
    }
}
