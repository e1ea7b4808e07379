//! INFO over several cores.

mod common;

use common::resp::{Reply, Resp};
use common::{Kvd, store_dir};

const SHARDS: [&str; 2] = ["--shards", "3"];

#[test]
fn info_tells_of_the_node_on_the_common_port_and_of_the_core_on_its_own() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let clients: Vec<Resp> = (0..9)
        .map(|number| {
            let mut resp = kvd.resp();
            assert_eq!(resp.call(&["SET", &format!("key{number}"), &"v".repeat(1000)]), Reply::ok());
            resp
        })
        .collect();
    let figure = |resp: &mut Resp, name: &str| {
        let text = String::from_utf8(resp.call(&["INFO"]).bytes()).expect("INFO is text");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{name} isn't in {text}"))
    };
    let number = |resp: &mut Resp, name: &str| figure(resp, name).parse::<u64>().expect("a number");
    let mut resp = kvd.resp();
    assert_eq!(figure(&mut resp, "figures_of"), "node");
    assert_eq!(figure(&mut resp, "role"), "master");
    assert_eq!(figure(&mut resp, "run_id").len(), 40);
    // A core shows its figures at the end of its turn, which may come after its replies.
    let until = std::time::Instant::now() + common::DEADLINE;
    for (name, least) in [
        ("connected_clients", 10),
        ("total_commands_processed", 9),
        ("total_net_input_bytes", 9000),
        ("total_net_output_bytes", 45),
    ] {
        while number(&mut resp, name) < least {
            assert!(std::time::Instant::now() < until, "{name} stays below {least}");
        }
    }
    let run = resp.call(&["CLUSTER", "SLOTS"]).items().swap_remove(0).items();
    let port = run[2].clone().items()[1].clone().integer();
    let mut core = Resp::connect(&format!("127.0.0.1:{port}"));
    assert!(figure(&mut core, "figures_of").starts_with("core "));
    assert_eq!(figure(&mut core, "tcp_port"), port.to_string());
    assert_eq!(figure(&mut core, "run_id"), figure(&mut resp, "run_id"));
    drop(clients);
}
