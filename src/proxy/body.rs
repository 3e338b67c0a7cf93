//! Request bodies: refused by their announced length, and read when a decision needs one.
//!
//! A body that a decision needs is read whole, within the limit, before anything goes upstream; pingora keeps the bytes and sends the same
//! ones. One that does not fit is refused, never left unchecked.

use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, header};
use pingora::proxy::Session;
use serde_json::Value;

use crate::{
    gate::Denial,
    json,
    request::{Headers, Lookup, wire::Malformation},
};

/// Refuses a body whose announced length is past `limit` bytes, before any of it is read.
pub(super) fn refuse_announced(session: &Session, limit: u64) -> Result<(), Denial> {
    match announced(&session.req_header().headers) {
        Some(length) if length > limit => Err(Denial::BodyTooLarge),
        Some(_) | None => Ok(()),
    }
}

/// The announced length of a body, in bytes.
pub(super) fn announced(request: &HeaderMap) -> Option<u64> {
    request.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What pingora keeps of a body to send it once more.
const REPLAYABLE: u64 = 64 * 1024;

/// Whether all of the request is surely kept while it is sent, so that it can be sent once more.
pub(super) fn is_replayable(session: &mut Session) -> bool {
    session.as_downstream_mut().is_body_empty()
        || announced(&session.req_header().headers).is_some_and(|bytes| bytes <= REPLAYABLE)
}

/// Reads the whole body as one JSON document of at most `limit` bytes.
pub(super) async fn read_for_decision(session: &mut Session, limit: usize, stall: Duration) -> Result<Value, Denial> {
    must_be_plain_json(session)?;
    refuse_announced(session, u64::try_from(limit).unwrap_or(u64::MAX))?;
    if session.get_header(header::EXPECT).is_some() {
        session.set_close_on_response_before_downstream_finish(false);
        session.write_continue_response().await.map_err(|_| Denial::RequestTimeout)?;
        session.req_header_mut().remove_header(&header::EXPECT);
    }
    // The retry buffer is what pingora sends from once the body has been read here. It holds 64 KiB, and so does the largest limit.
    session.enable_retry_buffering();
    let mut body = BytesMut::new();
    while !session.is_body_done() {
        let chunk = tokio::time::timeout(stall, session.as_downstream_mut().read_request_body()).await;
        let chunk = chunk.map_err(|_| Denial::RequestTimeout)?;
        let Some(chunk) = chunk.map_err(|_| Denial::Malformed(Malformation::Body))? else { break };
        // SECURITY: what is not read is not decided on: `a_body_past_the_decision_limit_is_refused`.
        if body.len() + chunk.len() > limit {
            return Err(Denial::BodyTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    if session.as_ref().retry_buffer_truncated() {
        return Err(Denial::BodyTooLarge);
    }
    json::value(&body).ok_or(Denial::AttributeMalformed)
}

/// `application/json`, optionally with `charset=utf-8`, and no coding.
fn must_be_plain_json(session: &Session) -> Result<(), Denial> {
    let headers = Headers::new(&session.req_header().headers);
    let is_json = match headers.single(&header::CONTENT_TYPE) {
        Lookup::One(value) => is_plain_json(value),
        Lookup::Absent | Lookup::Repeated | Lookup::Malformed => false,
    };
    let is_coded = headers.all(&header::CONTENT_ENCODING).next().is_some();
    if is_json && !is_coded { Ok(()) } else { Err(Denial::BodyUnsupported) }
}

fn is_plain_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    kind.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| {
            parameter.eq_ignore_ascii_case("charset=utf-8") || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
        })
}
