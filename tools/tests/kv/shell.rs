//! The shell with its commands from a pipe.

use crate::common::{Server, json};
use serde_json::json;

#[test]
fn lines_are_done_one_after_the_other_and_an_error_does_not_end_it() {
    let server = Server::start();
    let input = b"put a 1\n\nget a\nget nobody\nfrobnicate\nput only\nput \"x\n  get   a  \n";
    let run = server.kv_reading([""; 0], input);
    let out = String::from_utf8(run.out).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("version "), "{out}");
    assert_eq!(lines[1..], ["1", "1"]);
    for complaint in [
        "kv: line 4: not found: nobody\n",
        "kv: line 5: unrecognized command 'frobnicate'\n  `help` lists the commands\n",
        "kv: line 6: the following required arguments were not provided:\n  <VALUE>\nUsage: put [OPTIONS] <KEY> <VALUE>\n",
        "kv: line 7: a \" isn't closed\n",
    ] {
        assert!(run.err.contains(complaint), "{complaint} isn't in\n{}", run.err);
    }
    assert_eq!(run.code, 2, "the highest of all lines");
}

#[test]
fn a_session_typed_as_in_any_other_store_is_understood() {
    let server = Server::start();
    let input = b"PUT name Dylan\nPUT city \"New York\"\nGET name\nGET missing\nDELETE name\nGET name\nQUIT\nGET city\n";
    let run = server.kv_reading([""; 0], input);
    let out = String::from_utf8(run.out).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("version ") && lines[1].starts_with("version "), "{out}{}", run.err);
    assert_eq!(lines[2..], ["Dylan", "deleted"], "nothing is done behind QUIT");
    assert_eq!(run.err, "kv: line 4: not found: missing\nkv: line 6: not found: name\n");
    assert_eq!(run.code, 1);
}

#[test]
fn commands_have_the_names_that_other_stores_give_them() {
    let server = Server::start();
    let input = b"Set a 1\nmset b 2 c 3\nincrby a 4\nRm a\nremove b\nHELP Set\nquit\n";
    let out = server.kv_reading([""; 0], input).ok();
    assert!(out.contains("\n2 keys written\n5\ndeleted\ndeleted\n"), "{out}");
    assert!(out.contains("Usage: put [OPTIONS] <KEY> <VALUE>"), "{out}");
    assert_eq!(server.line("keys").ok(), "c\n");
    let help = server.kv_reading([""; 0], b"help\n").ok();
    for names in ["[aliases: delete, rm, remove]", "[alias: set]", "[alias: quit]"] {
        assert!(help.contains(names), "{help}");
    }
}

#[test]
fn a_near_miss_suggests_the_right_command() {
    let server = Server::start();
    for (line, meant) in
        [("gett a", "'get'"), ("DELTE a", "'delete'"), ("exits", "'exit"), ("putt a 1", "'put'")]
    {
        let complaint = server.kv_reading([""; 0], line.as_bytes()).fails(2);
        assert!(complaint.contains("tip: ") && complaint.contains(meant), "{line}: {complaint}");
        assert!(!complaint.contains("subcommand"), "{complaint}");
        let complaint = server.line(line).fails(2);
        assert!(complaint.contains("tip: ") && complaint.contains(meant), "{line}: {complaint}");
    }
}

#[test]
fn words_are_quoted_and_escaped() {
    let server = Server::start();
    let input = br#"put "a key" 'it is "here"'
get 'a key'
put plain\ key \x01\xff\n
get --raw "plain key"
put empty ''
exit
get nobody
"#;
    let run = server.kv_reading([""; 0], input);
    let lines: Vec<&[u8]> = run.out.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines[1], b"it is \"here\"");
    assert_eq!(lines[3], b"\x01\xff");
    assert_eq!((run.code, run.err.as_str()), (0, ""), "nothing is done behind `exit`");
    assert_eq!(server.line("keys").ok(), "a key\nempty\nplain key\n");
}

#[test]
fn lines_may_be_any_bytes() {
    let server = Server::start();
    let run = server.kv_reading([""; 0], b"put k \xff\xfe\nget k\nput \xc3 x");
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.windows(4).any(|bytes| bytes == b"\n\xff\xfe\n"));
    assert_eq!(server.line("keys").ok(), "k\n\\xc3\n");
}

#[test]
fn help_lists_the_commands_and_explains_one() {
    let server = Server::start();
    let out = server.kv_reading([""; 0], b"help\nhelp put\n").ok();
    for text in ["  scan    Print keys and values", "Ctrl-D leaves", "Usage: put [OPTIONS] <KEY> <VALUE>"] {
        assert!(out.contains(text), "{text} isn't in\n{out}");
    }
    assert!(out.contains("\n  put greeting hello\n") && !out.contains("  kv "), "{out}");
}

#[test]
fn with_json_results_and_errors_are_objects() {
    let server = Server::start();
    let run = server.kv_reading(["--json"], b"put a 1\nget a\nget nobody\n");
    let out = json(str::from_utf8(&run.out).unwrap());
    assert_eq!((&out[1]["key"], &out[1]["value"]), (&json!("a"), &json!("1")));
    assert_eq!(json(&run.fails(1)), [json!({"error": "not found: nobody", "exit_code": 1})]);
}

#[test]
fn standard_input_is_the_shells_own() {
    let server = Server::start();
    let complaint = server.kv_reading([""; 0], b"put k -\nmput -\nclear\n").fails(2);
    assert_eq!(complaint.matches("leave the shell for it").count(), 2, "{complaint}");
    assert!(complaint.contains("line 3: clear removes every key"), "{complaint}");
}
