//! Writes the seeds of the node's targets: `seeds DIR` makes `DIR/TARGET/NAME`. Those of connections are made of the protocols' seeds, which
//! lie beside this package when `.ci/fuzz` has made them.

use pinion_cluster::config::flags::NAMES;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    let Some(dir) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: seeds DIR");
        process::exit(2);
    };
    configurations(&dir);
    let protocols = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../net/fuzz/seeds");
    connections(&dir, &protocols, "wire_requests", 0);
    connections(&dir, &protocols, "resp_commands", 0x80);
}

fn write(dir: &Path, target: &str, name: &str, bytes: &[u8]) {
    let dir = dir.join(target);
    fs::create_dir_all(&dir).and_then(|()| fs::write(dir.join(name), bytes)).expect("seeds can be written");
}

fn value(name: &str) -> &'static str {
    match name {
        "dir" => "data",
        "listen" | "resp-listen" => "127.0.0.1:7000",
        "admin-listen" => "off",
        "cpus" => "0",
        "durability" => "interval:50",
        "memory" => "1.5 GiB",
        "value-max" => "1MB",
        "log" => "info",
        "log-format" => "json",
        "insecure" => "true",
        "node-id" => "node-1",
        "join" => "10.0.0.1:7400",
        _ => "2",
    }
}

fn configurations(dir: &Path) {
    let known: Vec<&str> = NAMES.into_iter().filter(|&name| name != "join").collect();
    let toml: String = known.iter().map(|name| format!("{name} = \"{}\"\n", value(name))).collect();
    let flags: String = known.iter().map(|name| format!("\0--{name}\0{}", value(name))).collect();
    write(dir, "config", "file", toml.as_bytes());
    write(dir, "config", "flags", flags.as_bytes());
    write(dir, "config", "both", format!("{toml}{flags}").as_bytes());
    for name in NAMES {
        let toml = format!("# {name}\n{name} = [\"{}\", 3, true]\n\0--{name}={}", value(name), value(name));
        write(dir, "config", name, toml.as_bytes());
    }
}

fn connections(dir: &Path, protocols: &Path, target: &str, flag: u8) {
    let seeds = fs::read_dir(protocols.join(target)).expect("the seeds of the protocols are made first");
    for seed in seeds {
        let path = seed.expect("a directory can be read").path();
        let mut bytes = fs::read(&path).expect("a seed can be read");
        bytes[0] = bytes[0] & 3 | flag;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        write(dir, "session", &format!("{target}-{name}"), &bytes);
    }
}
