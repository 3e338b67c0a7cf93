//! How many, how long, how slowly: and that a panic costs one exchange.

use super::{
    http2::{body, client, get, send},
    *,
};

fn plain() -> Listener {
    Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None }
}

/// A client with another address.
async fn neighbour(house: &House) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(house.address).await.unwrap()
}

/// Waits until this has been told.
async fn told(house: &House, event: EdgeEvent) {
    let seen = async {
        while !house.events().contains(&event) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{event:?} is not told"));
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let mut limits = limits();
    limits.connections_per_address = 2;
    limits.keepalive = PATIENCE;
    let house = House::with(limits, plain()).await;
    let (mut first, mut second) = (house.say(GET).await, house.say(GET).await);
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 "));
    assert!(answer(&mut second).await.starts_with("HTTP/1.1 200 "));
    assert_refused(&house.ask(GET).await, 503, "overloaded");
    assert_eq!((house.refusals(), house.events()), (vec![EdgeRefusal::Overloaded], vec![EdgeEvent::AddressCrowded]));
    let mut neighbour = neighbour(&house).await;
    neighbour.write_all(GET.as_bytes()).await.unwrap();
    assert!(answer(&mut neighbour).await.starts_with("HTTP/1.1 200 "));
    drop((first, neighbour));
    while (house.open)() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(answer(&mut house.say(GET).await).await.starts_with("HTTP/1.1 200 "), "the place is given back");
}

#[tokio::test]
async fn a_connection_over_the_cap_is_told_apart_from_one_of_a_crowded_address() {
    let mut limits = limits();
    limits.connections = 1;
    let house = House::with(limits, plain()).await;
    let mut first = house.say(GET).await;
    answer(&mut first).await;
    assert_refused(&house.ask(GET).await, 503, "overloaded");
    assert_eq!(house.events(), [EdgeEvent::Crowded]);
}

#[tokio::test]
async fn a_connection_ends_after_its_last_request() {
    let mut limits = limits();
    limits.requests_per_connection = 3;
    let house = House::with(limits, plain()).await;
    let mut connection = house.connect().await;
    for place in 1..=3 {
        connection.write_all(GET.as_bytes()).await.unwrap();
        let told = answer(&mut connection).await;
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
        assert_eq!(told.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), place == 3, "{place}: {told}");
    }
    assert_eq!(rest(&mut connection).await, "");
}

#[tokio::test]
async fn an_http2_connection_is_told_to_go_after_its_last_request() {
    let mut limits = limits();
    limits.requests_per_connection = 3;
    limits.keepalive = PATIENCE * 10;
    let house = House::with(limits, plain()).await;
    let (mut sender, connection) = ::h2::client::handshake(house.connect().await).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        assert!(get(&mut sender, "http://a.example/echo").await.contains("GET /echo "));
    }
    drop(sender);
    tokio::time::timeout(PATIENCE, connection).await.expect("the connection ends").unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_overstays_its_requests_is_closed() {
    let mut limits = limits();
    limits.requests_per_connection = 1;
    let house = House::with(limits, plain()).await;
    // One request, and then not even the PING of the goodbye is answered.
    let request = b"\0\0\x0b\x01\x05\0\0\0\x01\x82\x86\x44\x05/echo\x01\x01a";
    assert_eq!(usize::from(request[2]) + 9, request.len() - 1);
    let mut request = request.to_vec();
    request[2] += 1;
    let wire = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".as_slice(), &request].concat();
    let mut connection = house.say(wire).await;
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut bytes)).await.expect("closed");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("GET /echo "), "{text}");
}

