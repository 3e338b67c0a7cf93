//! Header fields asked for by name, where a repeated one is told apart from a single one.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Lookup;

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

    /// Every value under that name, in order.
    pub fn all(&self, name: &HeaderName) -> impl Iterator<Item = &'a HeaderValue> + use<'a> {
        self.0.get_all(name).iter()
    }

    /// Every field, in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> + use<'a> {
        self.0.iter()
    }
}
