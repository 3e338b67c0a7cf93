//! The targets of HTTP/1 heads that pingora would read in its own way, brought into the one form that it passes on unchanged.
//!
//! pingora cuts a fragment off before anybody sees it, takes fewer absolute forms for agreeing than RFC 9110 section 4.2.3 does, and
//! answers some characters by itself. So such a target is judged here, on the wire bytes, and written anew or refused.

use std::ops::Range;

use memchr::{memchr, memchr2, memchr3, memrchr};

use crate::request::{Host, Target, TargetError};

/// A target that must stand in the place of the one that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Where the target stands in the head.
    pub place: Range<usize>,
    /// The same target in origin form.
    pub target: String,
}

/// What must stand in the place of the target of `head`, a judged one; `None` for nearly every head.
///
/// # Errors
/// [`TargetError`] for a target that is looked at and has no single reading. The others are judged with the request.
pub fn in_origin_form(head: &[u8]) -> Result<Option<Rewrite>, TargetError> {
    let place = place(head).ok_or(TargetError::NotOriginForm)?;
    let raw = head.get(place.clone()).unwrap_or_default();
    // SECURITY: held by `a_fragment_is_refused_before_it_is_cut_off`.
    let odd = memchr3(b'#', b'<', b'>', raw).or_else(|| memchr2(b'"', b'`', raw));
    if raw.starts_with(b"/") && odd.is_none() {
        return Ok(None);
    }
    let host = host(head).ok_or(TargetError::AuthorityMismatch)?;
    let target = Target::parse(raw, &host)?.wire();
    Ok(Some(Rewrite { place, target }))
}

/// Between the two spaces of the request line.
fn place(head: &[u8]) -> Option<Range<usize>> {
    let line = head.get(..memchr(b'\n', head)?)?;
    let (start, end) = (memchr(b' ', line)? + 1, memrchr(b' ', line)?);
    (start <= end).then_some(start..end)
}

fn host(head: &[u8]) -> Option<Host> {
    let mut lines = head.split(|&byte| byte == b'\n').skip(1);
    let value = lines.find_map(|line| match line.split_at_checked(5) {
        Some((name, value)) if name.eq_ignore_ascii_case(b"host:") => Some(value),
        Some(_) | None => None,
    })?;
    Host::parse(value.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, host: &str, expect: Result<Option<&str>, TargetError>) {
        let head = format!("GET {target} HTTP/1.1\r\nX: Host\r\nhOST: {host} \r\n\r\n");
        let found = in_origin_form(head.as_bytes());
        if let Ok(Some(rewrite)) = &found {
            assert_eq!(head.get(rewrite.place.clone()), Some(target));
        }
        assert_eq!(found.map(|rewrite| rewrite.map(|rewrite| rewrite.target)), expect.map(|to| to.map(str::to_owned)));
    }

    #[test]
    fn an_ordinary_target_is_left_alone() {
        for target in ["/", "/a/b?c=d&e='|{}^\\[]%zz", "/a/../b", "/a%2Fb", "/%61"] {
            check(target, "h", Ok(None));
        }
    }

    #[test]
    fn a_fragment_is_refused_before_it_is_cut_off() {
        for target in ["/a#b", "/a?b#c", "/#", "/public#/../admin", "http://h/a#b"] {
            check(target, "h", Err(TargetError::Fragment));
        }
        check("http://h#a", "h", Err(TargetError::NotOriginForm));
    }

    #[test]
    fn an_absolute_form_that_agrees_with_the_host_becomes_origin_form() {
        check("http://h/a?b", "h", Ok(Some("/a?b")));
        check("HTTP://H:80/a", "h", Ok(Some("/a")));
        check("https://h/%61", "h:443", Ok(Some("/a")));
        check("http://h", "h", Ok(Some("/")));
        check("http://h?a", "h", Ok(Some("/?a")));
    }

    #[test]
    fn an_absolute_form_for_another_host_is_refused() {
        for target in ["http://other/a", "http://h:81/a", "http://u@h/a", "http:///a", "http://h@other/a"] {
            check(target, "h", Err(TargetError::AuthorityMismatch));
        }
    }

    #[test]
    fn another_form_is_refused() {
        for target in ["admin", "*", "h:80", "?a", "ftp://h/a", "@h/a"] {
            check(target, "h", Err(TargetError::NotOriginForm));
        }
    }

    #[test]
    fn a_character_that_a_uri_does_not_take_is_escaped_in_a_query_and_refused_in_a_path() {
        check("/a?b=\"<c>\"`", "h", Ok(Some("/a?b=%22%3Cc%3E%22`")));
        for target in ["/a<b", "/a>b", "/a\"b", "/a`b"] {
            check(target, "h", Err(TargetError::ForbiddenByte));
        }
    }
}
