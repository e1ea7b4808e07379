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
        let text = scalar(value.get_ref())
            .filter(|_| fits(known, value.get_ref()))
            .ok_or_else(|| Error::Config(format!("{place}: {known} takes {}", wanted(known))))?;
        layer.insert(known, Setting { text, origin: Origin::File(format!("{place}: {known}")) });
    }
    Ok(layer)
}

/// What may stand for a key, in words.
fn wanted(key: &str) -> &'static str {
    match key {
        "insecure" => "true or false",
        "shards" | "partitions" | "connections-max" | "drain-timeout" => "a number",
        "request-timeout" => "a number of seconds or a string such as \"500ms\"",
        "memory" | "value-max" => "a number of bytes or a string such as \"512MB\"",
        "cpus" => "a string such as \"0-3,8\", or a list of numbers",
        "join" => "a string or a list of strings",
        _ => "a string in quotes",
    }
}

/// Whether a value is of a type that its key takes. Text is always read further; a number, say, is no directory.
fn fits(key: &str, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(_) => true,
        DeValue::Integer(_) => {
            let numbers = ["shards", "partitions", "connections-max", "drain-timeout"];
            numbers.contains(&key) || matches!(key, "memory" | "value-max" | "cpus" | "request-timeout")
        }
        DeValue::Boolean(_) => key == "insecure",
        DeValue::Array(items) => {
            let is_text = |item: &DeValue<'_>| matches!(item, DeValue::String(_));
            let is_cpu = |item: &DeValue<'_>| matches!(item, DeValue::String(_) | DeValue::Integer(_));
            let mut items = items.iter().map(|item| item.get_ref());
            (key == "join" && items.clone().all(is_text)) || (key == "cpus" && items.all(is_cpu))
        }
        _ => false,
    }
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
    fn a_value_of_another_type_is_refused_with_what_the_key_takes() {
        for (text, expected) in [
            ("dir = 5", "dir takes a string"),
            ("listen = true", "listen takes a string"),
            ("shards = true", "shards takes a number"),
            ("memory = [\"1\"]", "memory takes a number of bytes"),
            ("insecure = 1", "insecure takes true or false"),
            ("cpus = [[1]]", "cpus takes"),
        ] {
            let error = parse(text, "kv.toml").unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().starts_with(&format!("kv.toml:1: {expected}")), "{error}");
        }
        assert_eq!(parse("cpus = [0, 1]", "kv.toml").unwrap()["cpus"].text, "0,1");
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