#[tokio::test]
async fn no_exchange_lives_longer_than_the_limit() {
    let mut limits = limits();
    limits.exchange_time = Duration::from_millis(400);
    let mut house = House::with(limits, plain()).await;
    for more in ["", "X-Expire: 60000\r\n"] {
        let text = house.ask(format!("GET /events HTTP/1.1\r\nHost: a\r\n{more}\r\n")).await;
        assert!(text.contains("data: 1") && !text.ends_with("0\r\n\r\n"), "{text}");
        assert_eq!(house.ended.recv().await, Some(Some(Cut::Overdue)));
    }
    let mut flowing = house.say("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let read = tokio::time::timeout(PATIENCE, tokio::io::copy(&mut flowing, &mut tokio::io::sink())).await;
    assert!(read.unwrap().is_ok_and(|read| read < 1 << 30));
    assert_eq!(house.ended.recv().await, Some(Some(Cut::Overdue)));
    let mut sender = client(house.connect().await).await;
    for (expire, cut) in [("60000", Cut::Overdue), ("50", Cut::Expired)] {
        let events = http::Request::get("http://a.example/events").header("x-expire", expire).body(()).unwrap();
        let (answer, _) = send(&mut sender, events, true);
        let ended = match answer.await {
            Ok(answer) => body(answer.into_body()).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(ended.is_err_and(|error| error.is_reset()));
        assert_eq!(house.ended.recv().await, Some(Some(cut)));
    }
    assert_eq!(house.events().iter().filter(|event| **event == EdgeEvent::Cut(Cut::Overdue)).count(), 4);
    let mut kept = house.say(GET).await;
    for _ in 0..8 {
        assert!(answer(&mut kept).await.starts_with("HTTP/1.1 200 "), "each exchange has the whole time");
        tokio::time::sleep(Duration::from_millis(100)).await;
        kept.write_all(GET.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_body_below_the_least_rate_is_cut() {
    let mut limits = limits();
    limits.min_rate = 10_000;
    let mut house = House::with(limits, plain()).await;
    let client = house.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").await;
    let (mut from, mut to) = client.into_split();
    let slow = tokio::spawn(async move {
        while to.write_all(&[b'a'; 50]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(head(&mut from).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(house.ended.recv().await, Some(Some(Cut::BodyStalled)));
    assert_eq!(house.events(), [EdgeEvent::Cut(Cut::BodyStalled)]);
    slow.abort();

    let mut sender = http2::client(house.connect().await).await;
    let post = http::Request::post("http://a.example/echo").body(()).unwrap();
    let (answer, mut upload) = send(&mut sender, post, false);
    let slow = tokio::spawn(async move {
        while upload.send_data(Bytes::from_static(&[b'a'; 50]), false).is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let error = tokio::time::timeout(PATIENCE, answer).await.expect("an end").unwrap_err();
    assert!(error.is_reset(), "{error}");
    assert_eq!(house.ended.recv().await, Some(Some(Cut::BodyStalled)));
    slow.abort();
}

/// Reads so much at a time, and tells how much came in all.
async fn sip(client: &mut TcpStream, bytes: usize, times: usize) -> usize {
    let mut room = vec![0; bytes];
    let mut total = 0;
    for _ in 0..times {
        match client.read(&mut room).await {
            Ok(read) if read > 0 => total += read,
            Ok(_) | Err(_) => break,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    total
}

#[tokio::test]
async fn an_answer_that_is_read_in_sips_is_cut() {
    let mut limits = limits();
    limits.min_rate = 50_000_000;
    let mut house = House::with(limits, plain()).await;
    let mut client = house.say("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sipping = tokio::spawn(async move { sip(&mut client, 16 * 1024, usize::MAX).await });
    let ended = tokio::time::timeout(PATIENCE, house.ended.recv()).await.expect("the exchange ends");
    assert_eq!(ended, Some(Some(Cut::WriteStalled)));
    sipping.abort();
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_goes_on() {
    let house = House::start().await;
    let mut client = house.say("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // Three times as long as a stall, and slower than any stall would notice by the buffers of the system.
    assert!(sip(&mut client, 16 * 1024, 100).await > 1_000_000);
    assert_eq!(house.events(), []);
}

#[tokio::test]
async fn a_panic_in_a_filter_ends_its_exchange_alone() {
    let mut limits = limits();
    limits.keepalive = PATIENCE;
    let house = House::with(limits, plain()).await;
    let mut neighbour = house.say("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    house.upstream.reached().await;
    let mut sender = client(house.connect().await).await;
    for _ in 0..3 {
        assert_eq!(rest(&mut house.say("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await).await, "");
        let (answer, _) = send(&mut sender, http::Request::get("http://a.example/panic").body(()).unwrap(), true);
        let error = tokio::time::timeout(PATIENCE, answer).await.expect("an end").unwrap_err();
        assert!(error.is_reset(), "{error}");
    }
    assert!(get(&mut sender, "http://a.example/echo").await.contains("GET /echo "), "another stream lives on");
    house.upstream.open_gate();
    assert!(answer(&mut neighbour).await.contains("GET /gate "), "another connection lives on");
    drop((neighbour, sender));
    let given_back = async {
        while (house.open)() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, given_back).await.expect("no place is lost");
}

#[tokio::test]
async fn a_flood_of_pings_is_cut_and_told() {
    let house = House::start().await;
    let mut connection = house.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let (mut from, mut to) = connection.split();
    let mut got = Vec::new();
    let (_, sent) = tokio::join!(from.read_to_end(&mut got), async {
        let ping = b"\0\0\x08\x06\0\0\0\0\0pingpong".repeat(100);
        let mut sent = 0;
        while sent < 1_000_000 && to.write_all(&ping).await.is_ok() {
            sent += 100;
        }
        sent
    });
    assert!(sent < 1_000_000);
    told(&house, EdgeEvent::Cut(Cut::Flooded)).await;
}
