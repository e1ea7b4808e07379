//! The shell on a terminal: prompt, history, completion, questions.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::common::{Server, command, wait_until};

const ENTER: &str = "\r";
const UP: &str = "\x1b[A";
const TAB: &str = "\t";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    seen: usize,
}

impl Terminal {
    fn start(mut command: Command) -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keyboard, size).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let tty = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let tty = File::from(tty);
        command.env("TERM", "xterm").stdin(tty.try_clone().unwrap()).stdout(tty.try_clone().unwrap());
        let child = command.stderr(tty).spawn().unwrap();
        let keyboard = File::from(keyboard);
        let (mut output, screen) = (keyboard.try_clone().unwrap(), Arc::default());
        let shown: Arc<Mutex<String>> = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The terminal ends with an error when the program has closed it.
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Terminal { child, keyboard, screen, seen: 0 }
    }

    /// Waits for the prompt, whose editor then reads every key, and presses some.
    #[track_caller]
    fn press(&mut self, keys: &[&str]) {
        self.see("> ");
        self.answer(keys);
    }

    fn answer(&mut self, keys: &[&str]) {
        self.keyboard.write_all(keys.concat().as_bytes()).unwrap();
    }

    /// Waits until this is shown behind what was waited for before.
    #[track_caller]
    fn see(&mut self, text: &str) {
        let (screen, seen) = (Arc::clone(&self.screen), self.seen);
        let found = || screen.lock().unwrap()[seen..].find(text);
        wait_until(&format!("{text:?} on the screen"), || found().is_some());
        self.seen += found().unwrap() + text.len();
    }

    #[track_caller]
    fn ended(mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

fn shell(server: &Server, state: &Path) -> Terminal {
    let mut command = command(&server.address());
    command.env("XDG_STATE_HOME", state);
    let mut terminal = Terminal::start(command);
    terminal.see("Connected to ");
    terminal
}

#[test]
fn a_person_is_prompted_answered_and_let_go_with_code_0() {
    let (server, state) = (Server::start(), tempfile::tempdir().unwrap());
    let mut shell = shell(&server, state.path());
    shell.press(&["put 'a key' \"two words\"", ENTER]);
    shell.see("version ");
    shell.press(&["get \"a key\"", ENTER]);
    shell.see("\r\ntwo words\r\n");
    shell.press(&["get nobody", ENTER]);
    shell.see("\r\nnot found: nobody");
    shell.press(&["frobnicate", ENTER]);
    shell.see("unrecognized command 'frobnicate'");
    shell.press(&["half a line", CTRL_C]);
    shell.see("\r\n");
    shell.press(&["pi", TAB, ENTER]);
    shell.see("pong after ");
    shell.press(&["help", ENTER]);
    shell.see("Ctrl-D leaves");
    shell.press(&[CTRL_D]);
    assert_eq!(shell.ended(), Some(0));
}

#[test]
fn a_value_with_control_characters_does_not_reach_the_terminal() {
    let (server, state) = (Server::start(), tempfile::tempdir().unwrap());
    server.kv(["put", "evil", "\u{1b}[2Jgone"]).ok();
    let mut shell = shell(&server, state.path());
    shell.press(&["get evil", ENTER]);
    shell.see("\\x1b[2Jgone");
    shell.press(&["exit", ENTER]);
    assert_eq!(shell.ended(), Some(0));
}

#[test]
fn clearing_asks_and_takes_only_a_yes() {
    let (server, state) = (Server::start(), tempfile::tempdir().unwrap());
    server.line("put k v").ok();
    let mut shell = shell(&server, state.path());
    shell.press(&["clear", ENTER]);
    shell.see("Remove every key of keyspace default? [y/N] ");
    shell.answer(&["n", ENTER]);
    shell.see("refused: nothing was removed");
    assert_eq!(server.line("count").ok(), "1\n");
    shell.press(&["clear", ENTER]);
    shell.see("[y/N] ");
    shell.answer(&["y", ENTER]);
    shell.see("cleared");
    assert_eq!(server.line("count").ok(), "0\n");
    shell.press(&["quit", ENTER]);
    assert_eq!(shell.ended(), Some(0));
}

#[test]
fn the_history_outlives_the_shell_and_is_for_its_owner_only() {
    let (server, state) = (Server::start(), tempfile::tempdir().unwrap());
    let mut first = shell(&server, state.path());
    first.press(&["incr visits 20", ENTER]);
    first.see("\r\n20");
    first.press(&["exit", ENTER]);
    assert_eq!(first.ended(), Some(0));
    let file = state.path().join("pinion/kv_history");
    assert!(std::fs::read_to_string(&file).unwrap().contains("incr visits 20\n"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut second = shell(&server, state.path());
    second.press(&[UP, UP, ENTER]);
    second.see("\r\n40");
    second.press(&[CTRL_D]);
    assert_eq!(second.ended(), Some(0));
}
