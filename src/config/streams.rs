//! The section `streams`: what becomes of WebSockets, event streams and gRPC calls when their token expires.

use super::{
    Streams,
    bounds::EXPIRY_GRACE,
    read::{duration, or},
};
use crate::yaml::Cursor;

/// Reads the section; every key has a default.
pub(super) fn streams(at: Option<&Cursor<'_>>) -> Option<Streams> {
    let Some(at) = at else { return Some(Streams::default()) };
    let mut map = at.map()?;
    let end_at_expiry = or(&mut map, "end_at_expiry", || Streams::default().end_at_expiry, Cursor::bool);
    let expiry_grace = duration(&mut map, "expiry_grace", &EXPIRY_GRACE);
    map.finish();
    Some(Streams { end_at_expiry: end_at_expiry?, expiry_grace: expiry_grace? })
}

impl Default for Streams {
    fn default() -> Self {
        Self { end_at_expiry: true, expiry_grace: EXPIRY_GRACE.default.duration() }
    }
}
