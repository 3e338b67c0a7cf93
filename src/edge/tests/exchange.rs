//! Exchanges that end at a deadline, and tunnels.

use super::{upstream::GREETING, *};

const UPGRADE: &str = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";

#[tokio::test]
async fn a_silent_event_stream_ends_at_its_deadline() {
    let mut house = House::start().await;
    let told = house.ask("GET /events HTTP/1.1\r\nHost: a\r\nX-Expire: 300\r\n\r\n").await;
    assert!(told.contains("data: 1"), "{told}");
    assert!(!told.ends_with("0\r\n\r\n"), "{told}");
    assert_eq!(house.ended.recv().await, Some(Some(Cut::Expired)));
}

#[tokio::test]
async fn an_answer_in_full_flow_ends_at_its_deadline() {
    let mut house = House::start().await;
    let mut client = house.say("GET /big HTTP/1.1\r\nHost: a\r\nX-Expire: 300\r\n\r\n").await;
    let read = tokio::time::timeout(PATIENCE, tokio::io::copy(&mut client, &mut tokio::io::sink())).await;
    assert!(read.unwrap().is_ok_and(|read| read < 1 << 30));
    assert_eq!(house.ended.recv().await, Some(Some(Cut::Expired)));
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_is_told_why_it_ends() {
    let mut house = House::start().await;
    let mut client = house.say(format!("GET /ws HTTP/1.1\r\n{UPGRADE}X-Expire: 600\r\n\r\n")).await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    let mut frame = vec![0; GREETING.len()];
    client.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, GREETING);
    client.write_all(GREETING).await.unwrap();
    client.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, GREETING);
    let mut last = Vec::new();
    tokio::time::timeout(PATIENCE, client.read_to_end(&mut last)).await.unwrap().unwrap();
    assert_eq!(last, b"\x88\x0f\x03\xF0token expired");
    assert_eq!(house.ended.recv().await, Some(Some(Cut::Expired)));
}

#[tokio::test]
async fn bytes_behind_an_upgrade_request_wait_for_the_101() {
    let house = House::start().await;
    let mut client = house.say(format!("GET /ws HTTP/1.1\r\n{UPGRADE}\r\nearly bytes")).await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    let mut got = vec![0; GREETING.len() + "early bytes".len()];
    tokio::time::timeout(PATIENCE, client.read_exact(&mut got)).await.expect("they pass after it").unwrap();
    assert!(got.ends_with(b"early bytes"));
}

#[tokio::test]
async fn a_request_behind_an_upgrade_that_is_declined_is_not_tunnelled() {
    let house = House::start().await;
    let mut client = house.say(format!("GET /echo HTTP/1.1\r\n{UPGRADE}\r\n{GET}")).await;
    let first = answer(&mut client).await;
    assert_eq!(first.matches("GET /echo ").count(), 1, "{first}");
    assert_eq!(answer(&mut client).await.matches("GET /echo ").count(), 1);
}

#[tokio::test]
async fn a_deadline_ends_with_its_exchange() {
    let house = House::start().await;
    let mut client = house.say("GET /echo HTTP/1.1\r\nHost: a\r\nX-Expire: 200\r\n\r\n").await;
    answer(&mut client).await;
    client.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    house.upstream.reached().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    house.upstream.open_gate();
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 "));
}
