use std::time::Duration;

use super::super::{BlockingClient, Client, Error, Options, Put, Written};
use super::server::{Server, soon};
use crate::wire::{
    ErrorCode, Features, HEADER_BYTES, Limits, Opcode, Responder, ServerHello, VERSION, ValueRef, WireError,
};

fn impatient() -> Options {
    Options { timeout: Duration::from_millis(60), ..Options::default() }
}

#[tokio::test]
async fn responses_find_their_requests_in_any_order() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let asked = [conn.next().await, conn.next().await, conn.next().await];
        for asked in asked.iter().rev() {
            conn.value(asked, &[b"value of ", asked.key.as_slice()].concat()).await;
        }
    };
    let (a, b, c, ()) =
        soon(async { tokio::join!(client.get("a"), client.get("b"), client.get("c"), serve) }).await;
    for (key, value) in [("a", a), ("b", b), ("c", c)] {
        assert_eq!(value.unwrap().unwrap().bytes, format!("value of {key}").into_bytes());
    }
}

#[tokio::test]
async fn a_request_carries_what_is_left_of_its_timeout() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let client = client.with_timeout(Duration::from_secs(3));
    let serve = async {
        let asked = conn.next().await;
        conn.value(&asked, b"").await;
        asked.header.deadline_ms.get()
    };
    let (value, deadline_ms) = tokio::join!(client.get("k"), serve);
    value.unwrap();
    assert!((1..=3000).contains(&deadline_ms), "{deadline_ms}");
}

#[tokio::test]
async fn an_unanswered_read_times_out_and_an_unanswered_write_is_unknown() {
    let server = Server::start().await;
    let (client, _conn) = server.client(impatient()).await;
    let (read, write) = soon(async { tokio::join!(client.get("k"), client.put("k", "v")) }).await;
    assert!(matches!(read, Err(Error::TimedOut { .. })), "{read:?}");
    assert!(matches!(write, Err(Error::Unknown { code: ErrorCode::TIMED_OUT, .. })), "{write:?}");
    for error in [read.unwrap_err(), write.unwrap_err()] {
        assert!(error.to_string().contains(&server.address()), "{error}");
    }
}

#[tokio::test]
async fn a_late_response_is_nobodys_even_if_its_place_was_taken_again() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let late = client.with_timeout(Duration::from_millis(30)).get("late").await;
    assert!(late.is_err());
    let late = conn.next().await;
    let serve = async {
        let asked = conn.next().await;
        conn.value(&late, b"late").await;
        conn.value(&asked, b"in time").await;
    };
    let (value, ()) = soon(async { tokio::join!(client.get("next"), serve) }).await;
    assert_eq!(value.unwrap().unwrap().bytes, b"in time");
}

#[tokio::test]
async fn a_dropped_call_leaves_the_others_alone() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let dropped = tokio::time::timeout(Duration::from_millis(20), client.get("dropped")).await;
    assert!(dropped.is_err());
    let serve = async {
        let dropped = conn.next().await;
        let asked = conn.next().await;
        conn.value(&dropped, b"dropped").await;
        conn.value(&asked, b"kept").await;
    };
    let (value, ()) = soon(async { tokio::join!(client.get("kept"), serve) }).await;
    assert_eq!(value.unwrap().unwrap().bytes, b"kept");
}

#[tokio::test]
async fn after_a_broken_connection_a_sent_write_is_unknown_and_a_read_is_tried_again() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        conn.next().await;
        conn.next().await;
        drop(conn);
        let mut conn = server.accept().await;
        let asked = conn.next().await;
        conn.value(&asked, b"second attempt").await;
        asked.opcode()
    };
    let (write, read, opcode) =
        soon(async { tokio::join!(client.put("k", "v"), client.get("k"), serve) }).await;
    assert!(matches!(write, Err(Error::Unknown { code: ErrorCode::CONNECTION_LOST, .. })), "{write:?}");
    assert_eq!(read.unwrap().unwrap().bytes, b"second attempt");
    assert_eq!(opcode, Opcode::Get);
}

