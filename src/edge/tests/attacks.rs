//! What a hostile client gets: a refusal that it can read, or a closed connection.

use super::*;

#[tokio::test]
async fn a_head_that_stops_coming_is_answered_408() {
    let house = House::start().await;
    assert_refused(&house.ask("GET / HTTP/1.1\r\nHost: a\r\nX-").await, 408, "request_timeout");
    assert_eq!(house.refusals(), [EdgeRefusal::Timeout]);
}

#[tokio::test]
async fn a_head_that_drips_is_answered_408() {
    let house = House::start().await;
    let (mut from, mut to) = house.say("GET / HTTP/1.1\r\nHost: a\r\nX-Drip: ").await.into_split();
    let dripping = tokio::spawn(async move { drip(&mut to, Duration::from_millis(20), b'a').await });
    assert_refused(&answer(&mut from).await, 408, "request_timeout");
    dripping.abort();
}

#[tokio::test]
async fn a_second_head_that_stops_coming_is_answered_408() {
    let house = House::start().await;
    let mut client = house.say(GET).await;
    answer(&mut client).await;
    client.write_all(b"GET / HT").await.unwrap();
    assert_refused(&rest(&mut client).await, 408, "request_timeout");
}

#[tokio::test]
async fn a_huge_head_is_answered_431() {
    let house = House::start().await;
    let huge = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Huge: {}\r\n\r\n", "a".repeat(200_000));
    assert_refused(&house.ask(huge).await, 431, "headers_too_large");
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-Many: 1\r\n".repeat(30));
    assert_refused(&house.ask(many).await, 431, "headers_too_large");
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2_000));
    assert_refused(&house.ask(long).await, 431, "headers_too_large");
}

#[tokio::test]
async fn a_head_one_byte_over_the_limit_is_answered_431() {
    let mut limits = limits();
    limits.header_bytes = GET.len();
    let listener = Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None };
    let house = House::with(limits, listener).await;
    let mut client = house.say(GET).await;
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 "));
    let over = GET.replace("/echo", "/echo?");
    assert_refused(&house.ask(over).await, 431, "headers_too_large");
}

#[tokio::test]
async fn content_length_with_transfer_encoding_is_refused() {
    let house = House::start().await;
    let smuggled = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_refused(&house.ask(smuggled).await, 400, "request_malformed");
    assert_eq!(house.refusals(), [EdgeRefusal::Malformed]);
}

#[tokio::test]
async fn a_head_with_two_readings_is_refused() {
    let house = House::start().await;
    for ugly in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        assert_refused(&house.ask(ugly).await, 400, "request_malformed");
    }
}

#[tokio::test]
async fn a_malformed_line_is_refused_before_the_head_is_complete() {
    let mut limits = limits();
    limits.header_timeout = PATIENCE;
    let listener = Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None };
    let house = House::with(limits, listener).await;
    let mut client = house.say("GET / HTTP/1.1\r\nbroken line\r\nX-").await;
    assert_refused(&answer(&mut client).await, 400, "request_malformed");
}

/// Goes on sending after the answer: a connection that is closed too early resets.
async fn sends_on(client: &mut TcpStream) {
    for _ in 0..10 {
        client.write_all(&[b'a'; 10_000]).await.expect("still taken");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.shutdown().await.unwrap();
    assert_eq!(rest(client).await, "");
}

#[tokio::test]
async fn a_refused_client_may_finish_sending() {
    let house = House::start().await;
    let mut client = house.say("GET / HTTP/1.1\n").await;
    assert_refused(&answer(&mut client).await, 400, "request_malformed");
    sends_on(&mut client).await;
}

#[tokio::test]
async fn a_client_whose_body_nobody_reads_may_finish_sending() {
    let house = House::start().await;
    let mut client = house.say("POST /facts HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    assert!(answer(&mut client).await.contains("Connection: close\r\n"));
    sends_on(&mut client).await;
}

#[tokio::test]
async fn a_body_that_stops_is_answered_408() {
    let mut house = House::start().await;
    let told = house.ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello").await;
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    assert_eq!(house.ended.recv().await, Some(Some(Cut::BodyStalled)));
}

#[tokio::test]
async fn a_body_that_drips_is_cut() {
    let mut house = House::start().await;
    let client = house.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    let (mut from, mut to) = client.into_split();
    let dripping = tokio::spawn(async move { drip(&mut to, Duration::from_millis(20), b'a').await });
    assert!(head(&mut from).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(house.ended.recv().await, Some(Some(Cut::BodyStalled)));
    dripping.abort();
}

#[tokio::test]
async fn a_slow_body_that_makes_progress_is_not_cut() {
    let house = House::start().await;
    let mut client = house.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await;
    for _ in 0..10 {
        client.write_all(&[b'a'; 100]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_slow_upstream_does_not_count_as_a_stalled_body() {
    let house = House::start().await;
    let mut client = house.say("POST /gate HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    house.upstream.reached().await;
    tokio::time::sleep(limits().body_stall * 3).await;
    house.upstream.open_gate();
    assert!(answer(&mut client).await.ends_with("hello"));
}

#[tokio::test]
async fn broken_chunks_are_answered_400() {
    let mut house = House::start().await;
    let told =
        house.ask("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
    assert_eq!(house.ended.recv().await, Some(Some(Cut::BodyMalformed)));
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    let mut house = House::start().await;
    let _client = house.say("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let ended = tokio::time::timeout(PATIENCE, house.ended.recv()).await.expect("the exchange ends");
    assert_eq!(ended, Some(Some(Cut::WriteStalled)));
}

#[tokio::test]
async fn a_connection_over_the_cap_is_answered_503() {
    let mut limits = limits();
    limits.connections = 1;
    limits.keepalive = PATIENCE;
    let listener = Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None };
    let house = House::with(limits, listener).await;
    let mut first = house.say(GET).await;
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 "));
    assert_refused(&house.ask(GET).await, 503, "overloaded");
    drop(first);
    while (house.open)() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(answer(&mut house.say(GET).await).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_connect_is_refused_by_the_edge() {
    let house = House::start().await;
    for target in ["h:443", "/echo", "http://a/echo", "*"] {
        let told = house.ask(format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n{GET}")).await;
        assert!(told.starts_with("HTTP/1.1 405 ") && told.contains("method_not_allowed"), "{told}");
    }
    assert_eq!(house.refusals(), [EdgeRefusal::Connect; 4]);
}

#[tokio::test]
async fn a_fragment_is_refused_before_it_is_cut_off() {
    let house = House::start().await;
    for target in ["/echo#/../admin", "/echo?a#b", "http://other/echo", "/echo<", "echo"] {
        let told = house.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("target_ambiguous"), "{told}");
    }
    assert_eq!(house.refusals(), [EdgeRefusal::Ambiguous; 5]);
}

#[tokio::test]
async fn an_absolute_target_reaches_the_filters_in_origin_form() {
    let house = House::start().await;
    let request = "POST http://A:80/echo?%61=\"x\" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let mut client = house.say(format!("{request}{GET}")).await;
    let first = answer(&mut client).await;
    assert!(first.contains("POST /echo?%61=%22x%22 ") && first.contains("hello"), "{first}");
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 "));
}
