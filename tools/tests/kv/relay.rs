//! A relay between `kv` and a node that loses what it is told to lose.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What a relay does with its connections.
#[derive(Default)]
struct Rules {
    is_cut: AtomicBool,
    is_greedy: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A port in front of a node.
pub struct Relay {
    pub address: String,
    rules: Arc<Rules>,
}

impl Relay {
    pub fn to(target: String) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let rules = Arc::new(Rules::default());
        let shared = Arc::clone(&rules);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !shared.is_cut.load(Ordering::SeqCst) {
                    connect(client, &target, &shared);
                }
            }
        });
        Relay { address, rules }
    }

    /// Breaks all connections; new ones are closed at once until [`Relay::mend`].
    pub fn cut(&self) {
        self.rules.is_cut.store(true, Ordering::SeqCst);
        for stream in self.rules.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.rules.is_cut.store(false, Ordering::SeqCst);
    }

    /// From now on the first answer of a connection passes, and the next request is lost with the connection.
    pub fn swallow_requests(&self) {
        self.rules.is_greedy.store(true, Ordering::SeqCst);
    }
}

fn connect(client: TcpStream, target: &str, rules: &Arc<Rules>) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let is_answered = Arc::new(AtomicBool::new(false));
    let copy = |stream: &TcpStream| stream.try_clone().unwrap();
    rules.open.lock().unwrap().extend([copy(&client), copy(&server)]);
    let (from, to, answered) = (copy(&server), copy(&client), Arc::clone(&is_answered));
    std::thread::spawn(move || {
        pump(from, to, || {
            answered.store(true, Ordering::SeqCst);
            true
        });
    });
    let rules = Arc::clone(rules);
    std::thread::spawn(move || {
        pump(client, server, || {
            !(rules.is_greedy.load(Ordering::SeqCst) && is_answered.load(Ordering::SeqCst))
        });
    });
}

/// Passes bytes on as long as `may_pass` says so; then both sides are closed.
fn pump(mut from: TcpStream, mut to: TcpStream, may_pass: impl Fn() -> bool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !may_pass() || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
