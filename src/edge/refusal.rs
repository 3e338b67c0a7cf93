//! What the edge refuses by itself, before there is a request.
//!
//! The edge says what is wrong, the application says how that is told: it also counts and audits it.

use std::{net::SocketAddr, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};

use super::{conn::Cut, tls::Handshake};

/// Why a connection or a request head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeRefusal {
    /// The head breaks the grammar of HTTP/1, or its framing has two readings: 400 `request_malformed`.
    Malformed,
    /// The target has more than one reading: 400 `target_ambiguous`.
    Ambiguous,
    /// The method is CONNECT, which never passes: 405 `method_not_allowed`, with `Allow`.
    Connect,
    /// The head is larger than the limits allow: 431 `headers_too_large`.
    HeadersTooLarge,
    /// The head did not arrive in time: 408 `request_timeout`.
    Timeout,
    /// There are as many connections as the limits allow: 503 `overloaded`, with `Retry-After`.
    Overloaded,
}

impl EdgeRefusal {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            EdgeRefusal::Malformed | EdgeRefusal::Ambiguous => 400,
            EdgeRefusal::Connect => 405,
            EdgeRefusal::HeadersTooLarge => 431,
            EdgeRefusal::Timeout => 408,
            EdgeRefusal::Overloaded => 503,
        }
    }

    /// Its word in the closed vocabulary.
    pub const fn code(self) -> &'static str {
        match self {
            EdgeRefusal::Malformed => "request_malformed",
            EdgeRefusal::Ambiguous => "target_ambiguous",
            EdgeRefusal::Connect => "method_not_allowed",
            EdgeRefusal::HeadersTooLarge => "headers_too_large",
            EdgeRefusal::Timeout => "request_timeout",
            EdgeRefusal::Overloaded => "overloaded",
        }
    }
}

/// How refusals are told: by the gateway, and by the admin server.
pub trait Refusals: Send + Sync {
    /// The whole HTTP/1.1 answer, as it goes over the wire; [`closing_answer`] writes one. Called once for each refusal, so it is the
    /// place to count and audit it. A TLS client over the cap is refused without reading it: the handshake would cost too much.
    fn answer(&self, refusal: EdgeRefusal, peer: SocketAddr) -> Bytes;

    /// Something happened that no answer tells of. Nobody needs to keep account of it.
    fn note(&self, _event: EdgeEvent) {}
}

/// What the edge did by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeEvent {
    /// A connection was refused: there are as many as the limits allow.
    Crowded,
    /// A connection was refused: its address has as many as the limits allow.
    AddressCrowded,
    /// A TLS handshake is over.
    Handshake(Handshake),
    /// An exchange or a connection was ended.
    Cut(Cut),
    /// An HTTP/2 stream was refused below the application: what it sent is no request.
    StreamRefused,
    /// An HTTP/2 connection was ended below the application, for what the client sent.
    ConnectionRefused,
}

/// What the edge serves.
pub(super) struct Served<A> {
    pub(super) app: Arc<A>,
    pub(super) refusals: Arc<dyn Refusals>,
}

/// A whole HTTP/1.1 answer that closes the connection. `fields` must be valid header fields, without framing ones.
pub fn closing_answer(status: http::StatusCode, fields: &[(&str, &str)], body: &[u8]) -> Bytes {
    let mut wire = BytesMut::with_capacity(256 + body.len());
    wire.put_slice(b"HTTP/1.1 ");
    wire.put_slice(status.as_str().as_bytes());
    wire.put_u8(b' ');
    wire.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    wire.put_slice(b"\r\n");
    for (name, value) in fields {
        wire.put_slice(name.as_bytes());
        wire.put_slice(b": ");
        wire.put_slice(value.as_bytes());
        wire.put_slice(b"\r\n");
    }
    wire.put_slice(b"Content-Length: ");
    wire.put_slice(body.len().to_string().as_bytes());
    wire.put_slice(b"\r\nConnection: close\r\n\r\n");
    wire.put_slice(body);
    wire.freeze()
}
