//! The task behind a [`Link`]: connect, serve, connect again.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::error::Error;
use super::inbox::Inbox;
use super::link::{Link, Phase};
use super::pending::Owned;
use crate::wire::{Command, Level, Limits, Reply, Request, Response, ServerHello, WireError};

/// An output buffer that grew beyond this is given back.
const KEEP_BYTES: usize = 1 << 20;

/// Fails what waits if the task ends in any way, such as with its runtime.
struct Ending(Arc<Link>);

impl Drop for Ending {
    fn drop(&mut self) {
        let error = Error::NotConnected { address: self.0.address(), text: "the client was closed".into() };
        self.0.disconnect(&error, Phase::Closed);
    }
}

/// Drives a link until it is closed.
pub(super) async fn run(link: Arc<Link>) {
    let ending = Ending(Arc::clone(&link));
    let mut phase = link.phase.subscribe();
    tokio::select! {
        _ = phase.wait_for(|phase| matches!(phase, Phase::Closed)) => {}
        () = reconnect(&link) => {}
    }
    drop(ending);
}

async fn reconnect(link: &Link) {
    let mut backoff = Backoff::new(link.options.backoff_min, link.options.backoff_max);
    loop {
        let error = match connect_any(link).await {
            Ok(connection) => {
                let since = Instant::now();
                let error = serve(link, connection).await;
                if since.elapsed() > link.options.backoff_max {
                    backoff.reset();
                }
                link.disconnect(&error, Phase::Connecting);
                error
            }
            Err(error) => {
                link.disconnect(&error, Phase::Down(error.clone()));
                error
            }
        };
        let pause = backoff.next();
        tracing::debug!(%error, ?pause, "connecting again");
        tokio::time::sleep(pause).await;
    }
}

struct Connection {
    stream: TcpStream,
    address: String,
    inbox: Inbox,
    hello: ServerHello,
}

async fn connect_any(link: &Link) -> Result<Connection, Error> {
    let mut failure = Error::NotConnected { address: String::new(), text: "no address was given".into() };
    for address in &link.addresses {
        let attempt = tokio::time::timeout(link.options.connect_timeout, connect(link, address)).await;
        failure = match attempt {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => {
                let within = link.options.connect_timeout;
                let text = format!("no HELLO within {within:?}; is it the port of the binary protocol?");
                Error::NotConnected { address: address.clone(), text }
            }
        };
    }
    Err(failure)
}

async fn connect(link: &Link, address: &str) -> Result<Connection, Error> {
    let unreachable = |error: io::Error| Error::io(address, &error);
    let mut stream = TcpStream::connect(address).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let command = Command::Hello(link.options.hello(link.numbers.client()));
    let request = Request { id: 1, level: Level::Default, keyspace: 0, deadline_ms: 0, once: None, command };
    let mut bytes = Vec::new();
    request.encode(&Limits::default(), false, &mut bytes).map_err(|error| Error::unsendable(&error))?;
    stream.write_all(&bytes).await.map_err(unreachable)?;
    let mut inbox = Inbox::default();
    loop {
        match stream.read(inbox.room()).await.map_err(unreachable)? {
            0 => {
                return Err(unreachable(io::Error::other(
                    "the connection was closed before HELLO was answered",
                )));
            }
            received => inbox.filled(received),
        }
        if let Some(hello) = greeting(&mut inbox, address)? {
            link.options.check(&hello, address)?;
            if link.owner.is_some_and(|owner| !owner.has_said(&hello)) {
                let text = "another node answers there than the map says".to_owned();
                return Err(Error::NotConnected { address: address.to_owned(), text });
            }
            return Ok(Connection { stream, address: address.to_owned(), inbox, hello });
        }
    }
}

fn greeting(inbox: &mut Inbox, address: &str) -> Result<Option<ServerHello>, Error> {
    let nonsense = |error: WireError| Error::protocol(address, &error);
    let Some(frame) = inbox.next().map_err(nonsense)? else { return Ok(None) };
    match Response::decode(&frame).map_err(nonsense)?.reply {
        Reply::Hello(hello) => Ok(Some(*hello)),
        Reply::Refused { code, text } => Err(Error::refused_by(address, code, text)),
        _ => Err(Error::protocol(address, &"it answers HELLO with something else")),
    }
}

