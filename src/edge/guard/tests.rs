use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::edge::{
    EdgeRefusal, Refusals,
    crowd::Place,
    drain::{Census, Draining},
};
use std::time::Duration;

struct Nobody;

impl Refusals for Nobody {
    fn answer(&self, _: EdgeRefusal, _: std::net::SocketAddr) -> bytes::Bytes {
        bytes::Bytes::new()
    }
}

const SOON: Duration = Duration::from_millis(200);

/// A guard and the client's end of its connection.
fn guarded() -> (Guard, DuplexStream) {
    let (client, server) = duplex(64 * 1024);
    let _permit = Arc::new(Census::default()).admit(1).unwrap();
    let place = Place { crowd: Arc::default(), told: Arc::new(Nobody), _permit, _seat: None };
    let conn = Conn::new("192.0.2.1:5000".parse().unwrap(), None, Draining::default(), place);
    let limits = Limits {
        header_bytes: 1024,
        headers: 10,
        target_bytes: 100,
        token_bytes: 100,
        body_bytes: 1024,
        decision_body_bytes: 1024,
        connections: 1,
        header_timeout: SOON,
        body_stall: SOON,
        keepalive: SOON,
        write_stall: SOON,
        tls_handshake: SOON,
        ..Limits::default()
    };
    (Guard::new(Box::new(server), Arc::new(conn), limits), client)
}

const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";

