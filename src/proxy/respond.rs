//! Writes a [`Denial`] to the client, keeping the connection where that is safe.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::{Error, ErrorType, Result, http::ResponseHeader, protocols::http::HttpTask, proxy::Session};

use super::{annotate::annotate, body, exchange::Exchange, forward, stream};
use crate::{
    gate::{Denial, Face, Preflight},
    request::ReservedHeaders,
};

/// A body that is announced and not larger than this is read and thrown away, so that the connection can be kept.
const WORTH_DRAINING: u64 = 16 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Answers with the denial's face, and notes it in the exchange.
pub(super) async fn refuse(session: &mut Session, exchange: &mut Exchange, denial: Denial) -> Result<()> {
    let face = denial.face();
    let body = face.body(exchange.request_id());
    let mut head = if is_grpc(session) {
        grpc_head(&face, exchange.request_id())?
    } else {
        problem_head(&face, &denial, body.len(), exchange.request_id())?
    };
    if denial.tells_policy() {
        annotate(&mut head, &exchange.seen)?;
    }
    // Of a body that stalls or breaks nobody knows where it ends.
    let is_lost = matches!(denial, Denial::RequestTimeout | Denial::Malformed(_));
    exchange.settle(denial);
    keep_or_close(session, is_lost || exchange.is_draining());
    let without_body = is_grpc(session) || session.req_header().method == http::Method::HEAD;
    if session.is_http2() && without_body {
        // Ended by the very frame that holds the head: gRPC knows an answer without messages by that. The session's own way to write a
        // head leaves the stream open.
        let head = HttpTask::Header(Box::new(head), true);
        return session.as_downstream_mut().response_duplex_vec(vec![head]).await.map(drop);
    }
    session.write_response_header(Box::new(head), without_body).await?;
    if !without_body {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// Answers a preflight with yes. Nothing is forwarded.
pub(super) async fn preflight(session: &mut Session, exchange: &mut Exchange, preflight: Preflight) -> Result<()> {
    let mut head = ResponseHeader::build(StatusCode::NO_CONTENT, Some(8))?;
    for (name, value) in preflight.fields() {
        head.insert_header(name, value)?;
    }
    head.insert_header(header::VARY, Preflight::VARY)?;
    head.insert_header("x-request-id", exchange.request_id())?;
    exchange.answered_preflight();
    keep_or_close(session, exchange.is_draining());
    if session.is_http2() {
        let head = HttpTask::Header(Box::new(head), true);
        return session.as_downstream_mut().response_duplex_vec(vec![head]).await.map(drop);
    }
    session.write_response_header(Box::new(head), true).await
}

fn problem_head(face: &Face, denial: &Denial, length: usize, request_id: &str) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(face.status, Some(8))?;
    head.insert_header(header::CONTENT_TYPE, "application/problem+json")?;
    head.insert_header(header::CONTENT_LENGTH, length)?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    head.insert_header("x-request-id", request_id)?;
    if let Some(challenge) = face.challenge {
        head.insert_header(header::WWW_AUTHENTICATE, challenge)?;
    }
    if let Some(after) = face.retry_after {
        head.insert_header(header::RETRY_AFTER, after.to_string())?;
    }
    if let Some(allow) = denial.allow() {
        head.insert_header(header::ALLOW, allow.clone())?;
    }
    Ok(head)
}

/// gRPC callers read a status of their own, in an answer that has no body ("Trailers-Only").
fn grpc_head(face: &Face, request_id: &str) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(5))?;
    head.insert_header(header::CONTENT_TYPE, "application/grpc")?;
    head.insert_header("grpc-status", grpc_status(face.status))?;
    head.insert_header("grpc-message", face.code)?;
    head.insert_header("x-request-id", request_id)?;
    Ok(head)
}

