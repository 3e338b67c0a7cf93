//! The query: forwarded as it came, and read by name without a second reading.
//!
//! Pairs are split at `&`. Programs that also split at `;`, or that drop a `%` without digits, would find other names, so a
//! lookup answers [`Lookup::Malformed`] where they could differ about the name that is asked for.

use std::borrow::Cow;

use super::{
    Lookup,
    escape::{self, Plus},
};

/// The query as it came, without its `?`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a>(Option<&'a str>);

impl<'a> Query<'a> {
    /// The query of a target that was parsed; `None` where there is no `?`.
    pub fn new(raw: Option<&'a str>) -> Self {
        Self(raw)
    }

    /// As it goes on the wire, without its `?`; `None` where there is no `?`.
    pub fn as_str(&self) -> Option<&'a str> {
        self.0
    }

    /// The value of the one pair of that name, decoded. A name without `=` has an empty value.
    ///
    /// [`Lookup::Malformed`] when the value is not text once decoded, when any name in the query is not (some programs would
    /// repair it into the wanted one), or when a `;` makes the pair ambiguous.
    pub fn single(&self, name: &str) -> Lookup<Cow<'a, str>> {
        let mut found = None;
        for part in self.parts() {
            match Part::read(part, name) {
                Part::Other => {}
                Part::Unreadable => return Lookup::Malformed,
                Part::Wanted(_) if found.is_some() => return Lookup::Repeated,
                Part::Wanted(value) => found = Some(value),
            }
        }
        match found {
            None => Lookup::Absent,
            Some(raw) => escape::decode(raw, Plus::Space).map_or(Lookup::Malformed, Lookup::One),
        }
    }

    /// Every pair, decoded, in order; `None` in place of a pair that is not text once decoded.
    ///
    /// For showing and for counting. A decision asks [`Query::single`].
    pub fn pairs(&self) -> impl Iterator<Item = Option<(Cow<'a, str>, Cow<'a, str>)>> + use<'a> {
        self.parts().map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((escape::decode(name, Plus::Space)?, escape::decode(value, Plus::Space)?))
        })
    }

    fn parts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.unwrap_or_default().split('&').filter(|part| !part.is_empty())
    }
}

/// One `name=value` of the query, seen by somebody who looks for one name.
enum Part<'a> {
    Other,
    Wanted(&'a str),
    Unreadable,
}

