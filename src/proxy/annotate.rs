//! What an answer says of the route's own policy: which pages may read it, and how many requests are left.
//!
//! On the upstream's answers and the gateway's own alike: a browser shows a page nothing of an answer that it may not read, not even the
//! status.

use http::{HeaderName, HeaderValue, header};
use pingora::{Result, http::ResponseHeader};

use crate::gate::Seen;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Writes both kinds of fields. `Access-Control-*` of the upstream go where the route has its own; limits of the upstream stay beside ours
/// (draft-ietf-httpapi-ratelimit-headers-11).
pub(super) fn annotate(head: &mut ResponseHeader, seen: &Seen) -> Result<()> {
    if let Some(cross_origin) = &seen.cross_origin {
        // SECURITY: two sets have two readings: `the_cors_fields_of_the_upstream_are_replaced`.
        remove_cors(head);
        for (name, value) in cross_origin.fields() {
            head.insert_header(name, value)?;
        }
        vary(head, header::ORIGIN.as_str())?;
    }
    let policy = seen.route.as_ref().and_then(|route| route.rate_limits.policy.as_ref());
    if let Some(policy) = policy {
        head.append_header(RATE_LIMIT_POLICY, policy.clone())?;
        if let Some(left) = seen.tally.field() {
            head.append_header(RATE_LIMIT, left)?;
        }
    }
    Ok(())
}

fn remove_cors(head: &mut ResponseHeader) {
    let names: Vec<_> =
        head.headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in names {
        head.remove_header(&name);
    }
}

/// Adds a field's name to `Vary`, unless it is there (RFC 9110 section 12.5.5).
fn vary(head: &mut ResponseHeader, name: &str) -> Result<()> {
    let values: Vec<&[u8]> = head.headers.get_all(header::VARY).iter().map(HeaderValue::as_bytes).collect();
    let mut members = values.iter().flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    if members.any(|member| member == b"*" || member.eq_ignore_ascii_case(name.as_bytes())) {
        return Ok(());
    }
    let mut all = values.join(&b", "[..]);
    if !all.is_empty() {
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(name.as_bytes());
    // The parts were values, and so is the whole.
    if let Ok(value) = HeaderValue::from_bytes(&all) {
        head.insert_header(header::VARY, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varied(fields: &[&str]) -> Vec<String> {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for field in fields {
            head.append_header("Vary", *field).unwrap();
        }
        vary(&mut head, "origin").unwrap();
        head.headers.get_all("vary").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn vary_is_merged_with_that_of_the_upstream() {
        assert_eq!(varied(&[]), ["origin"]);
        assert_eq!(varied(&["Accept-Encoding"]), ["Accept-Encoding, origin"]);
        assert_eq!(varied(&["Accept", "Accept-Encoding, Cookie"]), ["Accept, Accept-Encoding, Cookie, origin"]);
        for done in [&["*"][..], &["Origin"], &["Accept , ORIGIN"], &["Accept", "origin"]] {
            assert_eq!(varied(done), done);
        }
        assert_eq!(varied(&["X-Origin"]), ["X-Origin, origin"]);
    }
}
