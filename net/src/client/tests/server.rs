//! A server that does what a test says, frame by frame.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::inbox::Inbox;
use super::super::{Client, Error, Options};
use crate::wire::{
    Features, Header, Home, Limits, Map, NodePorts, Once, Opcode, Request, Responder, ServerHello, VERSION,
    ValueRef,
};

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Server {
    pub(super) listener: TcpListener,
    pub(super) hello: ServerHello,
}

/// A received request, kept.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) header: Header,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// What it carries so that it is done exactly once.
    pub(super) once: Option<Once>,
    checked: bool,
}

impl Asked {
    pub(super) fn opcode(&self) -> Opcode {
        Opcode::from_byte(self.header.opcode).unwrap()
    }

    pub(super) fn responder(&self) -> Responder {
        Responder::for_parts(self.header.id.get(), self.header.opcode, self.checked)
    }
}

/// One accepted connection.
pub(super) struct Conn {
    stream: TcpStream,
    inbox: Inbox,
    checked: bool,
}

/// A map of one node whose cores listen on these ports; partitions alternate.
pub(super) fn map(ports: &[u16], partitions: u16) -> Map {
    let node = NodePorts { id: 1, host: String::new(), port: ports[0], core_ports: ports.to_vec() };
    let cores = ports.len() as u16;
    let homes = (0..partitions).map(|partition| Home { node: 0, core: partition % cores }).collect();
    Map { epoch: 1, nodes: vec![node], homes }
}

/// Fails the test rather than letting it hang.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened by now")
}

impl Server {
    /// One core that holds everything.
    pub(super) async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hello = ServerHello { version: VERSION, map: map(&[port], 4), ..ServerHello::default() };
        Server { listener, hello: ServerHello { features: Features::CHECKSUM, ..hello } }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    pub(super) async fn accept_silently(&self) -> Conn {
        let (stream, _) = soon(self.listener.accept()).await.unwrap();
        Conn { stream, inbox: Inbox::default(), checked: false }
    }

    /// Accepts a connection and answers its HELLO.
    pub(super) async fn accept(&self) -> Conn {
        let mut conn = self.accept_silently().await;
        let asked = conn.next().await;
        conn.greet(&asked, &self.hello).await;
        conn
    }

    /// A client, and this side of its first connection.
    pub(super) async fn client(&self, options: Options) -> (Client, Conn) {
        let (client, conn) = tokio::join!(Client::connect([self.address()], options), self.accept());
        (client.unwrap(), conn)
    }

    /// What connecting ends in if the server answers HELLO with these bytes.
    pub(super) async fn client_met_with(&self, bytes: &[u8]) -> Result<(), Error> {
        let answer = async {
            let mut conn = self.accept_silently().await;
            conn.next().await;
            conn.write(bytes).await;
            conn
        };
        let (client, _conn) = tokio::join!(Client::connect([self.address()], Options::default()), answer);
        client.map(|_| ())
    }
}

impl Conn {
    /// The next request, `None` at the end of the stream.
    pub(super) async fn try_next(&mut self) -> Option<Asked> {
        loop {
            if let Some(frame) = self.inbox.next().unwrap() {
                assert!(frame.is_intact());
                let (key, value) = (frame.key.to_vec(), frame.value.to_vec());
                let once = Request::decode(&frame, &Limits::default()).unwrap().once;
                return Some(Asked { header: *frame.header, key, value, once, checked: self.checked });
            }
            match soon(self.stream.read(self.inbox.room())).await {
                Ok(0) | Err(_) => return None,
                Ok(bytes) => self.inbox.filled(bytes),
            }
        }
    }

    pub(super) async fn next(&mut self) -> Asked {
        self.try_next().await.expect("a request")
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(super) async fn greet(&mut self, asked: &Asked, hello: &ServerHello) {
        assert_eq!(asked.opcode(), Opcode::Hello);
        let features = Features(asked.header.argument.get()).granted(hello.features).unwrap();
        self.checked = features.has(Features::CHECKSUM);
        let hello = ServerHello { features, ..hello.clone() };
        self.answer(asked, |to, out| to.hello(out, &hello)).await;
    }

    pub(super) async fn answer(&mut self, asked: &Asked, write: impl FnOnce(Responder, &mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(asked.responder(), &mut bytes);
        self.write(&bytes).await;
    }

    /// Answers a value.
    pub(super) async fn value(&mut self, asked: &Asked, bytes: &[u8]) {
        self.answer(asked, |to, out| to.value(out, ValueRef { bytes, version: 1, expiry: 0 })).await;
    }
}
