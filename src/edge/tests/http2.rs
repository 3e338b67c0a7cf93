//! HTTP/2 by prior knowledge, and what ends one stream without the others.

use ::h2::client::{SendRequest, handshake};

use super::*;

/// An HTTP/2 client on an open connection.
pub(super) async fn client<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: T) -> SendRequest<Bytes> {
    let (sender, connection) = handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// The body of an answer.
pub(super) async fn get(sender: &mut SendRequest<Bytes>, uri: &str) -> String {
    let (answer, _) = send(sender, http::Request::get(uri).body(()).unwrap(), true);
    body(answer.await.unwrap().into_body()).await.unwrap()
}

pub(super) fn send(
    sender: &mut SendRequest<Bytes>,
    request: http::Request<()>,
    end: bool,
) -> (::h2::client::ResponseFuture, ::h2::SendStream<Bytes>) {
    sender.send_request(request, end).unwrap()
}

pub(super) async fn body(mut stream: ::h2::RecvStream) -> Result<String, ::h2::Error> {
    let mut text = String::new();
    while let Some(part) = tokio::time::timeout(PATIENCE, stream.data()).await.expect("a body") {
        let part = part?;
        stream.flow_control().release_capacity(part.len())?;
        text.push_str(&String::from_utf8_lossy(&part));
    }
    Ok(text)
}

#[tokio::test]
async fn prior_knowledge_is_served_on_a_plain_listener() {
    let house = House::start().await;
    let mut sender = client(house.connect().await).await;
    assert_eq!(get(&mut sender, "http://a.example/facts").await, "127.0.0.1 true None");
    assert!(get(&mut sender, "http://a.example/echo").await.contains("GET /echo HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_preface_in_pieces_is_http2() {
    let house = House::start().await;
    let mut client = house.say("PRI * HTTP/2.").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.write_all(b"0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    tokio::time::timeout(PATIENCE, client.read_exact(&mut head)).await.expect("settings").unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
}

#[tokio::test]
async fn half_a_preface_is_closed() {
    let house = House::start().await;
    assert_refused(&house.ask("PRI * HTTP/2.0\r\n\r\nSM").await, 408, "request_timeout");
}

#[tokio::test]
async fn a_frame_that_stops_coming_closes_the_connection() {
    let mut limits = limits();
    limits.keepalive = PATIENCE * 10;
    let house = House::with(limits, Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None }).await;
    let settings = "\0\0\0\x04\0\0\0\0\0";
    for begun in ["\0\0\x10", "\0\0\x10\x01\x04\0\0\0\x01abc"] {
        let mut client = house.say(format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{settings}{begun}")).await;
        let mut bytes = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut bytes)).await.expect("closed");
    }
}

#[tokio::test]
async fn a_stalled_body_resets_its_stream_alone() {
    let mut house = House::start().await;
    let mut sender = client(house.connect().await).await;
    let post = http::Request::post("http://a.example/echo").body(()).unwrap();
    let (answer, mut upload) = send(&mut sender, post, false);
    upload.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let error = tokio::time::timeout(PATIENCE, answer).await.expect("an end").unwrap_err();
    assert!(error.is_reset(), "{error}");
    assert_eq!(house.ended.recv().await, Some(Some(Cut::BodyStalled)));
    assert!(get(&mut sender, "http://a.example/echo").await.contains("GET /echo "));
}

#[tokio::test]
async fn an_upload_longer_than_every_deadline_is_served_while_it_flows() {
    let house = House::start().await;
    let mut sender = client(house.connect().await).await;
    let post = http::Request::post("http://a.example/echo").body(()).unwrap();
    let (answer, mut upload) = send(&mut sender, post, false);
    for _ in 0..10 {
        upload.send_data(Bytes::from_static(&[b'a'; 100]), false).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    upload.send_data(Bytes::new(), true).unwrap();
    let told = body(answer.await.unwrap().into_body()).await.unwrap();
    assert!(told.starts_with("POST /echo "), "{told}");
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline_and_the_others_live_on() {
    let mut house = House::start().await;
    let mut sender = client(house.connect().await).await;
    let events = http::Request::get("http://a.example/events").header("x-expire", "300").body(()).unwrap();
    let (answer, _) = send(&mut sender, events, true);
    let error = body(answer.await.unwrap().into_body()).await.unwrap_err();
    assert!(error.is_reset(), "{error}");
    assert_eq!(house.ended.recv().await, Some(Some(Cut::Expired)));
    assert!(get(&mut sender, "http://a.example/echo").await.contains("GET /echo "));
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let house = House::start().await;
    let (mut sender, connection) = handshake(house.connect().await).await.unwrap();
    let closed = tokio::spawn(connection);
    get(&mut sender, "http://a.example/echo").await;
    let _ = tokio::time::timeout(PATIENCE, closed).await.expect("closed").unwrap();
}

#[tokio::test]
async fn a_stop_lets_open_streams_finish() {
    let house = House::start().await;
    let mut sender = client(house.connect().await).await;
    let slow = http::Request::get("http://a.example/gate").body(()).unwrap();
    let (answer, _) = send(&mut sender, slow, true);
    house.upstream.reached().await;
    house.stop.send(Stop { delay: Duration::ZERO, linger: drain::SETTLE, grace: PATIENCE }).await.unwrap();
    while TcpStream::connect(house.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    house.upstream.open_gate();
    assert!(body(answer.await.unwrap().into_body()).await.unwrap().contains("GET /gate "));
    assert_eq!(house.running.await.unwrap(), DrainOutcome { cut: 0, lost_listener: false });
}
