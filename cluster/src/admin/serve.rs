//! Serves HTTP with bounds on what strangers can take: connections, time and memory.
//!
//! - There are [`CONNECTIONS_MAX`] connections at a time. One more is served, and the oldest makes room: whoever holds
//!   connections keeps nobody out, and takes no descriptors from the log and the tables.
//! - A request's head, and the next one on a connection that is kept, come within [`HEAD_MAX`] and [`HEAD_BYTES_MAX`].
//!   A connection ends after [`LIFE_MAX`], behind the answer under way: that bounds what is sent and received, too.
//! - No endpoint reads a body.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::{AbortHandle, JoinSet};

/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 64;
/// How long a client has for the head of a request, and may keep a connection without one.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// Bytes that a head may have.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long a connection lives, and how much longer it has to end.
const LIFE_MAX: Duration = Duration::from_secs(60);
const END_MAX: Duration = Duration::from_secs(5);
/// How long accepting rests after an error, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopped` ends. What is under way then has a moment to end.
pub async fn serve(listeners: Vec<TcpListener>, router: Router, stopped: impl Future<Output = ()>) {
    let (sender, mut incoming) = channel(1);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let sender = sender.clone();
        accepting.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                if sender.send(stream).await.is_err() {
                    return;
                }
            }
        });
    }
    tokio::select! {
        () = take(&mut incoming, router) => {}
        () = stopped => {}
    }
}

/// Serves each connection that comes.
async fn take(incoming: &mut Receiver<TcpStream>, router: Router) {
    let mut open = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    while let Some(stream) = incoming.recv().await {
        while open.try_join_next().is_some() {}
        by_age.retain(|connection| !connection.is_finished());
        if by_age.len() >= CONNECTIONS_MAX
            && let Some(oldest) = by_age.pop_front()
        {
            oldest.abort();
        }
        by_age.push_back(open.spawn(connection(stream, router.clone())));
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_BYTES_MAX);
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        // A client that does wrong is no news.
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(LIFE_MAX) => connection.as_mut().graceful_shutdown(),
    }
    let ended = tokio::time::timeout(END_MAX, connection).await;
    drop(ended);
}
