//! JSON over HTTP: paths, statuses and headers as the gateway in front of Cerbos has them.

use ::http::{Method as Verb, StatusCode, header};
use bytes::Bytes;
use pingora::{
    Result,
    http::ResponseHeader,
    protocols::http::{HttpTask, ServerSession},
};

use super::{
    Api, Call, Encoding, Method, Transport, VERSION,
    fault::{Code, Fault},
    wire::{HealthResponse, NOT_SERVING, SERVING},
};
use crate::edge::Exchange;

/// The service whose health can be asked for, beside that of the whole.
pub(super) const SERVICE: &str = "cerbos.svc.v1.CerbosService";

const JSON: &str = "application/json";

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Method(Method, &'static Verb),
    Health,
}

impl Page {
    /// Only these, byte for byte.
    fn at(path: &[u8]) -> Option<Self> {
        Some(match path {
            b"/api/check/resources" => Self::Method(Method::CheckResources, &Verb::POST),
            b"/api/check" => Self::Method(Method::CheckResourceSet, &Verb::POST),
            b"/api/check_resource_batch" => Self::Method(Method::CheckResourceBatch, &Verb::POST),
            b"/api/plan/resources" => Self::Method(Method::PlanResources, &Verb::POST),
            b"/api/server_info" => Self::Method(Method::ServerInfo, &Verb::GET),
            b"/_cerbos/health" => Self::Health,
            _ => return None,
        })
    }

    const fn verb(self) -> &'static Verb {
        match self {
            Self::Method(_, verb) => verb,
            Self::Health => &Verb::GET,
        }
    }
}

/// An answer before it is a message.
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// It comes from a method that ran.
    is_of_method: bool,
}

impl Answer {
    fn fault(fault: &Fault) -> Self {
        Self { status: fault.code.status(), body: fault.json(), is_of_method: false }
    }
}

/// Answers one request.
pub(super) async fn serve(api: &Api, session: &mut ServerSession, exchange: &Exchange) -> Result<()> {
    let answer = if exchange.is_shed() {
        Answer::fault(&Fault::new(Code::Unavailable, "overloaded"))
    } else if api.transport == Transport::Grpc {
        let fault = Fault::new(Code::Unimplemented, "this listener takes gRPC over HTTP/2");
        Answer { status: 415, ..Answer::fault(&fault) }
    } else {
        answer(api, session, exchange).await
    };
    write(session, answer).await
}

async fn answer(api: &Api, session: &mut ServerSession, exchange: &Exchange) -> Answer {
    let request = session.req_header();
    let (path, query) = match request.raw_path().iter().position(|byte| *byte == b'?') {
        Some(at) => request.raw_path().split_at_checked(at).unwrap_or_default(),
        None => (request.raw_path(), &b""[..]),
    };
    let Some(page) = Page::at(path) else {
        return Answer::fault(&Fault::new(Code::NotFound, "Not Found"));
    };
    if request.method != *page.verb() {
        return Answer::fault(&Fault::new(Code::Unimplemented, "Method Not Allowed"));
    }
    let names = || query.get(1..).unwrap_or_default().split(|byte| *byte == b'&');
    match page {
        Page::Health => health(exchange, names().find_map(|pair| pair.strip_prefix(b"service="))),
        Page::Method(method, _) => {
            let pretty = names().any(|pair| pair.split(|byte| *byte == b'=').next() == Some(b"pretty"));
            let caller = Some(exchange.conn().peer().ip());
            let call = Call { method, encoding: Encoding::Json { pretty }, caller };
            match api.answer(session, exchange, call).await {
                Ok(body) => Answer { status: 200, body, is_of_method: true },
                Err(fault) => Answer::fault(&fault),
            }
        }
    }
}

fn health(exchange: &Exchange, service: Option<&[u8]>) -> Answer {
    if service.is_some_and(|name| !name.is_empty() && name != SERVICE.as_bytes()) {
        return Answer::fault(&Fault::new(Code::NotFound, "unknown service"));
    }
    let (status, health) = if exchange.conn().is_draining() { (503, NOT_SERVING) } else { (200, SERVING) };
    let body = serde_json::to_vec(&HealthResponse { status: health }).unwrap_or_default();
    Answer { status, body, is_of_method: false }
}

async fn write(session: &mut ServerSession, answer: Answer) -> Result<()> {
    let Answer { status, body, is_of_method } = answer;
    let is_head = session.req_header().method == Verb::HEAD;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut head = ResponseHeader::build(status, Some(6))?;
    head.insert_header(header::CONTENT_TYPE, JSON)?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    if is_of_method {
        head.insert_header("grpc-metadata-cerbos-version", VERSION)?;
        head.insert_header("grpc-metadata-content-type", "application/grpc")?;
    }
    if status == StatusCode::UNAUTHORIZED {
        head.insert_header(header::WWW_AUTHENTICATE, "Bearer realm=\"cogward\"")?;
    }
    if is_head && session.is_http2() {
        return session.response_duplex_vec(vec![HttpTask::Header(Box::new(head), true)]).await.map(drop);
    }
    session.write_response_header(Box::new(head)).await?;
    if is_head {
        return Ok(());
    }
    session.write_response_body(Bytes::from(body), true).await
}
