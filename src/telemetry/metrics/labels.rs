//! Label values that are closed lists.

use http::{Method, StatusCode};

use crate::token::TokenError;

/// A request's method, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodLabel {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// Every other one.
    Other,
}

impl MethodLabel {
    /// The label of a method.
    pub fn of(method: &Method) -> Self {
        match method.as_str() {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// The label's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "other",
        }
    }
}

/// The class of an answer's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// 100 to 199; an upgrade is 101.
    Informational,
    /// 200 to 299.
    Success,
    /// 300 to 399.
    Redirection,
    /// 400 to 499.
    ClientError,
    /// 500 and above.
    ServerError,
    /// No answer was sent.
    None,
}

impl StatusClass {
    /// The class of the status that was sent, if one was.
    pub fn of(status: Option<StatusCode>) -> Self {
        match status.map(|status| status.as_u16()) {
            None => Self::None,
            Some(..200) => Self::Informational,
            Some(200..300) => Self::Success,
            Some(300..400) => Self::Redirection,
            Some(400..500) => Self::ClientError,
            Some(500..) => Self::ServerError,
        }
    }

    /// The label's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::None => "none",
        }
    }
}

/// How an attempt at an upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// No connection: refused, unreachable, a name that does not resolve.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The TLS handshake or the certificate.
    Tls,
    /// The upstream was silent for too long.
    ReadTimeout,
    /// The upstream did not take the request in time.
    WriteTimeout,
    /// The upstream closed or reset the connection before its answer was whole.
    Closed,
    /// The answer is not HTTP.
    InvalidAnswer,
    /// Anything else.
    Other,
}

impl UpstreamError {
    /// The label's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::ReadTimeout => "read_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Closed => "closed",
            Self::InvalidAnswer => "invalid_answer",
            Self::Other => "other",
        }
    }
}

/// What kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A WebSocket.
    WebSocket,
    /// Server-sent events, or `multipart/x-mixed-replace`.
    EventStream,
    /// gRPC, calls of one message included.
    Grpc,
}

impl StreamKind {
    /// The label's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::EventStream => "event_stream",
            Self::Grpc => "grpc",
        }
    }
}

/// Why a connection was refused before anything was done for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedConnection {
    /// There are as many as the limits allow.
    Connections,
    /// Its address has as many as the limits allow.
    Address,
}

impl RefusedConnection {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Connections, Self::Address];

    /// The label's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
        }
    }
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The token that opened it has expired.
    Expired,
    /// The client has closed it.
    ClientClosed,
    /// The upstream has closed it, at its end or by breaking off.
    UpstreamClosed,
    /// Nothing came for too long.
    Idle,
    /// The client stopped to take the answer, or to send the rest of what it had begun.
    Stalled,
    /// The gateway stopped.
    Shutdown,
    /// It was open for as long as the limits say.
    Overdue,
    /// The gateway could not go on.
    Failed,
}

impl StreamEnd {
    /// The label's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::ClientClosed => "client_closed",
            Self::UpstreamClosed => "upstream_closed",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Shutdown => "shutdown",
            Self::Overdue => "overdue",
            Self::Failed => "failed",
        }
    }
}

/// Why the edge ended an exchange, a stream or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutCause {
    /// The token of a stream has expired.
    Expired,
    /// The request body did not come, or too slowly.
    BodyStalled,
    /// The framing of the request body is broken.
    BodyMalformed,
    /// The answer was not taken, or too slowly.
    WriteStalled,
    /// An HTTP/2 preface, frame or header block was not finished.
    FrameStalled,
    /// Too many HTTP/2 frames that ask for nothing.
    Flooded,
    /// The gateway stopped.
    Shutdown,
    /// The exchange lived as long as it may.
    Overdue,
    /// An HTTP/2 stream whose frames are no request.
    StreamRefused,
    /// An HTTP/2 connection whose frames break the protocol.
    Http2Error,
}

impl CutCause {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Expired,
        Self::BodyStalled,
        Self::BodyMalformed,
        Self::WriteStalled,
        Self::FrameStalled,
        Self::Flooded,
        Self::Shutdown,
        Self::Overdue,
        Self::StreamRefused,
        Self::Http2Error,
    ];

    /// The label's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::BodyStalled => "body_stalled",
            Self::BodyMalformed => "body_malformed",
            Self::WriteStalled => "write_stalled",
            Self::FrameStalled => "frame_stalled",
            Self::Flooded => "flooded",
            Self::Shutdown => "shutdown",
            Self::Overdue => "overdue",
            Self::StreamRefused => "stream_refused",
            Self::Http2Error => "http2_error",
        }
    }
}

/// How a TLS handshake of a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeResult {
    /// The connection is encrypted.
    Ok,
    /// The client left, or the two do not agree.
    Failed,
    /// It took too long.
    Timeout,
}

impl HandshakeResult {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Timeout];

    /// The label's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }
}

/// The `result` label of a verification.
pub(super) fn verification(result: Result<(), TokenError>) -> &'static str {
    result.map_or_else(TokenError::code, |()| "ok")
}
