//! Turns a [`Permit`] into the request that goes upstream.
//!
//! Removes every header field that the gateway could ever set, then sets the ones that this permit carries. Both steps always run:
//! a field that is merely not set would let the client's own value through. Called once for each attempt, on a fresh copy.

use http::{HeaderValue, Uri, Version, header};
use pingora::{Error, ErrorType, Result, http::RequestHeader};

use super::exchange::Admitted;
use crate::{
    config::UpstreamHost,
    identity::{cookie_pairs, join_cookies},
    request::{Headers, ReservedHeaders},
};

/// Removes what no client may say: identity headers, aliases of framing fields, overrides of method and path.
pub(super) fn strip_reserved(request: &mut RequestHeader, reserved: &ReservedHeaders) {
    let refused: Vec<_> = request.headers.keys().filter(|name| reserved.removes(name)).cloned().collect();
    for name in refused {
        request.remove_header(&name);
    }
}

/// Removes the fields that `Connection` nominates, so that nothing is decided on what is not forwarded (RFC 9110 section 7.6.1).
pub(super) fn strip_nominated(request: &mut RequestHeader) {
    for name in nominated(&request.headers) {
        request.remove_header(&name);
    }
}

/// The fields that `Connection` nominates, but for those that are not its to nominate.
pub(super) fn nominated(headers: &http::HeaderMap) -> Vec<http::HeaderName> {
    Headers::new(headers)
        .all(&header::CONNECTION)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        // Mostly an option that names no field, such as `keep-alive`.
        .filter(|name| headers.contains_key(*name))
        .filter_map(|name| name.parse::<http::HeaderName>().ok())
        .filter(|name| !KEPT_THOUGH_NOMINATED.contains(name))
        .collect()
}

/// Removes an `Upgrade` that `Connection` does not name: it asks for nothing (RFC 9110 section 7.8), but some readers take it for a
/// handshake. On HTTP/2 the field is an error, which is told elsewhere.
pub(super) fn strip_unasked_upgrade(request: &mut RequestHeader) {
    let names_upgrade = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    let asks = Headers::new(&request.headers).all(&header::CONNECTION).any(names_upgrade);
    // SECURITY: `an_odd_upgrade_opens_no_tunnel`.
    if request.version != Version::HTTP_2 && !(asks && request.version == Version::HTTP_11) {
        request.remove_header(&header::UPGRADE);
    }
}

/// Left for the proxy, which handles them as connection options. Those that frame or name the host are refused on the wire already.
const KEPT_THOUGH_NOMINATED: [http::HeaderName; 7] = [
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TRAILER,
];

/// Writes one attempt: target, host, identity, forwarding fields, the route's own edits.
///
/// # Errors
/// An internal error when a value that was checked long before does not fit; the request is then not forwarded.
pub(super) fn apply(request: &mut RequestHeader, admitted: &Admitted, host: &UpstreamHost) -> Result<()> {
    let (permit, reading) = (&admitted.permit, &admitted.reading);
    // SECURITY: once more on the copy that is sent, on each attempt: `what_a_filter_put_back_is_stripped_from_the_copy_that_is_sent`.
    strip_reserved(request, admitted.serving.generation.reserved_headers());
    // HTTP/2 says the host beside the target, which is replaced; pingora puts it back there.
    if let Some(authority) = request.uri.authority().map(|authority| authority.as_str().to_owned())
        && !request.headers.contains_key(&header::HOST)
    {
        request.insert_header(header::HOST, authority)?;
    }
    request.set_uri(uri(&admitted.wire_target)?);

    for place in admitted.credentials_to_remove() {
        let Some((field, rest)) = place.take_out(Headers::new(&request.headers)) else { continue };
        request.remove_header(&field);
        if let Some(rest) = rest {
            request.insert_header(field, rest)?;
        }
    }
    one_cookie_field(request)?;
    if let UpstreamHost::Named(name) = host {
        request.insert_header(header::HOST, name)?;
    }
    let edits = &permit.route().request_headers;
    for name in &edits.remove {
        request.remove_header(name);
    }
    for (name, value) in &edits.set {
        request.insert_header(name.clone(), value.clone())?;
    }
    request.insert_header("x-request-id", admitted.request_id.as_str())?;
    request.insert_header("x-forwarded-for", reading.forwarded.chain.as_str())?;
    request.insert_header("x-forwarded-proto", reading.forwarded.proto())?;
    request.insert_header("x-forwarded-host", reading.forwarded.host.as_str())?;
    for (name, value) in permit.identity() {
        request.insert_header(name.clone(), value.clone())?;
    }
    Ok(())
}

fn uri(wire: &str) -> Result<Uri> {
    Uri::builder()
        .path_and_query(wire)
        .build()
        .map_err(|cause| Error::because(ErrorType::InternalError, "the canonical target is no URI", cause))
}

/// HTTP/1.1 has one `Cookie` field at most (RFC 9113 section 8.2.3).
fn one_cookie_field(request: &mut RequestHeader) -> Result<()> {
    let headers = Headers::new(&request.headers);
    if headers.all(&header::COOKIE).count() > 1 {
        match join_cookies(cookie_pairs(headers)) {
            Some(joined) => request.insert_header(header::COOKIE, joined)?,
            None => drop(request.remove_header(&header::COOKIE)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc};

    use super::*;
    use crate::{
        gate::testing::{PUBLIC, generation, permit},
        proxy::{
            Serving, Upstreams,
            reading::{Peer, Reading},
            request_id::RequestId,
        },
        reload::Trust,
    };

    #[test]
    fn what_a_filter_put_back_is_stripped_from_the_copy_that_is_sent() {
        let generation = generation("upstreams: [ { id: app, endpoints: ['http://127.0.0.1:9'] } ]", PUBLIC);
        let upstreams = Arc::new(Upstreams::build(generation.settings(), &[Trust::platform()], None));
        let mut request = RequestHeader::build("GET", b"/public?a", None).unwrap();
        request.insert_header("host", "app").unwrap();
        let peer = Peer { address: IpAddr::from([127, 0, 0, 1]), secure: false, certificate: None };
        let admitted = Admitted {
            permit: permit(&generation).unwrap(),
            reading: Reading::of(&request, peer, &generation).unwrap(),
            wire_target: "/public?a".to_owned(),
            request_id: RequestId::new(),
            serving: Arc::new(Serving { generation, upstreams }),
        };
        for name in ["X-Auth-Request-User", "X_Auth_Request_Groups", "X-HTTP-Method-Override", "Transfer_Encoding"] {
            request.insert_header(name, "root").unwrap();
        }
        apply(&mut request, &admitted, &UpstreamHost::Preserve).unwrap();
        let mut names: Vec<_> = request.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"]);
    }
}
