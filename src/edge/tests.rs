//! The edge with a real pingora proxy behind it, a raw upstream, and raw sockets in front.
//!
//! The limits are short; what is asserted is how a connection ends, not when.

mod attacks;
pub(in crate::edge) mod certificates;
mod exchange;
mod http2;
mod limits;
mod stop;
mod tls;
mod upstream;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    Error, Result,
    http::{RequestHeader, ResponseHeader},
    proxy::{FailToProxy, ProxyHttp, Session, http_proxy},
    server::configuration::ServerConf,
    upstreams::peer::HttpPeer,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
};

use self::upstream::Upstream;
use super::*;
use crate::config::{Limits, Listener};

/// Nothing in these tests takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    Limits {
        header_bytes: 8 * 1024,
        headers: 20,
        target_bytes: 1024,
        token_bytes: 8 * 1024,
        body_bytes: 1024 * 1024,
        decision_body_bytes: 64 * 1024,
        connections: 100,
        connections_per_address: 100,
        header_timeout: Duration::from_millis(300),
        body_stall: Duration::from_millis(300),
        keepalive: Duration::from_millis(700),
        write_stall: Duration::from_millis(500),
        tls_handshake: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// What the filters of the gateway will do, without deciding anything.
struct Relay {
    upstream: SocketAddr,
    ended: mpsc::UnboundedSender<Option<Cut>>,
}

struct Ctx {
    exchange: Option<Exchange>,
    ended: mpsc::UnboundedSender<Option<Cut>>,
}

impl Drop for Ctx {
    fn drop(&mut self) {
        let _ = self.ended.send(self.exchange.as_ref().and_then(Exchange::cut));
    }
}

#[async_trait]
impl ProxyHttp for Relay {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx { exchange: None, ended: self.ended.clone() }
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        let exchange = Exchange::of(session).expect("the edge's own session");
        let header = session.req_header();
        assert!(header.uri.path() != "/panic", "on purpose");
        if let Some(ms) = header.headers.get("x-expire").and_then(|ms| ms.to_str().ok()) {
            exchange.expire_in(Duration::from_millis(ms.parse().unwrap()));
        }
        if header.uri.path() == "/facts" {
            let tls = exchange.conn().tls();
            let text = format!(
                "{} {} {:?}",
                exchange.conn().peer().ip(),
                session.client_addr().is_some(),
                tls.and_then(|tls| tls.server_name.clone())
            );
            let mut answer = ResponseHeader::build(200, Some(1))?;
            answer.insert_header("content-length", text.len())?;
            session.write_response_header(Box::new(answer), false).await?;
            session.write_response_body(Some(text.into()), true).await?;
            return Ok(true);
        }
        if header.uri.path() == "/client" {
            let shown = exchange.conn().tls().and_then(|tls| tls.client_certificate.as_ref());
            let text = shown.map_or_else(
                || "nobody".to_owned(),
                |shown| format!("{:?} {:?} {:?}", shown.subject, shown.common_name, shown.dns_names),
            );
            let mut answer = ResponseHeader::build(200, Some(1))?;
            answer.insert_header("content-length", text.len())?;
            session.write_response_header(Box::new(answer), false).await?;
            session.write_response_body(Some(text.into()), true).await?;
            return Ok(true);
        }
        if !session.is_body_done() {
            exchange.body_awaited();
        }
        ctx.exchange = Some(exchange);
        Ok(false)
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let exchange = ctx.exchange.as_ref().unwrap();
        exchange.body_progress(body.as_ref().map_or(0, Bytes::len));
        if end {
            exchange.body_complete();
        }
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, _: &mut Ctx) -> Result<Box<HttpPeer>> {
        let address = match session.req_header().uri.path() {
            "/unreachable" => "127.0.0.1:1".parse().unwrap(),
            _ => self.upstream,
        };
        Ok(Box::new(HttpPeer::new(address, false, String::new())))
    }

    async fn upstream_request_filter(&self, _: &mut Session, request: &mut RequestHeader, _: &mut Ctx) -> Result<()> {
        request.insert_header("x-relayed", "1")
    }

    async fn response_filter(&self, session: &mut Session, answer: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
        let exchange = ctx.exchange.as_ref().unwrap();
        if exchange.conn().is_draining() {
            session.set_keepalive(None);
        }
        if answer.status == 101 {
            exchange.upgraded(Tunnel::WebSocket);
        }
        Ok(())
    }

    async fn fail_to_proxy(&self, session: &mut Session, _: &Error, ctx: &mut Ctx) -> FailToProxy {
        let status = match ctx.exchange.as_ref().and_then(Exchange::cut) {
            Some(Cut::BodyStalled) => 408,
            Some(Cut::BodyMalformed) => 400,
            Some(
                Cut::Expired | Cut::Overdue | Cut::WriteStalled | Cut::FrameStalled | Cut::Flooded | Cut::Shutdown,
            ) => 0,
            None => 502,
        };
        if status > 0 && session.response_written().is_none() {
            let _ = session.respond_error(status).await;
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<EdgeRefusal>>, Mutex<Vec<EdgeEvent>>);

impl Refusals for Told {
    fn answer(&self, refusal: EdgeRefusal, _: SocketAddr) -> Bytes {
        self.0.lock().unwrap().push(refusal);
        let status = http::StatusCode::from_u16(refusal.status()).unwrap();
        let body = format!("{{\"code\":\"{}\"}}", refusal.code());
        closing_answer(status, &[("Content-Type", "application/problem+json")], body.as_bytes())
    }

    fn note(&self, event: EdgeEvent) {
        self.1.lock().unwrap().push(event);
    }
}

/// A running edge.
struct House {
    address: SocketAddr,
    stop: mpsc::Sender<Stop>,
    running: JoinHandle<DrainOutcome>,
    told: Arc<Told>,
    ended: mpsc::UnboundedReceiver<Option<Cut>>,
    upstream: Upstream,
    open: Box<dyn Fn() -> usize + Send + Sync>,
    slot: Option<Arc<TlsSlot>>,
}

impl House {
    async fn start() -> House {
        House::with(limits(), Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None }).await
    }

    async fn with(limits: Limits, listener: Listener) -> House {
        let upstream = Upstream::start().await;
        let edge = Edge::bind(&[listener], Arc::new(move || limits)).await.unwrap();
        let told = Arc::<Told>::default();
        let (ended, ends) = mpsc::unbounded_channel();
        let relay = Relay { upstream: upstream.address, ended };
        let app = Arc::new(http_proxy(&Arc::new(ServerConf::default()), relay));
        let (stop, stops) = mpsc::channel(4);
        let address = edge.addresses()[0];
        let open = Box::new(edge.open_connections());
        let slot = edge.tls()[0].clone();
        let running = tokio::spawn(edge.run(app, told.clone(), stops));
        House { address, stop, running, told, ended: ends, upstream, open, slot }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Connects and sends.
    async fn say(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        stream
    }

    /// Sends one request, and reads until the edge closes.
    async fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        rest(&mut self.say(bytes).await).await
    }

    fn refusals(&self) -> Vec<EdgeRefusal> {
        self.told.0.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<EdgeEvent> {
        self.told.1.lock().unwrap().clone()
    }
}

/// Everything until the connection is closed, by FIN: a reset fails the test.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the edge closes").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer with a Content-Length: head and body.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    tokio::time::timeout(PATIENCE, async {
        let mut text = head(stream).await;
        let lower = text.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&body));
        text
    })
    .await
    .expect("an answer")
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