#[tokio::test]
async fn a_write_made_while_the_connection_is_down_goes_out_on_the_next() {
    let server = Server::start().await;
    let options = Options { backoff_min: Duration::from_millis(100), ..Options::default() };
    let (client, conn) = server.client(options).await;
    drop(conn);
    // A read notices the broken connection; it comes back on the second one.
    let serve = async {
        let mut conn = server.accept().await;
        for _ in 0..2 {
            let asked = conn.next().await;
            match asked.opcode() {
                Opcode::Get => conn.answer(&asked, |to, out| to.not_found(out)).await,
                _ => conn.answer(&asked, |to, out| to.written(out, 7, None)).await,
            }
        }
        conn
    };
    let requests = async { (client.get("k").await, client.put("k", "v").await) };
    let ((read, write), _conn) = soon(async { tokio::join!(requests, serve) }).await;
    assert_eq!(read, Ok(None));
    assert_eq!(write, Ok(7));
}

#[tokio::test]
async fn no_address_at_all_is_told_so() {
    let none: [&str; 0] = [];
    let refused = Client::connect(none, Options::default()).await.unwrap_err().to_string();
    assert!(refused.contains("no address was given"), "{refused}");
}

#[tokio::test]
async fn nobody_there_is_not_connected() {
    let server = Server::start().await;
    let address = server.address();
    let (client, conn) = server.client(impatient()).await;
    drop((conn, server));
    let put = soon(client.put("k", "v")).await;
    // The break may be noticed only when the write is on its way.
    assert!(matches!(put, Err(Error::NotConnected { .. } | Error::Unknown { .. })), "{put:?}");
    let put = soon(client.put("k", "v")).await;
    assert!(matches!(put, Err(Error::NotConnected { .. })), "{put:?}");
    let connect = soon(Client::connect([address.as_str()], Options::default())).await;
    assert!(matches!(connect.err(), Some(Error::NotConnected { address: at, .. }) if at == address));
}

#[tokio::test]
async fn a_second_address_is_taken_if_the_first_does_not_answer() {
    let (gone, server) = (Server::start().await.address(), Server::start().await);
    let (client, _conn) =
        tokio::join!(Client::connect([gone, server.address()], Options::default()), server.accept());
    assert!(client.is_ok());
}

#[tokio::test]
async fn another_protocol_at_the_port_is_named_when_connecting() {
    let server = Server::start().await;
    let error = soon(server.client_met_with(b"HTTP/1.1 400 Bad Request\r\n\r\n")).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_notice_at_connecting_is_the_reason_for_the_refusal() {
    let server = Server::start().await;
    let mut notice = Vec::new();
    Responder::for_error(&WireError::Magic).refused(&mut notice, ErrorCode::TOO_MANY_CONNECTIONS, "");
    let error = soon(server.client_met_with(&notice)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TOO_MANY_CONNECTIONS));
}

#[tokio::test]
async fn a_server_that_agrees_to_something_else_is_none_for_this_client() {
    for (version, features) in [(VERSION + 1, Features::NONE), (VERSION, Features::CHECKSUM)] {
        let server = Server::start().await;
        let mut answer = Vec::new();
        let hello = ServerHello { version, features, ..server.hello.clone() };
        Responder::for_parts(1, Opcode::Hello as u8, false).hello(&mut answer, &hello);
        let error = soon(server.client_met_with(&answer)).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error}");
        assert!(error.to_string().contains(&server.address()), "{error}");
    }
}

#[tokio::test]
async fn garbage_in_midstream_breaks_the_connection_and_the_next_one_serves() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        conn.next().await;
        conn.next().await;
        conn.write(&[0x5a; 100]).await;
        let mut conn = server.accept().await;
        let asked = conn.next().await;
        conn.value(&asked, b"sound").await;
    };
    let (write, read, ()) = soon(async { tokio::join!(client.put("k", "v"), client.get("k"), serve) }).await;
    assert!(matches!(write, Err(Error::Unknown { .. })), "{write:?}");
    assert_eq!(read.unwrap().unwrap().bytes, b"sound");
}

#[tokio::test]
async fn a_response_that_was_not_asked_for_is_an_error() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        for _ in 0..2 {
            let asked = conn.next().await;
            let mut bytes = Vec::new();
            Responder::for_parts(asked.header.id.get(), Opcode::Count as u8, false).integer(&mut bytes, 3);
            conn.write(&bytes).await;
        }
    };
    let (read, write, ()) = soon(async { tokio::join!(client.get("k"), client.put("k", "v"), serve) }).await;
    assert!(matches!(read, Err(Error::Protocol { .. })), "{read:?}");
    assert!(matches!(write, Err(Error::Unknown { .. })), "{write:?}");
}

