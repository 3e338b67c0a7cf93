//! Header fields asked for by name, where a repeated one is told apart from a single one.
//!
//! Which fields a request may hold at all is decided before: `reserved` names those to remove.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Lookup, reserved::is_alias};

/// The header fields of one request.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(&'a HeaderMap);

impl<'a> Headers<'a> {
    /// The fields of a request from which identity headers were removed.
    pub fn new(fields: &'a HeaderMap) -> Self {
        Self(fields)
    }

    /// The field of that name, if it stands there once.
    pub fn single(&self, name: &HeaderName) -> Lookup<&'a HeaderValue> {
        let mut values = self.0.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Lookup::Absent,
            (Some(value), None) => Lookup::One(value),
            (Some(_), Some(_)) => Lookup::Repeated,
        }
    }

    /// The text of the field of that name, for a decision to compare.
    ///
    /// [`Lookup::Malformed`] when it is not UTF-8 or has a control character, and when it stands there only under an alias (`x_tenant`
    /// for `x-tenant`), which some upstreams would take for it. Beside the field itself an alias is a repetition.
    pub fn text(&self, name: &HeaderName) -> Lookup<&'a str> {
        // SECURITY: held by `a_second_tenant_under_an_alias_is_not_overlooked`.
        let aliased = self.0.keys().any(|other| is_alias(other, name));
        match self.single(name) {
            Lookup::Absent if aliased => Lookup::Malformed,
            Lookup::One(_) if aliased => Lookup::Repeated,
            Lookup::One(value) => readable(value).map_or(Lookup::Malformed, Lookup::One),
            Lookup::Absent => Lookup::Absent,
            Lookup::Repeated => Lookup::Repeated,
            Lookup::Malformed => Lookup::Malformed,
        }
    }

    /// Every value under that name, in order.
    pub fn all(&self, name: &HeaderName) -> impl Iterator<Item = &'a HeaderValue> + use<'a> {
        self.0.get_all(name).iter()
    }

    /// Every field, in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> + use<'a> {
        self.0.iter()
    }
}

/// The value as text: UTF-8 without control characters.
fn readable(value: &HeaderValue) -> Option<&str> {
    let text = str::from_utf8(value.as_bytes()).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&str, &[u8])]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    fn text(map: &HeaderMap) -> Lookup<&str> {
        Headers::new(map).text(&HeaderName::from_static("x-tenant"))
    }

    #[test]
    fn a_single_field_is_found_in_any_case() {
        let map = fields(&[("X-Tenant", b"blue"), ("accept", b"*/*")]);
        assert_eq!(text(&map), Lookup::One("blue"));
        assert_eq!(Headers::new(&map).single(&HeaderName::from_static("accept")), Lookup::One(&map["accept"]));
        assert_eq!(Headers::new(&map).iter().count(), 2);
    }

    #[test]
    fn utf8_is_text_and_other_bytes_are_malformed() {
        assert_eq!(text(&fields(&[("x-tenant", "blåbær".as_bytes())])), Lookup::One("blåbær"));
        assert_eq!(text(&fields(&[("x-tenant", b"")])), Lookup::One(""));
        for value in [b"\xff".as_slice(), b"\xc0\xaf", b"a\tb", b"a\xc2\x85b"] {
            assert_eq!(text(&fields(&[("x-tenant", value)])), Lookup::Malformed, "{value:?}");
        }
    }

    #[test]
    fn a_repeated_field_is_not_read_as_its_first_value() {
        let map = fields(&[("x-tenant", b"blue"), ("X-Tenant", b"blue")]);
        assert_eq!(text(&map), Lookup::Repeated);
        assert_eq!(Headers::new(&map).single(&HeaderName::from_static("x-tenant")), Lookup::Repeated);
        assert_eq!(Headers::new(&map).all(&HeaderName::from_static("x-tenant")).count(), 2);
    }

    #[test]
    fn a_second_tenant_under_an_alias_is_not_overlooked() {
        for alias in ["x_tenant", "x.tenant", "X~Tenant"] {
            assert_eq!(text(&fields(&[("x-tenant", b"blue"), (alias, b"red")])), Lookup::Repeated, "{alias}");
            assert_eq!(text(&fields(&[(alias, b"red")])), Lookup::Malformed, "{alias}");
        }
        assert_eq!(text(&fields(&[("x-tenants", b"red"), ("xtenant", b"red")])), Lookup::Absent);
    }
}
