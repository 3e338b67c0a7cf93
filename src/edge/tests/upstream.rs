//! An upstream that answers by path, and tells in its answer what it was sent.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// The first frame of the WebSocket upstream.
pub(super) const GREETING: &[u8] = b"\x81\x02hi";

pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    gate: Arc<Semaphore>,
    reached: Arc<Semaphore>,
}

impl Upstream {
    pub(super) async fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (gate, reached) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let upstream = Upstream { address, gate: gate.clone(), reached: reached.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, gate.clone(), reached.clone()));
            }
        });
        upstream
    }

    /// Waits until a request stands at the gate.
    pub(super) async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    /// Lets one request pass.
    pub(super) fn open_gate(&self) {
        self.gate.add_permits(1);
    }
}

async fn serve(mut stream: TcpStream, gate: Arc<Semaphore>, reached: Arc<Semaphore>) {
    while let Some(request) = read_request(&mut stream).await {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let done = match path {
            "/big" => big(&mut stream).await,
            "/events" => events(&mut stream).await,
            "/ws" => websocket(&mut stream).await,
            "/gate" => {
                reached.add_permits(1);
                gate.acquire().await.unwrap().forget();
                echo(&mut stream, &request).await
            }
            _ => echo(&mut stream, &request).await,
        };
        if done.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut room = [0; 16_384];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let whole = match length {
                Some(length) => body.len() >= length.parse().unwrap(),
                None => !lower.contains("transfer-encoding") || body.ends_with("0\r\n\r\n"),
            };
            if whole {
                return Some(text.into_owned());
            }
        }
        match stream.read(&mut room).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&room[..n]),
            _ => return None,
        }
    }
}

async fn echo(stream: &mut TcpStream, request: &str) -> std::io::Result<()> {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{request}", request.len());
    stream.write_all(answer.as_bytes()).await
}

/// More than all socket buffers hold.
async fn big(stream: &mut TcpStream) -> std::io::Result<()> {
    let block = vec![b'x'; 1024 * 1024];
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await?;
    for _ in 0..1024 {
        stream.write_all(&block).await?;
    }
    Ok(())
}

/// One event, then silence until the gateway goes away.
async fn events(stream: &mut TcpStream) -> std::io::Result<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await?;
    stream.write_all(b"9\r\ndata: 1\n\n\r\n").await?;
    stream.read_u8().await.map(drop)
}

/// Greets, then gives back what comes.
async fn websocket(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").await?;
    stream.write_all(GREETING).await?;
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    Err(std::io::ErrorKind::UnexpectedEof.into())
}