#[tokio::test]
async fn a_damaged_value_is_found_where_checksums_were_agreed_on() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options { checksums: true, ..Options::default() }).await;
    let serve = async {
        let asked = conn.next().await;
        let mut bytes = Vec::new();
        asked.responder().value(&mut bytes, ValueRef { bytes: b"damaged", version: 1, expiry: 0 });
        bytes[HEADER_BYTES] ^= 1;
        conn.write(&bytes).await;
        let mut conn = server.accept().await;
        let asked = conn.next().await;
        conn.value(&asked, b"whole").await;
    };
    let (value, ()) = soon(async { tokio::join!(client.get("k"), serve) }).await;
    assert_eq!(value.unwrap().unwrap().bytes, b"whole");
}

#[tokio::test]
async fn refusals_and_unknown_outcomes_of_the_server_are_told_as_they_are() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let asked = conn.next().await;
        conn.answer(&asked, |to, out| to.refused(out, ErrorCode::READ_ONLY, "the disk is full")).await;
        let asked = conn.next().await;
        conn.answer(&asked, |to, out| to.unknown(out, ErrorCode::LOG_FAILED, "log 7")).await;
        let asked = conn.next().await;
        let current = ValueRef { bytes: b"", version: 4, expiry: 0 };
        conn.answer(&asked, |to, out| to.not_met(out, Some(current))).await;
    };
    let requests = async {
        (
            client.put("k", "v").await,
            client.put("k", "v").await,
            client.put_with("k", "v", Put::default()).await,
        )
    };
    let ((refused, unknown, not_met), ()) = soon(async { tokio::join!(requests, serve) }).await;
    assert_eq!(refused, Err(Error::refused(ErrorCode::READ_ONLY, "the disk is full")));
    assert_eq!(unknown, Err(Error::unknown(ErrorCode::LOG_FAILED, "log 7")));
    assert!(matches!(not_met, Ok(Written::NotMet { current: Some(value) }) if value.version == 4));
}

#[tokio::test]
async fn what_is_over_a_limit_of_the_server_is_refused_before_it_is_sent() {
    let mut server = Server::start().await;
    server.hello.limits = Limits { value_bytes_max: 10, ..Limits::default() };
    let (client, _conn) = server.client(Options::default()).await;
    let error = soon(client.put("k", "eleven bytes")).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::LIMIT));
    assert!(error.to_string().contains("the limit is 10"), "{error}");
    let error = soon(client.get("")).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::LIMIT));
}

#[tokio::test]
async fn what_a_server_did_not_answer_before_it_said_goodbye_is_sent_to_the_next() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let (answered, _unanswered) = (conn.next().await, conn.next().await);
        conn.answer(&answered, |to, out| to.written(out, 1, None)).await;
        let mut notice = Vec::new();
        Responder::notice().refused(&mut notice, ErrorCode::SHUTTING_DOWN, "");
        conn.write(&notice).await;
        drop(conn);
        let mut conn = server.accept().await;
        let again = conn.next().await;
        conn.answer(&again, |to, out| to.written(out, 2, None)).await;
        assert_eq!(again.key, b"b");
    };
    let (a, b, ()) = soon(async { tokio::join!(client.put("a", "1"), client.put("b", "2"), serve) }).await;
    assert_eq!((a.unwrap(), b.unwrap()), (1, 2));
}

#[tokio::test]
async fn a_write_that_nobody_takes_after_a_goodbye_was_certainly_not_applied() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(impatient()).await;
    let serve = async {
        conn.next().await;
        let mut notice = Vec::new();
        Responder::notice().refused(&mut notice, ErrorCode::SHUTTING_DOWN, "");
        conn.write(&notice).await;
        drop((conn, server));
    };
    let (put, ()) = soon(async { tokio::join!(client.put("k", "v"), serve) }).await;
    assert!(put.unwrap_err().is_certain());
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named_with_what_to_do() {
    let address = Server::start().await.address();
    let error = soon(Client::connect([address.clone()], impatient())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("does kvd run there?"), "{text}");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_blocking_client_inside_a_runtime_is_an_error_that_says_what_to_use() {
    let error = BlockingClient::connect(["127.0.0.1:1"], impatient()).unwrap_err();
    assert!(error.to_string().contains("use Client"), "{error}");
}
