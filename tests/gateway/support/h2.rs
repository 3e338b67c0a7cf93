//! An HTTP/2 client over plain TCP, by prior knowledge.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};

use super::{Answer, PATIENCE};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct H2Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Option<Bytes>,
    pub(crate) trailers: HeaderMap,
    /// The body does not end.
    pub(crate) is_open: bool,
}

impl H2Request {
    pub(crate) fn new(method: Method, target: &str) -> Self {
        Self {
            method,
            target: target.to_owned(),
            fields: Vec::new(),
            body: None,
            trailers: HeaderMap::new(),
            is_open: false,
        }
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn open_end(mut self) -> Self {
        self.is_open = true;
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }
}

/// A connection, and the runtime that it lives in.
pub(crate) struct H2 {
    runtime: Runtime,
    sender: h2::client::SendRequest<Bytes>,
}

impl H2 {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(async move {
                // How the connection ends is told by its requests.
                let _ = connection.await;
            });
            sender
        });
        Self { runtime, sender }
    }

    /// Whether the client's own library can send this target as it is.
    pub(crate) fn can_say(target: &str) -> bool {
        uri(target).is_some_and(|uri| uri.path_and_query().is_some_and(|whole| whole.as_str() == target))
    }

    /// The answer, or how the stream ended.
    pub(crate) fn ask(&mut self, request: H2Request) -> Result<Answer, String> {
        let sender = self.sender.clone();
        self.runtime
            .block_on(async move { timeout(PATIENCE, exchange(sender, request)).await.expect("an answer in time") })
            .map_err(|error| error.to_string())
    }

    pub(crate) fn get(&mut self, target: &str, token: Option<&str>) -> Result<Answer, String> {
        let request = H2Request::new(Method::GET, target);
        self.ask(match token {
            Some(token) => request.field("authorization", &format!("Bearer {token}")),
            None => request,
        })
    }
}

fn uri(target: &str) -> Option<Uri> {
    Uri::builder().scheme("http").authority("app").path_and_query(target).build().ok()
}

async fn exchange(sender: h2::client::SendRequest<Bytes>, request: H2Request) -> Result<Answer, h2::Error> {
    let mut sender = sender.ready().await?;
    let mut head = Request::builder().method(request.method).uri(uri(&request.target).unwrap());
    for (name, value) in &request.fields {
        head = head.header(name, value.as_bytes());
    }
    let without_body = request.body.is_none() && request.trailers.is_empty();
    let (answer, mut stream) = sender.send_request(head.body(()).unwrap(), without_body)?;
    // An early answer may end the stream before all is sent: what counts is the answer.
    if !without_body {
        let last = request.trailers.is_empty() && !request.is_open;
        let _ = stream.send_data(request.body.unwrap_or_default(), last);
        if !request.trailers.is_empty() {
            let _ = stream.send_trailers(request.trailers);
        }
    }
    let answer = answer.await?;
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let fields = answer.headers().iter().map(field).collect();
    let status = answer.status().as_u16();
    let mut stream = answer.into_body();
    let is_head_only = stream.is_end_stream();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    let trailers = stream.trailers().await?.iter().flatten().map(field).collect();
    Ok(Answer { status, fields, body, is_head_only, trailers })
}