/// Sends one byte at a time until the other side is done.
async fn drip(stream: &mut (impl AsyncWrite + Unpin), every: Duration, byte: u8) {
    while stream.write_all(&[byte]).await.is_ok() {
        tokio::time::sleep(every).await;
    }
}

#[track_caller]
fn assert_refused(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    assert!(answer.contains("Content-Length: "), "{answer}");
    assert!(answer.ends_with(&format!("{{\"code\":\"{code}\"}}")), "{answer}");
}

const GET: &str = "GET /echo HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[tokio::test]
async fn two_requests_share_a_connection() {
    let house = House::start().await;
    let mut client = house.say(GET).await;
    let first = answer(&mut client).await;
    assert!(first.starts_with("HTTP/1.1 200 ") && first.contains("GET /echo HTTP/1.1\r\n"), "{first}");
    client.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
    let second = answer(&mut client).await;
    assert!(second.starts_with("HTTP/1.1 200 ") && second.ends_with("hello"), "{second}");
    assert_eq!((house.open)(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_an_answer() {
    let house = House::start().await;
    assert_eq!(rest(&mut house.connect().await).await, "");
    let mut client = house.say(GET).await;
    answer(&mut client).await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(house.refusals(), []);
}

#[tokio::test]
async fn a_second_request_behind_a_body_is_answered_on_its_own() {
    let house = House::start().await;
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let both = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{body}GET /echo?second HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut client = house.say(both).await;
        let first = answer(&mut client).await;
        assert!(first.contains("hello") && !first.contains("second"), "{first}");
        let second = answer(&mut client).await;
        assert!(second.starts_with("HTTP/1.1 200 ") && second.contains("GET /echo?second "), "{second}");
    }
}

#[tokio::test]
async fn a_request_sent_while_another_is_served_waits_for_its_turn() {
    let house = House::start().await;
    let mut client = house.say("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    house.upstream.reached().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    house.upstream.open_gate();
    assert!(answer(&mut client).await.contains("GET /gate "));
    assert!(answer(&mut client).await.contains("GET /echo "));
}

#[tokio::test]
async fn a_body_larger_than_every_buffer_arrives_whole() {
    let house = House::start().await;
    let body = "0123456789abcdef".repeat(40_000);
    let mut client = house.connect().await;
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(body.as_bytes()).await.unwrap();
    let whole = answer(&mut client).await;
    assert!(whole.ends_with(&body));
}

#[tokio::test]
async fn a_filter_knows_the_client() {
    let house = House::start().await;
    let mut client = house.say("GET /facts HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer(&mut client).await.ends_with("127.0.0.1 true None"));
}

#[tokio::test]
async fn a_client_that_uploads_to_a_dead_upstream_reads_the_502() {
    let house = House::start().await;
    let mut client = house.say("POST /unreachable HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n").await;
    let sent = client.write_all(&vec![b'a'; 400_000]).await;
    let told = rest(&mut client).await;
    assert!(sent.is_ok());
    assert!(told.starts_with("HTTP/1.1 502 "), "{told}");
}

#[tokio::test]
async fn an_http10_client_without_keep_alive_sees_the_end() {
    let house = House::start().await;
    let told = house.ask(GET.replace("1.1", "1.0")).await;
    assert!(told.contains(" 200 OK\r\n") && told.contains("GET /echo "), "{told}");
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let house = House::start().await;
    let listener = Listener { address: house.address, tls: None };
    let error = Edge::bind(&[listener], Arc::new(limits)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {}: Address already in use", house.address)), "{text}");
}

#[test]
fn a_closing_answer_is_framed() {
    let answer = closing_answer(http::StatusCode::SERVICE_UNAVAILABLE, &[("Retry-After", "1")], b"no");
    let expected =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    assert_eq!(answer, expected);
}