/// Serves callers until the connection breaks; answers why.
async fn serve(link: &Link, connection: Connection) -> Error {
    let Connection { stream, address, inbox, hello } = connection;
    let host = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    link.numbers.learn(hello.server_us);
    let hello = Arc::new(hello);
    (link.learn)(Arc::clone(&hello), &host);
    {
        let mut state = link.lock();
        state.hello = Some(hello);
        state.peer_host = host;
    }
    link.phase.send_if_modified(|phase| {
        let is_open = !matches!(phase, Phase::Closed);
        if is_open {
            *phase = Phase::Up;
        }
        is_open
    });
    let (input, output) = stream.into_split();
    tokio::select! {
        error = receive(link, input, inbox, &address) => error,
        error = transmit(link, output) => Error::io(&address, &error),
        never = expire(link) => match never {},
    }
}

async fn receive(link: &Link, mut input: OwnedReadHalf, mut inbox: Inbox, address: &str) -> Error {
    let mut wakers = Vec::new();
    loop {
        let outcome = deliver(link, &mut inbox, &mut wakers, address);
        wakers.drain(..).for_each(Waker::wake);
        if let Err(error) = outcome {
            return error;
        }
        match input.read(inbox.room()).await {
            Ok(0) => return Error::io(address, &io::Error::other("the server closed the connection")),
            Ok(received) => inbox.filled(received),
            Err(error) => return Error::io(address, &error),
        }
    }
}

/// Hands the received responses to their callers.
fn deliver(link: &Link, inbox: &mut Inbox, wakers: &mut Vec<Waker>, address: &str) -> Result<(), Error> {
    if !inbox.is_ready() {
        return Ok(());
    }
    let mut state = link.lock();
    loop {
        let frame = match inbox.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => return Err(Error::protocol(address, &error)),
        };
        if !frame.is_intact() {
            return Err(Error::protocol(address, &WireError::BodyChecksum));
        }
        if frame.id() == 0 {
            return Err(notice(&frame, address));
        }
        wakers.extend(state.pending.complete(frame.id(), || Owned::of(&frame)));
    }
    link.announce_room(&mut state);
    Ok(())
}

/// Why the server is about to close the connection.
fn notice(frame: &crate::wire::Frame<'_>, address: &str) -> Error {
    match Response::decode(frame).map(|response| response.reply) {
        Ok(Reply::Refused { code, text } | Reply::Unknown { code, text }) => {
            Error::refused_by(address, code, text)
        }
        Ok(_) => Error::protocol(address, &"a response without a request"),
        Err(error) => Error::protocol(address, &error),
    }
}

async fn transmit(link: &Link, mut output: OwnedWriteHalf) -> io::Error {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if bytes.capacity() > KEEP_BYTES {
            bytes = Vec::new();
        }
        {
            let mut state = link.lock();
            std::mem::swap(&mut state.output, &mut bytes);
            state.output_start += bytes.len() as u64;
            if !bytes.is_empty() {
                link.announce_room(&mut state);
            }
        }
        if bytes.is_empty() {
            link.output.notified().await;
            continue;
        }
        let mut sent = 0;
        while sent < bytes.len() {
            match output.write(&bytes[sent..]).await {
                Ok(0) => return io::ErrorKind::WriteZero.into(),
                Ok(taken) => {
                    sent += taken;
                    link.written.fetch_add(taken as u64, Ordering::Relaxed);
                }
                Err(error) => return error,
            }
        }
    }
}

/// Fails requests whose deadline passes.
async fn expire(link: &Link) -> Infallible {
    const LATER: Duration = Duration::from_secs(3600);
    let mut wakers = Vec::new();
    loop {
        let earliest = link.lock().earliest;
        let due = earliest.unwrap_or_else(|| Instant::now() + LATER);
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = link.earlier.notified() => continue,
        }
        let mut state = link.lock();
        state.earliest = state.pending.expire(Instant::now(), &mut wakers);
        link.announce_room(&mut state);
        drop(state);
        wakers.drain(..).for_each(Waker::wake);
    }
}
