//! The request target in the one form that the proxy below takes, before anything else reads the head.
//!
//! The absolute form (RFC 9112 section 3.2.2) becomes the origin form, and quotes in a query are escaped. Whatever the proxy would
//! refuse by itself, in words of its own and unseen by the audit, is refused here; what the target means is decided in `target`.

use memchr::{memchr, memchr3};

use super::{split_at, trim};
use crate::request::{Host, TargetError, target};

/// `head`, which the scan has accepted, with its target in origin form; `None` where it has that form already.
///
/// # Errors
/// For any other form, and for an absolute one that does not agree with the Host field. CONNECT names no path at all.
pub fn in_origin_form(head: &[u8]) -> Result<Option<Vec<u8>>, TargetError> {
    let (method, rest) = split_at(head, memchr(b' ', head)).ok_or(TargetError::NotOriginForm)?;
    let (target, rest) = split_at(rest, memchr(b' ', rest)).ok_or(TargetError::NotOriginForm)?;
    // SECURITY: the proxy below answers these by itself, unseen by the audit: `every_request_leaves_one_line_refused_ones_too`.
    if method == b"CONNECT" {
        return Err(TargetError::NotOriginForm);
    }
    // SECURITY: the proxy below would cut it off and go on: `a_target_with_two_readings_is_refused`.
    if memchr(b'#', target).is_some() {
        return Err(TargetError::Fragment);
    }
    let local = if target.starts_with(b"/") {
        target
    } else {
        target::absolute(target, &host(rest).ok_or(TargetError::AuthorityMismatch)?)?
    };
    let (path, query) = local.split_at(memchr(b'?', local).unwrap_or(local.len()));
    target::check_bytes(path)?;
    let quotes = memchr3(b'"', b'<', b'>', query).is_some();
    if local.len() == target.len() && !quotes {
        return Ok(None);
    }
    // Only an absolute form can have no path (RFC 9110 section 4.2.3).
    let path = if path.is_empty() { b"/" } else { path };
    let query = if quotes { target::escape_quotes(query) } else { query.to_vec() };
    Ok(Some([method, b" ", path, &query, b" ", rest].concat()))
}

/// The Host field: the scan has seen to it that there is one.
fn host(lines: &[u8]) -> Option<Host> {
    lines.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = split_at(line, memchr(b':', line))?;
        if !name.eq_ignore_ascii_case(b"host") {
            return None;
        }
        Host::parse(trim(value.strip_suffix(b"\r").unwrap_or(value))).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, expect: Result<Option<&str>, TargetError>) {
        let rest = "HTTP/1.1\r\nA: b\r\nhOsT:  app \r\nC: d\r\n\r\n";
        let found = in_origin_form(format!("GET {target} {rest}").as_bytes());
        let expect = expect.map(|target| target.map(|target| format!("GET {target} {rest}").into_bytes()));
        assert_eq!(found, expect, "{target}");
    }

    #[test]
    fn an_absolute_target_becomes_the_origin_form() {
        check("/a?b", Ok(None));
        check("//app/a", Ok(None));
        check("http://app/a?b", Ok(Some("/a?b")));
        check("HTTP://APP:80/a", Ok(Some("/a")));
        check("https://app", Ok(Some("/")));
        check("http://app?b", Ok(Some("/?b")));
        check("http://app//b", Ok(Some("//b")));
        check("/a?\"<b>'", Ok(Some("/a?%22%3Cb%3E'")));
    }

    #[test]
    fn a_target_of_another_form_or_for_another_host_is_refused() {
        for target in ["*", "a", "app:443", "foo://app/a", "http:/a", "http:/\\a"] {
            check(target, Err(TargetError::NotOriginForm));
        }
        for target in ["http://other/a", "http://app:81/", "http://x@app/", "http:///a"] {
            check(target, Err(TargetError::AuthorityMismatch));
        }
        for target in ["/a#b", "/a?b#", "/#", "http://app/a#b"] {
            check(target, Err(TargetError::Fragment));
        }
        for target in ["/a<b", "/a>b", "/a`b", "/a\"b", "/{a}", "http://app/a^b"] {
            check(target, Err(TargetError::ForbiddenByte));
        }
        for target in ["app:443", "/a", "http://app/a"] {
            let head = format!("CONNECT {target} HTTP/1.1\r\nHost: app\r\n\r\n");
            assert_eq!(in_origin_form(head.as_bytes()), Err(TargetError::NotOriginForm), "{target}");
        }
    }
}
