//! How the edge stops.

use super::{
    super::{listener::accept, refusal::Served},
    *,
};

const SLOW: &str = "GET /gate HTTP/1.1\r\nHost: a\r\n\r\n";

fn stop(delay: Duration, grace: Duration) -> Stop {
    Stop { delay, linger: drain::SETTLE, grace }
}

#[tokio::test]
async fn a_request_in_flight_is_finished_and_its_connection_closed() {
    let house = House::start().await;
    let mut client = house.say(SLOW).await;
    house.upstream.reached().await;
    house.stop.send(stop(Duration::ZERO, PATIENCE)).await.unwrap();
    // The listener is closed first: a refused connection shows that the stop has come so far.
    while TcpStream::connect(house.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    house.upstream.open_gate();
    let told = rest(&mut client).await;
    assert!(told.starts_with("HTTP/1.1 200 ") && told.contains("Connection: close\r\n"), "{told}");
    assert_eq!(house.running.await.unwrap(), DrainOutcome { cut: 0, lost_listener: false });
}

#[tokio::test]
async fn during_the_delay_connections_are_taken_and_answers_close_them() {
    let house = House::start().await;
    let mut idle = house.say(GET).await;
    assert!(!answer(&mut idle).await.contains("Connection: close"));
    house.stop.send(stop(PATIENCE, PATIENCE)).await.unwrap();
    loop {
        let told = answer(&mut house.say(GET).await).await;
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
        if told.contains("Connection: close") {
            break;
        }
    }
    idle.write_all(GET.as_bytes()).await.unwrap();
    assert!(rest(&mut idle).await.contains("Connection: close"));
    house.stop.send(stop(Duration::ZERO, PATIENCE)).await.unwrap();
    assert_eq!(house.running.await.unwrap(), DrainOutcome { cut: 0, lost_listener: false });
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_a_stop() {
    let mut limits = limits();
    limits.keepalive = PATIENCE * 10;
    let house = House::with(limits, Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None }).await;
    let mut client = house.say(GET).await;
    answer(&mut client).await;
    house.stop.send(stop(Duration::ZERO, PATIENCE * 10)).await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(house.running.await.unwrap(), DrainOutcome { cut: 0, lost_listener: false });
}

#[tokio::test]
async fn what_is_left_after_the_grace_is_cut_and_counted() {
    let house = House::start().await;
    let mut client = house.say(SLOW).await;
    house.upstream.reached().await;
    house.stop.send(stop(Duration::ZERO, Duration::from_millis(100))).await.unwrap();
    assert_eq!(house.running.await.unwrap(), DrainOutcome { cut: 1, lost_listener: false });
    let mut left = Vec::new();
    // Closed or reset, but without an answer.
    let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut left)).await.expect("cut");
    assert_eq!(left, b"");
}

#[tokio::test]
async fn a_second_stop_ends_the_grace() {
    let house = House::start().await;
    let _client = house.say(SLOW).await;
    house.upstream.reached().await;
    house.stop.send(stop(Duration::ZERO, PATIENCE * 10)).await.unwrap();
    while TcpStream::connect(house.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    house.stop.send(stop(Duration::ZERO, PATIENCE * 10)).await.unwrap();
    assert_eq!(house.running.await.unwrap(), DrainOutcome { cut: 1, lost_listener: false });
}

struct Panicking;

impl Refusals for Panicking {
    fn answer(&self, _: EdgeRefusal, _: SocketAddr) -> Bytes {
        panic!("while a connection is refused")
    }
}

#[tokio::test]
async fn a_listener_that_dies_stops_the_edge() {
    let mut limits = limits();
    limits.connections = 0;
    let listener = Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None };
    let edge = Edge::bind(&[listener], Arc::new(move || limits)).await.unwrap();
    let (address, draining) = (edge.addresses()[0], edge.draining());
    let (ended, _ends) = mpsc::unbounded_channel();
    let app = Arc::new(http_proxy(&Arc::new(ServerConf::default()), Relay { upstream: address, ended }));
    let (_stop, stops) = mpsc::channel(1);
    let running = tokio::spawn(edge.run(app, Arc::new(Panicking), stops));
    let _client = TcpStream::connect(address).await.unwrap();
    assert_eq!(running.await.unwrap(), DrainOutcome { cut: 0, lost_listener: true });
    assert!(draining.has_begun());
}

#[tokio::test]
async fn a_connection_that_waits_at_a_closing_listener_is_served() {
    let upstream = Upstream::start().await;
    let listener = Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None };
    let edge = Edge::bind(&[listener], Arc::new(limits)).await.unwrap();
    let mut client = TcpStream::connect(edge.addresses()[0]).await.unwrap();
    let (ended, _ends) = mpsc::unbounded_channel();
    let relay = Relay { upstream: upstream.address, ended };
    let app = Arc::new(http_proxy(&Arc::new(ServerConf::default()), relay));
    let (_close, closing) = tokio::sync::watch::channel(true);
    let (_down, shutdown) = tokio::sync::watch::channel(false);
    let shutdown = drain::Ending { soon: shutdown.clone(), now: shutdown };
    let served = Served { app, refusals: Arc::<Told>::default() };
    let _connections = accept(edge.into_listening(served, &closing, &shutdown).remove(0)).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 "));
}
