//! Which answers are streams, when they must end, and how they ended.
//!
//! A stream is what can outlive the token that opened it by its nature: a WebSocket, an event stream, a gRPC call. A download is none,
//! however long it takes: it was decided as a whole. Reads no clock; ends nothing by itself.

use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode, header};
use pingora::{Error, ErrorSource, ErrorType};

use crate::{
    config::Streams,
    edge::Cut,
    policy::StreamOverrides,
    telemetry::metrics::{StreamEnd, StreamKind},
};

/// A stream that was opened.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) kind: StreamKind,
    pub(super) opened: Instant,
    /// The upstream has said that this is the end.
    pub(super) is_ended: bool,
}

impl Stream {
    pub(super) fn new(kind: StreamKind) -> Self {
        Self { kind, opened: Instant::now(), is_ended: false }
    }

    /// How it ended, from what pingora says at the end of an exchange.
    pub(super) fn end(&self, error: Option<&Error>) -> StreamEnd {
        match error {
            Some(error) => match error.esource() {
                ErrorSource::Upstream if *error.etype() == ErrorType::ReadTimedout => StreamEnd::Idle,
                ErrorSource::Upstream => StreamEnd::UpstreamClosed,
                ErrorSource::Downstream => StreamEnd::ClientClosed,
                ErrorSource::Internal | ErrorSource::Unset => StreamEnd::Failed,
            },
            // Both sides of a tunnel may end it; of anything else only the upstream can do so without an error.
            None if self.kind == StreamKind::WebSocket && !self.is_ended => StreamEnd::ClientClosed,
            None => StreamEnd::UpstreamClosed,
        }
    }
}

/// How a stream ended that the edge has ended.
pub(super) fn end_of_cut(cut: Cut) -> StreamEnd {
    match cut {
        Cut::Expired => StreamEnd::Expired,
        Cut::Shutdown => StreamEnd::Shutdown,
        Cut::Overdue => StreamEnd::Overdue,
        Cut::BodyStalled | Cut::BodyMalformed | Cut::WriteStalled | Cut::FrameStalled | Cut::Flooded => {
            StreamEnd::Stalled
        }
    }
}

/// What an answer with this head opens, if it is a stream.
pub(super) fn kind_of(method: &Method, status: StatusCode, answer: &HeaderMap) -> Option<StreamKind> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Some(StreamKind::WebSocket);
    }
    let has_no_body = *method == Method::HEAD || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    if has_no_body || status.is_informational() {
        return None;
    }
    let essence = essence(answer)?;
    let is = |name: &[u8]| essence.eq_ignore_ascii_case(name);
    if is(b"text/event-stream") || is(b"multipart/x-mixed-replace") {
        return Some(StreamKind::EventStream);
    }
    let grpc = essence.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    // Also gRPC-Web.
    (grpc && matches!(essence.get(GRPC.len()), None | Some(b'+' | b'-'))).then_some(StreamKind::Grpc)
}

const GRPC: &[u8] = b"application/grpc";

/// The media type of a message, without its parameters.
fn essence(fields: &HeaderMap) -> Option<&[u8]> {
    let value = fields.get(header::CONTENT_TYPE)?.as_bytes();
    value.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii)
}

/// Whether a message is one of gRPC, and not of gRPC-Web, whose callers read HTTP statuses.
pub(super) fn is_grpc(fields: &HeaderMap) -> bool {
    let Some((start, rest)) = essence(fields).and_then(|essence| essence.split_at_checked(GRPC.len())) else {
        return false;
    };
    start.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+'))
}

/// How long streams may go on whose token is good for `remaining`; `None` is for as long as they like.
pub(super) fn time_left(settings: Streams, route: StreamOverrides, remaining: Duration) -> Option<Duration> {
    let grace = route.expiry_grace.unwrap_or(settings.expiry_grace);
    // A route that names a grace wants an end.
    let ends = route.end_at_expiry.unwrap_or(settings.end_at_expiry || route.expiry_grace.is_some());
    ends.then(|| remaining.saturating_add(grace))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of_type(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
    }

    #[test]
    fn a_stream_is_known_by_its_media_type_in_any_spelling() {
        for (text, kind) in [
            ("text/event-stream", Some(StreamKind::EventStream)),
            ("Text/Event-Stream; charset=utf-8", Some(StreamKind::EventStream)),
            ("text/event-stream ;x", Some(StreamKind::EventStream)),
            ("multipart/x-mixed-replace; boundary=frame", Some(StreamKind::EventStream)),
            ("application/grpc", Some(StreamKind::Grpc)),
            ("Application/gRPC+proto", Some(StreamKind::Grpc)),
            ("application/grpc-web-text", Some(StreamKind::Grpc)),
            ("application/grpcx", None),
            ("text/event-streams", None),
            ("application/octet-stream", None),
            ("application/json; x=text/event-stream", None),
        ] {
            assert_eq!(kind_of(&Method::GET, StatusCode::OK, &of_type(text)), kind, "{text}");
        }
        assert_eq!(kind_of(&Method::GET, StatusCode::OK, &HeaderMap::new()), None);
        assert_eq!(kind_of(&Method::HEAD, StatusCode::OK, &of_type("text/event-stream")), None);
        let switched = kind_of(&Method::GET, StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new());
        assert_eq!(switched, Some(StreamKind::WebSocket));
    }

    #[test]
    fn a_grpc_caller_is_known_in_any_spelling_and_a_web_caller_is_none() {
        for text in ["application/grpc", "application/grpc+proto", "APPLICATION/GRPC", "application/grpc ; x=y"] {
            assert!(is_grpc(&of_type(text)), "{text}");
        }
        for text in ["application/grpc-web", "application/grpc-web-text+proto", "application/grpcfoo", "text/plain", ""]
        {
            assert!(!is_grpc(&of_type(text)), "{text}");
        }
    }

    #[test]
    fn a_route_has_the_last_word_on_the_end_of_its_streams() {
        let second = Duration::from_secs(1);
        let settings = |end_at_expiry, expiry_grace| Streams { end_at_expiry, expiry_grace };
        let route = |end_at_expiry, expiry_grace| StreamOverrides { end_at_expiry, expiry_grace };
        let left = |settings, route| time_left(settings, route, second);
        assert_eq!(left(Streams::default(), StreamOverrides::default()), Some(second));
        assert_eq!(left(settings(true, second), StreamOverrides::default()), Some(second * 2));
        assert_eq!(left(settings(false, second), StreamOverrides::default()), None);
        assert_eq!(left(settings(true, second), route(Some(false), None)), None);
        assert_eq!(left(settings(false, second), route(Some(true), None)), Some(second * 2));
        assert_eq!(left(settings(true, second), route(None, Some(second * 2))), Some(second * 3));
        assert_eq!(left(settings(false, second), route(None, Some(Duration::ZERO))), Some(second));
    }
}
