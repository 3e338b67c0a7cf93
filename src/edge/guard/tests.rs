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