impl<'a> Part<'a> {
    fn read(part: &'a str, wanted: &str) -> Self {
        // SECURITY: held by `a_semicolon_does_not_hide_a_second_owner`.
        if part.contains(';') {
            let other = part.split(';').all(|piece| named(piece, wanted) == Name::Other);
            return if other { Self::Other } else { Self::Unreadable };
        }
        match named(part, wanted) {
            Name::Other => Self::Other,
            // SECURITY: held by `a_stray_percent_in_a_name_does_not_hide_a_second_owner`.
            Name::Unreadable => Self::Unreadable,
            Name::Wanted => Self::Wanted(part.split_once('=').map_or("", |(_, value)| value)),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Name {
    Other,
    Wanted,
    Unreadable,
}

fn named(part: &str, wanted: &str) -> Name {
    let name = part.split_once('=').map_or(part, |(name, _)| name);
    match escape::decode(name, Plus::Space) {
        None => Name::Unreadable,
        Some(name) if name == wanted => Name::Wanted,
        Some(_) => Name::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, name: &str, expect: Lookup<&str>) {
        let expect = match expect {
            Lookup::One(value) => Lookup::One(Cow::Borrowed(value)),
            Lookup::Absent => Lookup::Absent,
            Lookup::Repeated => Lookup::Repeated,
            Lookup::Malformed => Lookup::Malformed,
        };
        assert_eq!(Query::new(Some(query)).single(name), expect, "{query:?} asked for {name:?}");
    }

    #[test]
    fn a_value_is_found_by_its_decoded_name() {
        check("owner=u-1", "owner", Lookup::One("u-1"));
        check("a=1&owner=u-1&b=2", "owner", Lookup::One("u-1"));
        check("%6Fwner=u-1", "owner", Lookup::One("u-1"));
        check("owner=u%2D1", "owner", Lookup::One("u-1"));
        check("full+name=a+b", "full name", Lookup::One("a b"));
        check("full%20name=a%2Bb", "full name", Lookup::One("a+b"));
        check("q=caf%C3%A9", "q", Lookup::One("café"));
        check("owner=a=b", "owner", Lookup::One("a=b"));
        check("owner", "owner", Lookup::One(""));
        check("owner=", "owner", Lookup::One(""));
        check("=x", "", Lookup::One("x"));
        check("&&owner=1&&", "owner", Lookup::One("1"));
    }

    #[test]
    fn a_name_that_is_not_there_is_absent() {
        assert_eq!(Query::new(None).single("owner"), Lookup::Absent);
        check("", "owner", Lookup::Absent);
        check("", "", Lookup::Absent);
        check("Owner=u-1", "owner", Lookup::Absent);
        check("owner2=u-1&xowner=1", "owner", Lookup::Absent);
        check("x=owner", "owner", Lookup::Absent);
        check("x=a;b", "owner", Lookup::Absent);
        check("owner%2520=1", "owner", Lookup::Absent);
    }

    #[test]
    fn a_second_owner_in_the_query_is_not_overlooked() {
        check("owner=u-1&owner=u-2", "owner", Lookup::Repeated);
        check("owner=u-1&owner=u-1", "owner", Lookup::Repeated);
        check("owner=u-1&%6fwner=u-2", "owner", Lookup::Repeated);
        check("owner&owner", "owner", Lookup::Repeated);
        check("owner=%FF&owner=1", "owner", Lookup::Repeated);
    }

    #[test]
    fn a_semicolon_does_not_hide_a_second_owner() {
        check("a=1;owner=u-2&owner=u-1", "owner", Lookup::Malformed);
        check("owner=u-1&a=1;owner=u-2", "owner", Lookup::Malformed);
        check("owner=u-1;a=1", "owner", Lookup::Malformed);
        check("owner;a=1", "owner", Lookup::Malformed);
        check("owner=u-1%3Ba", "owner", Lookup::One("u-1;a"));
        check("owner=u-1&a=1;b=2", "owner", Lookup::One("u-1"));
    }

    #[test]
    fn a_stray_percent_in_a_name_does_not_hide_a_second_owner() {
        check("own%er=u-2&owner=u-1", "owner", Lookup::Malformed);
        check("owner=u-1&own%zzer=u-2", "owner", Lookup::Malformed);
        check("owner=u-1&owner%00=u-2", "owner", Lookup::Malformed);
        check("owner=u-1&owne%F2=u-2", "owner", Lookup::Malformed);
        check("owner=u-1&a=1;own%er=u-2", "owner", Lookup::Malformed);
        check("owner=u-1&own%er;a=2", "owner", Lookup::Malformed);
    }

    #[test]
    fn a_value_that_is_not_text_is_malformed() {
        for value in ["%", "%2", "%zz", "%FF", "%C0%AF", "%E0%80%AE", "a%00", "%ED%A0%80"] {
            check(&format!("owner={value}"), "owner", Lookup::Malformed);
            check(&format!("x={value}&owner=1"), "owner", Lookup::One("1"));
        }
    }

    #[test]
    fn pairs_are_decoded_in_order_and_an_unreadable_one_keeps_its_place() {
        let pairs: Vec<_> = Query::new(Some("a=1&b+c=%20&%=2&d&&a=3")).pairs().collect();
        let pair = |name: &'static str, value: &'static str| Some((Cow::Borrowed(name), Cow::Borrowed(value)));
        assert_eq!(pairs, [pair("a", "1"), pair("b c", " "), None, pair("d", ""), pair("a", "3")]);
        assert_eq!(Query::new(None).pairs().count(), 0);
    }
}
