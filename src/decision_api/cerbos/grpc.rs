//! gRPC over HTTP/2: one message in, one message out, and a status in the trailers.
//!
//! The edge speaks HTTP/2 already; what gRPC adds are five bytes before a message and two trailers. Messages are not compressed.

use std::fmt::Write;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method as Verb, StatusCode, header};
use bytes::{BufMut, BytesMut};
use pingora::{
    Error, ErrorType, Result,
    http::ResponseHeader,
    protocols::http::{HttpTask, ServerSession},
};
use prost::Message;

use super::{
    Api, Call, Encoding, Method, VERSION,
    body::Body,
    fault::{Code, Fault},
    http::SERVICE,
    wire::{HealthRequest, HealthResponse, NOT_SERVING, SERVING},
};
use crate::edge::Exchange;

/// Bytes before a message: whether it is compressed, and its length.
pub(super) const PREFIX: usize = 5;

/// The most bytes of a question about health.
const MOST_HEALTH: usize = 1024;

/// Is the request gRPC? Over HTTP/1 there are no trailers, and so no gRPC.
pub(super) fn is_grpc(session: &ServerSession) -> bool {
    let kind = session.get_header_bytes(header::CONTENT_TYPE);
    session.is_http2() && kind.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
}

/// The one message of a body.
pub(super) fn message(body: &[u8]) -> std::result::Result<&[u8], Fault> {
    let Some((prefix, message)) = body.split_first_chunk::<PREFIX>() else {
        return Err(Fault::invalid("the body holds no whole message"));
    };
    let [compressed, length @ ..] = *prefix;
    if compressed != 0 {
        return Err(Fault::new(Code::Unimplemented, "compressed messages are not read"));
    }
    // SECURITY: a length that lies would be another message: `a_frame_that_is_not_one_message_is_refused`.
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err(Fault::invalid("the body is not exactly one message"));
    }
    Ok(message)
}

/// What a path leads to.
enum Target {
    Method(Method),
    Health,
}

fn target(path: &[u8]) -> Option<Target> {
    let path = std::str::from_utf8(path).ok()?;
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    Some(match (service, method) {
        (SERVICE, "CheckResources") => Target::Method(Method::CheckResources),
        (SERVICE, "CheckResourceSet") => Target::Method(Method::CheckResourceSet),
        (SERVICE, "CheckResourceBatch") => Target::Method(Method::CheckResourceBatch),
        (SERVICE, "PlanResources") => Target::Method(Method::PlanResources),
        (SERVICE, "ServerInfo") => Target::Method(Method::ServerInfo),
        ("grpc.health.v1.Health", "Check") => Target::Health,
        _ => return None,
    })
}

/// Answers one call.
pub(super) async fn serve(api: &Api, session: &mut ServerSession, exchange: &Exchange) -> Result<()> {
    let answer = if exchange.is_shed() {
        Err(Fault::new(Code::Unavailable, "overloaded"))
    } else {
        answer(api, session, exchange).await
    };
    match answer {
        Ok(message) => write(session, &message).await,
        Err(fault) => refuse(session, &fault).await,
    }
}

async fn answer(api: &Api, session: &mut ServerSession, exchange: &Exchange) -> std::result::Result<Vec<u8>, Fault> {
    let request = session.req_header();
    let kind = session.get_header_bytes(header::CONTENT_TYPE).get(16..).unwrap_or_default();
    if !matches!(kind, b"" | b"+proto") && !kind.starts_with(b";") {
        return Err(Fault::new(Code::Unimplemented, "messages are read as Protobuf only"));
    }
    let found = if request.method == Verb::POST { target(request.raw_path()) } else { None };
    match found {
        None => {
            api.telemetry.metrics.record_check("grpc", "other", Code::Unimplemented.as_str());
            Err(Fault::new(Code::Unimplemented, "Unknown service"))
        }
        Some(Target::Health) => {
            let body = Body::read(session, exchange, MOST_HEALTH, &api.budget).await?;
            health(message(body.bytes())?, exchange)
        }
        Some(Target::Method(method)) => {
            let caller = Some(exchange.conn().peer().ip());
            api.answer(session, exchange, Call { method, encoding: Encoding::Protobuf, caller }).await
        }
    }
}

fn health(message: &[u8], exchange: &Exchange) -> std::result::Result<Vec<u8>, Fault> {
    let request = HealthRequest::decode(message).map_err(|_| Fault::invalid("the message cannot be read"))?;
    if !matches!(&*request.service, "" | SERVICE) {
        return Err(Fault::new(Code::NotFound, "unknown service"));
    }
    let status = if exchange.conn().is_draining() { NOT_SERVING } else { SERVING };
    Ok(HealthResponse { status }.encode_to_vec())
}

async fn write(session: &mut ServerSession, message: &[u8]) -> Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| Error::explain(ErrorType::InternalError, "too long"))?;
    let mut head = ResponseHeader::build(StatusCode::OK, Some(3))?;
    head.insert_header(header::CONTENT_TYPE, "application/grpc")?;
    head.insert_header("cerbos-version", VERSION)?;
    session.write_response_header(Box::new(head)).await?;
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put_slice(message);
    session.write_response_body(frame.freeze(), false).await?;
    let ok = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    session.write_response_trailers(ok).await
}

/// An answer without a message: its one frame holds the status.
async fn refuse(session: &mut ServerSession, fault: &Fault) -> Result<()> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(3))?;
    head.insert_header(header::CONTENT_TYPE, "application/grpc")?;
    head.insert_header("grpc-status", fault.code.number().to_string())?;
    head.insert_header("grpc-message", encoded(&fault.message))?;
    session.response_duplex_vec(vec![HttpTask::Header(Box::new(head), true)]).await.map(drop)
}

/// A message as the protocol wants it in a header: printable ASCII, all else and `%` by its bytes.
fn encoded(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | 0..0x20 | 0x7f.. => drop(write!(text, "%{byte:02X}")),
            _ => text.push(char::from(byte)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_not_one_message_is_refused() {
        assert_eq!(message(&[0, 0, 0, 0, 2, 7, 8]), Ok(&[7, 8][..]));
        assert_eq!(message(&[0, 0, 0, 0, 0]), Ok(&[][..]));
        let rows: [(&[u8], Code); 7] = [
            (&[], Code::InvalidArgument),
            (&[0, 0, 0, 0], Code::InvalidArgument),
            (&[0, 0, 0, 0, 1], Code::InvalidArgument),
            (&[0, 0, 0, 0, 1, 7, 8], Code::InvalidArgument),
            (&[0, 255, 255, 255, 255, 7], Code::InvalidArgument),
            (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Code::InvalidArgument),
            (&[1, 0, 0, 0, 1, 7], Code::Unimplemented),
        ];
        for (body, code) in rows {
            assert_eq!(message(body).unwrap_err().code, code, "{body:?}");
        }
    }

    #[test]
    fn a_status_message_fits_a_header() {
        assert_eq!(encoded("a b\n100% é"), "a b%0A100%25 %C3%A9");
    }
}
