//! A session's head as the one reading that is decided on.

use std::{net::IpAddr, sync::Arc};

use http::{Version, header};
use pingora::http::RequestHeader;

use crate::{
    gate::{Denial, Generation},
    request::{
        ClientCertificate, Forwarded, Headers, Host, Lookup, RequestView, Target,
        wire::{self, HeadLimits, Malformation},
    },
};

/// The parts of a request that are parsed once: target, host, and who sent it.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) target: Target,
    pub(super) host: Host,
    pub(super) forwarded: Forwarded,
    websocket: bool,
    event_stream: bool,
    client_certificate: Option<Arc<ClientCertificate>>,
}

/// What kind of answer a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// One that comes to an end by itself.
    Message,
    /// Server-sent events, or the messages of a gRPC call: it may be silent for long.
    EventStream,
    /// A tunnel: likewise.
    WebSocket,
}

/// What the connection knows of its client.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) secure: bool,
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

impl Reading {
    /// Reads a head from which reserved and nominated fields were removed. An HTTP/1 head was judged on its wire bytes already.
    pub(super) fn of(request: &RequestHeader, peer: Peer, generation: &Generation) -> Result<Self, Denial> {
        let settings = generation.settings();
        let headers = Headers::new(&request.headers);
        let host = if request.version == Version::HTTP_2 {
            let limits = HeadLimits { headers: settings.limits.headers, target_bytes: settings.limits.target_bytes };
            wire::check_h2(&request.uri, &request.headers, limits)?
        } else {
            host(headers)?
        };
        let target = Target::parse(request.raw_path(), &host)?;
        let forwarded = settings.trusted_proxies.forwarded(peer.address, peer.secure, &host, headers);
        let (websocket, event_stream) =
            (is_websocket(request, headers), wants_event_stream(headers) || is_grpc(headers));
        Ok(Self { target, host, forwarded, websocket, event_stream, client_certificate: peer.certificate })
    }

    /// What a decision may look at.
    pub(super) fn view<'a>(&'a self, request: &'a RequestHeader) -> RequestView<'a> {
        RequestView {
            method: &request.method,
            host: &self.host,
            path: &self.target.path,
            query: self.target.query(),
            headers: Headers::new(&request.headers),
            client: self.forwarded.client,
            secure: self.forwarded.secure,
            websocket: self.websocket,
            client_certificate: self.client_certificate.as_deref(),
        }
    }

    /// What kind of answer the client asks for.
    pub(super) fn asks_for(&self) -> Answer {
        match (self.websocket, self.event_stream) {
            (true, _) => Answer::WebSocket,
            (false, true) => Answer::EventStream,
            (false, false) => Answer::Message,
        }
    }
}

fn host(headers: Headers<'_>) -> Result<Host, Denial> {
    match headers.single(&header::HOST) {
        Lookup::One(value) => Host::parse(value.as_bytes()).map_err(|_| Denial::Malformed(Malformation::Host)),
        Lookup::Absent => Err(Denial::Malformed(Malformation::MissingHost)),
        Lookup::Repeated | Lookup::Malformed => Err(Denial::Malformed(Malformation::RepeatedHost)),
    }
}

/// Anything that some reader takes for a WebSocket handshake (RFC 6455 section 4.1): the proxy looks at one `Upgrade` field of several.
fn is_websocket(request: &RequestHeader, headers: Headers<'_>) -> bool {
    let names = |value: &http::HeaderValue| value.as_bytes().to_ascii_lowercase();
    // SECURITY: held by `a_second_upgrade_field_does_not_hide_a_websocket`.
    request.version != Version::HTTP_2
        && headers.all(&header::UPGRADE).any(|value| memchr::memmem::find(&names(value), b"websocket").is_some())
}

/// Every `EventSource` asks for its own media type (HTML, section 9.2).
fn wants_event_stream(headers: Headers<'_>) -> bool {
    headers.all(&header::ACCEPT).any(|value| memchr::memmem::find(value.as_bytes(), b"text/event-stream").is_some())
}

/// A gRPC call may be a stream; its head does not tell.
fn is_grpc(headers: Headers<'_>) -> bool {
    headers.all(&header::CONTENT_TYPE).any(|value| value.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn websocket(fields: &[&str]) -> bool {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for field in fields {
            request.append_header("Upgrade", *field).unwrap();
        }
        is_websocket(&request, Headers::new(&request.headers))
    }

    #[test]
    fn a_second_upgrade_field_does_not_hide_a_websocket() {
        for fields in [
            &["websocket", "websocket"][..],
            &["WebSocket", "foo"],
            &["foo", "websocket"],
            &["h2c, websocket"],
            &["websocket/13"],
        ] {
            assert!(websocket(fields), "{fields:?}");
        }
        assert!(websocket(&["websocket"]) && !websocket(&[]) && !websocket(&["h2c"]));
    }
}