#[tokio::test(start_paused = true)]
async fn http2_frames_that_are_never_whole_after_a_read_are_still_frames() {
    let (guard, mut client) = guarded();
    let mut guard = guard.into_http2();
    client.write_all(PREFACE).await.unwrap();
    let wire = PING.repeat(20);
    let mut room = [0; 1024];
    guard.read_exact(&mut room[..PREFACE.len()]).await.unwrap();
    client.write_all(&wire[..5]).await.unwrap();
    for part in wire[5..].chunks_exact(PING.len()) {
        assert!(guard.read(&mut room).await.unwrap() > 0);
        assert!(tokio::time::timeout(SOON / 2, guard.read(&mut room)).await.is_err());
        client.write_all(part).await.unwrap();
    }
    assert!(guard.read(&mut room).await.unwrap() > 0);
    assert_eq!(guard.read(&mut room).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_large_http2_data_frame_may_come_slowly_but_not_drip() {
    let (guard, mut client) = guarded();
    let mut guard = guard.into_http2();
    client.write_all(PREFACE).await.unwrap();
    client.write_all(b"\0\x40\0\0\0\0\0\0\x01").await.unwrap();
    let mut room = [0; 1024];
    for _ in 0..20 {
        assert!(guard.read(&mut room).await.unwrap() > 0);
        assert!(tokio::time::timeout(SOON / 2, guard.read(&mut room)).await.is_err());
        client.write_all(&[0; 64]).await.unwrap();
    }
    let mut dripped = 0;
    let cut = loop {
        match tokio::time::timeout(SOON / 4, guard.read(&mut room)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => break error,
            Err(_) => client.write_all(&[0]).await.unwrap(),
        }
        dripped += 1;
        assert!(dripped < 100);
    };
    assert_eq!(cut.kind(), io::ErrorKind::TimedOut);
    assert_eq!(guard.conn().tunnel(), None);
}

#[tokio::test(start_paused = true)]
async fn only_the_granted_request_is_handed_over() {
    let (mut guard, mut client) = guarded();
    client.write_all(b"POST / HTTP/1.1\r\n\r\nabcGET / HTTP/1.1\r\n").await.unwrap();
    assert!(guard.fill().await.unwrap());
    guard.grant(19, Body::Length(3));
    let mut got = [0; 1024];
    assert_eq!(guard.read(&mut got).await.unwrap(), 19);
    assert_eq!(guard.read(&mut got).await.unwrap(), 3);
    assert!(guard.is_at_rest());
    client.write_all(b"Host: a\r\n").await.unwrap();
    assert!(tokio::time::timeout(SOON * 10, guard.read(&mut got)).await.is_err());
    assert_eq!(guard.input(), b"GET / HTTP/1.1\r\nHost: a\r\n");
    drop(client);
    assert_eq!(guard.read(&mut got).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn small_writes_leave_together_at_a_flush() {
    let (mut guard, mut client) = guarded();
    guard.write_all(b"head ").await.unwrap();
    guard.write_all(b"body").await.unwrap();
    let mut got = [0; 100];
    assert!(tokio::time::timeout(SOON, client.read(&mut got)).await.is_err());
    guard.flush().await.unwrap();
    assert_eq!(client.read(&mut got).await.unwrap(), 9);
    let large = [b'x'; 5000];
    guard.write_all(b"head ").await.unwrap();
    guard.write_all(&large).await.unwrap();
    guard.flush().await.unwrap();
    let mut got = vec![0; 5005];
    client.read_exact(&mut got).await.unwrap();
    assert!(got.starts_with(b"head xxx"));
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_nobody_takes_fails() {
    let (mut guard, _client) = guarded();
    let error = guard.write_all(&[0; 128 * 1024]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

/// A WebSocket whose 101 has been written, and which ends soon.
async fn websocket() -> (Guard, DuplexStream) {
    let (mut guard, mut client) = guarded();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(guard.fill().await.unwrap());
    guard.grant(18, Body::Length(0));
    let mut head = [0; 18];
    guard.read_exact(&mut head).await.unwrap();
    guard.conn().set_tunnel(Tunnel::WebSocket);
    guard.conn().expire_in(SOON);
    guard.write_all(b"101\r\n\r\n").await.unwrap();
    guard.flush().await.unwrap();
    let mut head = [0; 7];
    client.read_exact(&mut head).await.unwrap();
    (guard, client)
}

const CLOSE: &[u8] = b"\x88\x0f\x03\xf0token expired";

#[tokio::test(start_paused = true)]
async fn a_close_frame_waits_for_the_end_of_the_frame_that_was_begun() {
    let (mut guard, mut client) = websocket().await;
    guard.write_all(b"\x81\x06half").await.unwrap();
    guard.flush().await.unwrap();
    let mut room = [0; 100];
    assert!(tokio::time::timeout(SOON * 2, guard.read(&mut room)).await.is_err(), "it waits");
    // The rest of the frame passes; what stands behind it in the same write does not.
    guard.write_all(b"..\x81\x04more").await.unwrap();
    guard.flush().await.unwrap();
    let told = guard.read(&mut room).await.unwrap();
    assert_eq!(room[..told], *b"\x88\x8f\0\0\0\0\x03\xe9token expired");
    assert_eq!(guard.read(&mut room).await.unwrap(), 0);
    drop(guard);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, [b"\x81\x06half..", CLOSE].concat());
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_never_finished_delays_the_end_by_a_moment_only() {
    let (mut guard, mut client) = websocket().await;
    guard.write_all(b"\x81\x06half").await.unwrap();
    guard.flush().await.unwrap();
    let begun = Instant::now();
    let mut room = [0; 100];
    assert!(guard.read(&mut room).await.unwrap() > 0, "the upstream is told");
    assert_eq!(guard.read(&mut room).await.unwrap(), 0);
    let waited = begun.elapsed();
    assert!(waited > SOON && waited < SOON + Duration::from_secs(2), "{waited:?}");
    drop(guard);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"\x81\x06half", "nothing stands within a frame");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_behind_the_close_frame_of_the_upstream() {
    let (mut guard, mut client) = websocket().await;
    guard.write_all(b"\x88\x02\x03\xe8").await.unwrap();
    guard.flush().await.unwrap();
    client.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
    let mut room = [0; 100];
    assert_eq!(guard.read(&mut room).await.unwrap(), 8);
    assert_eq!(guard.read(&mut room).await.unwrap(), 0, "the end, without another Close frame");
    drop(guard);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"\x88\x02\x03\xe8");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_does_not_delay_the_end_of_a_websocket() {
    let (mut guard, _client) = websocket().await;
    guard.limits.write_stall = SOON * 100;
    let frame = [&[0x82, 127, 0, 0, 0, 0, 0, 4, 0, 0][..], &[7; 0x40000]].concat();
    let (begun, mut room) = (Instant::now(), [0; 100]);
    // More than the pipe holds: the writer waits until the time is up, and the rest is thrown away.
    tokio::time::timeout(SOON * 20, guard.write_all(&frame)).await.unwrap().unwrap();
    assert!(guard.read(&mut room).await.unwrap() > 0);
    assert_eq!(guard.read(&mut room).await.unwrap(), 0);
    assert!(begun.elapsed() < SOON + Duration::from_secs(2));
}
