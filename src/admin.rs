//! The admin listener: what probes, Prometheus and operators ask the gateway about itself.
//!
//! Answers `GET` and `HEAD` for five exact paths and nothing else; a body is not read, a query is ignored. Holds no state: [`Health`] is
//! written by whoever knows, and read here. It tells no secret, but names of providers and files: it belongs on loopback or a pod network.

mod health;
mod healthcheck;

pub use health::{Health, Listening, Readiness};
pub use healthcheck::healthcheck;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{
    Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use pingora::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use serde::Serialize;

use crate::{
    edge::{EdgeRefusal, Refusals, closing_answer},
    telemetry::{Metrics, since_epoch},
    time::UnixTime,
};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The Prometheus text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The admin application: one per process, served on the admin address.
#[derive(Debug)]
pub struct Admin {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Metrics,
    Live,
    Ready,
    Status,
}

/// An answer before it is an HTTP message.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Admin {
    /// An application that tells these numbers and this health.
    pub fn new(metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        Self { metrics, health }
    }

    /// The answer to one request.
    fn answer(&self, method: &Method, path: &[u8]) -> Response<Vec<u8>> {
        let Some(page) = Page::at(path) else {
            return render(method, Answer::text(StatusCode::NOT_FOUND, "there is nothing here\n"));
        };
        if method != Method::GET && method != Method::HEAD {
            let refusal = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "the method is not allowed here\n");
            let mut response = render(method, refusal);
            response.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        render(method, self.page(page))
    }

    fn page(&self, page: Page) -> Answer {
        match page {
            Page::Metrics => {
                Answer { status: StatusCode::OK, content_type: EXPOSITION, body: self.metrics.render().into_bytes() }
            }
            Page::Live => Answer::text(StatusCode::OK, "ok\n"),
            Page::Ready => {
                let readiness = self.health.readiness();
                let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                Answer::json(status, &readiness)
            }
            Page::Status => {
                let now = UnixTime::from_seconds(since_epoch().as_secs());
                Answer::json(StatusCode::OK, &self.health.page(now, self.metrics.servers()))
            }
        }
    }
}

impl Page {
    /// Only these, byte for byte.
    fn at(path: &[u8]) -> Option<Self> {
        match path {
            b"/metrics" => Some(Self::Metrics),
            b"/livez" | b"/healthz" => Some(Self::Live),
            b"/readyz" => Some(Self::Ready),
            b"/status" => Some(Self::Status),
            _ => None,
        }
    }
}

impl Answer {
    fn text(status: StatusCode, text: &'static str) -> Self {
        Self { status, content_type: TEXT, body: text.into() }
    }

    fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self { status, content_type: JSON, body }
            }
            Err(fault) => {
                tracing::error!(error = %fault, "an admin page cannot be written");
                Self::text(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be written\n")
            }
        }
    }
}

/// `HEAD` is answered with the length of the body that `GET` would have.
fn render(method: &Method, answer: Answer) -> Response<Vec<u8>> {
    let length = answer.body.len();
    let body = if method == Method::HEAD { Vec::new() } else { answer.body };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(answer.content_type));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    response
}

impl Refusals for Admin {
    fn answer(&self, refusal: EdgeRefusal, _: std::net::SocketAddr) -> Bytes {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
        let allow = (refusal == EdgeRefusal::Connect).then_some(("Allow", "GET, HEAD"));
        let fields: Vec<_> = [("Content-Type", TEXT)].into_iter().chain(allow).collect();
        closing_answer(status, &fields, format!("{}\n", refusal.code()).as_bytes())
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        // A body stays unread; pingora then closes the connection: `a_body_is_not_read_as_a_second_request`.
        let request = session.req_header();
        let target = request.raw_path();
        let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
        self.answer(&request.method, path)
    }
}

#[cfg(test)]
mod tests;
