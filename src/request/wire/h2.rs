//! The rules of the frame for an HTTP/2 request, whose fields are parsed already (RFC 9113 section 8).

use http::{
    HeaderMap, HeaderName, Uri,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE},
};

use super::{HeadLimits, Malformation, WireFault, is_length, is_token, trim};
use crate::request::Host;

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Judges an HTTP/2 request by its `:scheme`, `:authority` and `:path` (`uri`) and its fields; answers the host that it names.
pub fn check_h2(uri: &Uri, headers: &HeaderMap, limits: HeadLimits) -> Result<Host, WireFault> {
    if headers.len() > limits.headers {
        return Err(WireFault::TooManyHeaders);
    }
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.target_bytes) {
        return Err(WireFault::TargetTooLong);
    }
    match (uri.scheme_str(), uri.authority()) {
        // A scheme without an authority does not fit into a `Uri`.
        (Some("http" | "https"), _) | (None, None) => {}
        (Some(_), _) | (None, Some(_)) => return Err(Malformation::Scheme.into()),
    }
    fields(headers)?;
    Ok(host(uri, headers)?)
}

fn fields(headers: &HeaderMap) -> Result<(), Malformation> {
    for (name, value) in headers {
        // SECURITY: held by `a_field_that_http1_reads_in_another_way_is_refused`: h2 takes a name with a quote.
        if !is_token(name.as_str().as_bytes()) {
            return Err(Malformation::HeaderName);
        }
        if trim(value.as_bytes()).len() != value.len() {
            return Err(Malformation::Padded);
        }
    }
    // SECURITY: held by `a_connection_field_in_http2_is_refused`.
    let connection = [&CONNECTION, &KEEP_ALIVE, &PROXY_CONNECTION, &TRANSFER_ENCODING, &UPGRADE];
    if connection.into_iter().any(|name| headers.contains_key(name)) {
        return Err(Malformation::ConnectionField);
    }
    if headers.get_all(TE).iter().any(|value| value != "trailers") {
        return Err(Malformation::Te);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let valid = lengths.next().is_none_or(|length| is_length(length.as_bytes()));
    match lengths.next() {
        Some(_) => Err(Malformation::RepeatedContentLength),
        None if valid => Ok(()),
        None => Err(Malformation::ContentLength),
    }
}

/// `:authority`, or Host where a proxy translated an HTTP/1 request; both only when they are the same.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<Host, Malformation> {
    let parse = |raw: &[u8]| Host::parse(raw).map_err(|_| Malformation::Host);
    let authority = uri.authority().map(|authority| parse(authority.as_str().as_bytes())).transpose()?;
    let mut hosts = headers.get_all(HOST).iter();
    let field = hosts.next().map(|value| parse(value.as_bytes())).transpose()?;
    if hosts.next().is_some() {
        return Err(Malformation::RepeatedHost);
    }
    match (authority, field) {
        (None, None) => Err(Malformation::MissingHost),
        (Some(host), None) | (None, Some(host)) => Ok(host),
        // SECURITY: held by `a_host_that_differs_from_the_authority_is_refused`.
        (Some(authority), Some(host)) if authority == host => Ok(host),
        (Some(_), Some(_)) => Err(Malformation::HostDiffers),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { headers: 4, target_bytes: 16 };

    fn verdict(uri: &str, fields: &[(&'static str, &'static str)]) -> Result<String, WireFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            // As h2 makes a name.
            headers.append(HeaderName::from_lowercase(name.as_bytes()).unwrap(), HeaderValue::from_static(value));
        }
        check_h2(&uri.parse().unwrap(), &headers, LIMITS).map(|host| host.to_string())
    }

    fn check(fields: &[(&'static str, &'static str)], expect: Result<(), Malformation>) {
        let expect = expect.map(|()| "h:444".to_owned()).map_err(WireFault::Malformed);
        assert_eq!(verdict("https://h:444/a", fields), expect, "{fields:?}");
    }

    #[test]
    fn an_ordinary_http2_request_passes() {
        check(&[], Ok(()));
        check(&[("content-length", "5"), ("te", "trailers"), ("host", "H:444")], Ok(()));
        check(&[("x-connection", "close"), ("accept", "*/*")], Ok(()));
    }

    #[test]
    fn a_connection_field_in_http2_is_refused() {
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            for value in ["close", "chunked", "", "websocket"] {
                check(&[(name, value)], Err(Malformation::ConnectionField));
            }
        }
        for value in ["gzip", "trailers, gzip", "", "Trailers", "trailers;q=1"] {
            check(&[("te", value)], Err(Malformation::Te));
        }
        check(&[("te", "trailers"), ("te", "gzip")], Err(Malformation::Te));
    }

    #[test]
    fn a_field_that_http1_reads_in_another_way_is_refused() {
        check(&[("x", "a b\tc"), ("x-!#$%&'*+-.^_`|~1", "")], Ok(()));
        check(&[("x\"y", "a")], Err(Malformation::HeaderName));
        for value in [" a", "a ", "\ta", "a\t", " ", "\t"] {
            check(&[("x", value)], Err(Malformation::Padded));
        }
    }

    #[test]
    fn a_repeated_or_odd_content_length_in_http2_is_refused() {
        check(&[("content-length", "5"), ("content-length", "5")], Err(Malformation::RepeatedContentLength));
        for value in ["", "5, 5", "+5", "-1", "0x5", "5;", "\"5\"", "12345678901234567890"] {
            check(&[("content-length", value)], Err(Malformation::ContentLength));
        }
    }

    #[test]
    fn a_host_that_differs_from_the_authority_is_refused() {
        check(&[("host", "h")], Err(Malformation::HostDiffers));
        check(&[("host", "evil:444")], Err(Malformation::HostDiffers));
        check(&[("host", "h:444"), ("host", "h:444")], Err(Malformation::RepeatedHost));
        for odd in ["", "h/evil", "h,evil", "u@h:444"] {
            check(&[("host", odd)], Err(Malformation::Host));
        }
    }

    #[test]
    fn an_authority_that_is_not_a_host_is_refused() {
        for uri in ["https://u@h/", "https://u:p@h/", "https://127.1/", "https://h./"] {
            assert_eq!(verdict(uri, &[]), Err(Malformation::Host.into()), "{uri}");
        }
    }

    #[test]
    fn a_request_without_authority_needs_a_host() {
        assert_eq!(verdict("/a", &[("host", "h")]), Ok("h".to_owned()));
        assert_eq!(verdict("/a", &[]), Err(Malformation::MissingHost.into()));
    }

    #[test]
    fn a_scheme_that_is_not_http_is_refused() {
        for uri in ["ftp://h/", "ws://h/", "h:443"] {
            assert_eq!(verdict(uri, &[]), Err(Malformation::Scheme.into()), "{uri}");
        }
        assert!(verdict("http://h/", &[]).is_ok());
    }

    #[test]
    fn an_http2_request_over_the_limits_is_refused() {
        let field = ("x", "1");
        assert!(verdict("https://h/", &[field; 4]).is_ok());
        assert_eq!(verdict("https://h/", &[field; 5]), Err(WireFault::TooManyHeaders));
        assert_eq!(verdict("https://h/23456789?123456", &[]), Ok("h".to_owned()));
        assert_eq!(verdict("https://h/23456789?1234567", &[]), Err(WireFault::TargetTooLong));
    }
}