/// Ends an answer of gRPC that was begun with the status that its callers look for, instead of a reset that they must guess about.
pub(super) async fn break_off_grpc(session: &mut Session, denial: &Denial) {
    if !is_grpc(session) {
        return;
    }
    let face = denial.face();
    let trailers = HeaderMap::from_iter([
        (HeaderName::from_static("grpc-status"), HeaderValue::from_static(grpc_status(face.status))),
        (HeaderName::from_static("grpc-message"), HeaderValue::from_static(face.code)),
    ]);
    let end = HttpTask::Trailer(Some(Box::new(trailers)));
    if let Err(error) = session.as_downstream_mut().response_duplex_vec(vec![end]).await {
        tracing::debug!(%error, "the client is gone before the end");
    }
}

/// The gRPC project's own table from HTTP statuses, refined where the gateway knows better.
fn grpc_status(status: u16) -> &'static str {
    match status {
        401 => "16",
        403 => "7",
        404 | 405 => "12",
        400 | 415 => "3",
        413 | 429 | 431 => "8",
        408 | 504 => "4",
        502 | 503 => "14",
        _ => "13",
    }
}

/// Over HTTP/1 there are no trailers, and so no gRPC.
pub(super) fn is_grpc(session: &Session) -> bool {
    session.is_http2() && stream::is_grpc(&session.req_header().headers)
}

/// Without an unread body the connection is kept; a small announced one is read first; anything else ends it.
fn keep_or_close(session: &mut Session, must_close: bool) {
    if must_close {
        session.set_keepalive(None);
    }
    if session.is_http2() || session.as_downstream_mut().is_body_done() {
        return;
    }
    if is_worth_draining(&session.req_header().headers) {
        session.set_close_on_response_before_downstream_finish(false);
        session.set_total_drain_timeout(Some(DRAIN_TIME));
    } else {
        session.set_keepalive(None);
    }
}

/// Whether a body that nobody wants is small, and surely comes.
fn is_worth_draining(request: &HeaderMap) -> bool {
    // SECURITY: a client that waits for 100 may leave the body out, and its next request would be taken for it:
    // `a_body_that_waits_for_100_is_not_drained`.
    !request.contains_key(header::EXPECT) && body::announced(request).is_some_and(|bytes| bytes <= WORTH_DRAINING)
}

/// The upstream's answer on its way to the client: no identity, the route's own edits, and the request's id.
pub(super) fn edit(response: &mut ResponseHeader, exchange: &Exchange) -> Result<()> {
    let edits = &exchange.admission()?.permit.route().response_headers;
    strip(response, exchange.serving.generation.reserved_headers());
    for name in &edits.remove {
        response.remove_header(name);
    }
    for (name, value) in &edits.set {
        response.insert_header(name.clone(), value.clone())?;
    }
    annotate(response, &exchange.seen)?;
    response.insert_header("x-request-id", exchange.request_id())?;
    Ok(())
}

/// Refuses an answer whose end two readers could see at different places.
///
/// # Errors
/// When it is transferred in any other way than `chunked`, or in a version that knows none.
pub(super) fn check_framing(response: &ResponseHeader) -> Result<()> {
    let codings: Vec<_> =
        response.headers.get_all(header::TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes).collect();
    let is_plain = match codings.as_slice() {
        [] => true,
        [coding] => coding.eq_ignore_ascii_case(b"chunked") && response.version == Version::HTTP_11,
        [_, _, ..] => false,
    };
    // SECURITY: held by `only_chunked_answers_have_a_coding`.
    if is_plain {
        Ok(())
    } else {
        Err(Error::explain(ErrorType::InvalidHTTPHeader, "the answer's transfer coding is not `chunked`").into_up())
    }
}

/// What a client must not see of an answer: what the upstream says about its own connection, which is of no account beyond it (RFC 9110
/// section 7.6.1), and identities, which are for the upstream: nobody behind the gateway must take its word for one. `Transfer-Encoding`
/// stays: pingora frames the answer anew by it.
fn strip(response: &mut ResponseHeader, reserved: &ReservedHeaders) {
    let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
    // SECURITY: held by `what_concerns_the_upstreams_connection_does_not_reach_the_client`.
    let nominated = if switches { Vec::new() } else { forward::nominated(&response.headers) };
    let is_hop = |name: &HeaderName| {
        let text = name.as_str();
        matches!(text, "connection" | "keep-alive" | "te" | "upgrade") || text.starts_with("proxy-")
    };
    let is_of_the_connection = |name: &HeaderName| !switches && (is_hop(name) || nominated.contains(name));
    // SECURITY: `an_identity_header_of_the_upstream_does_not_reach_the_client`.
    let is_refused = |name: &&HeaderName| is_of_the_connection(name) || reserved.is_reserved(name);
    let found: Vec<_> = response.headers.keys().filter(is_refused).cloned().collect();
    for name in found {
        response.remove_header(&name);
    }
}

