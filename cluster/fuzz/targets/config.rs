//! A configuration: the text of a file, then flags, each after a zero byte.
//!
//! Bound on memory: 1 MiB and 512 bytes for each byte of input: the parser of TOML keeps tokens and a tree, clap a copy of each flag.
//!
//! - A file is read or refused in one line that names it. A configuration is complete or refused in one line.
//! - Sizes and lists of CPUs are read or refused with an example; a size written as bytes is the same size.
//!
//! Host names are left out: nothing here asks a name server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_cluster::config::{Config, Layer, file, flags, machine, size};
use pinion_net_fuzz::bound;
use std::net::SocketAddr;

fuzz_target!(|input: &[u8]| {
    bound::within((1 << 20) + 512 * input.len(), || run(input));
});

fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut parts = text.split('\0');
    let toml = parts.next().unwrap_or_default();
    let args: Vec<&str> = parts.collect();
    for text in args.iter().chain([&toml]) {
        read_small(text);
    }
    let mut layers = Vec::new();
    // Making the command line's parser takes longer than all the rest.
    if !args.is_empty() {
        match flags::parse([&["kvd"], args.as_slice()].concat().into_iter().map(Into::into)) {
            Ok(parsed) => layers.push(parsed.flags),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    match file::parse(toml, "kvd.toml") {
        Ok(layer) => layers.push(layer),
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("kvd.toml:"), "names no place: {text}");
            check_line(&text);
        }
    }
    layers.iter_mut().for_each(drop_names);
    match Config::from_layers(&layers) {
        Ok(config) => {
            assert!(!config.cpus.is_empty() && config.memory_bytes >= 16 << 20);
            assert!(config.shards.is_none_or(|shards| shards >= 1));
        }
        Err(error) => check_line(&error.to_string()),
    }
}

fn check_line(text: &str) {
    assert!(!text.is_empty() && !text.contains('\n'), "not one line: {text:?}");
}

/// Addresses that would have to be looked up.
fn drop_names(layer: &mut Layer) {
    let is_asked = |text: &str| text.contains(':') && text.parse::<SocketAddr>().is_err();
    layer.retain(|name, setting| !name.ends_with("listen") || !is_asked(&setting.text));
}

fn read_small(text: &str) {
    match size::parse(text) {
        Ok(bytes) => {
            assert_eq!(size::parse(&bytes.to_string()), Ok(bytes));
            assert!(!size::display(bytes).is_empty());
        }
        Err(error) => assert!(error.contains("512MB")),
    }
    match machine::parse_cpu_list(text) {
        Ok(cpus) => assert!(!cpus.is_empty() && cpus.len() <= 4096),
        Err(error) => assert!(error.contains("0-3,8")),
    }
}