/// Frames the answer for the version that the client speaks; the gateway's own is HTTP/1.1.
pub(super) fn frame(session: &mut Session, response: &mut ResponseHeader) {
    response.set_version(Version::HTTP_11);
    // SECURITY: it would take the chunks for the body (RFC 9112 section 6.1), so what is sent ends with the connection:
    // `a_client_of_http_1_0_is_sent_no_chunks`.
    if session.req_header().version == Version::HTTP_10 && response.remove_header(&header::TRANSFER_ENCODING).is_some()
    {
        session.set_keepalive(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_waits_for_100_is_not_drained() {
        let mut request = HeaderMap::new();
        assert!(!is_worth_draining(&request), "chunked");
        request.insert(header::CONTENT_LENGTH, HeaderValue::from(WORTH_DRAINING + 1));
        assert!(!is_worth_draining(&request));
        request.insert(header::CONTENT_LENGTH, HeaderValue::from(WORTH_DRAINING));
        assert!(is_worth_draining(&request));
        request.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        assert!(!is_worth_draining(&request));
    }

    #[test]
    fn only_chunked_answers_have_a_coding() {
        let check = |version, codings: &[&str]| {
            let mut response = ResponseHeader::build(200, None).unwrap();
            response.set_version(version);
            codings.iter().for_each(|coding| _ = response.append_header("Transfer-Encoding", *coding).unwrap());
            check_framing(&response).is_ok()
        };
        for codings in [&[][..], &["chunked"], &["Chunked"]] {
            assert!(check(Version::HTTP_11, codings), "{codings:?}");
        }
        for codings in
            [&["gzip"][..], &["gzip, chunked"], &["chunked, gzip"], &["chunked", "chunked"], &["xchunked"], &[""]]
        {
            assert!(!check(Version::HTTP_11, codings), "{codings:?}");
        }
        assert!(!check(Version::HTTP_10, &["chunked"]) && check(Version::HTTP_10, &[]) && check(Version::HTTP_2, &[]));
    }

    #[test]
    fn what_concerns_the_upstreams_connection_does_not_reach_the_client() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("Connection", "close, X-Hop"),
            ("Connection", "x-more, Content-Length, Transfer-Encoding, Set-Cookie"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "Basic"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Anything", "1"),
            ("Upgrade", "h2c"),
            ("TE", "trailers"),
            ("X-Hop", "1"),
            ("X-More", "1"),
            ("Set-Cookie", "a=b"),
            ("Content-Length", "3"),
            ("X-Kept", "1"),
        ] {
            response.append_header(name, value).unwrap();
        }
        strip(&mut response, &ReservedHeaders::new(&[]));
        let mut left: Vec<_> = response.headers.keys().map(http::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "x-kept"]);

        let mut switch = ResponseHeader::build(101, None).unwrap();
        switch.append_header("Connection", "Upgrade").unwrap();
        switch.append_header("Upgrade", "websocket").unwrap();
        strip(&mut switch, &ReservedHeaders::new(&[]));
        assert_eq!(switch.headers.len(), 2);
    }

    #[test]
    fn an_identity_header_of_the_upstream_does_not_reach_the_client() {
        let reserved = ReservedHeaders::new(&[http::HeaderName::from_static("x-user")]);
        let mut response = ResponseHeader::build(200, None).unwrap();
        for name in ["X-Auth-Request-User", "x_auth.request-email", "X-User", "x_user", "X-Users", "Content-Type"] {
            response.append_header(name, "root").unwrap();
            response.append_header(name, "more").unwrap();
        }
        strip(&mut response, &reserved);
        let mut left: Vec<_> = response.headers.keys().map(http::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "x-users"]);
    }
}
