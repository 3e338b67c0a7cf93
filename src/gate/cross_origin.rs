//! What the line says to pages of other origins (Fetch, section 3.2): the answer to a preflight, and what stands on every other answer.
//!
//! A preflight is answered here or takes the normal line; it is never forwarded for being one. The rest of the line does not look at origins.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, header};

use super::{Denial, Generation, Seen};
use crate::{
    policy::Cors,
    request::{Lookup, RequestView},
};

/// What the answer to one request says to the page that asks.
#[derive(Clone, Debug)]
pub struct CrossOrigin {
    cors: Arc<Cors>,
    /// The value of `Access-Control-Allow-Origin`, where the page may read the answer.
    allowed: Option<HeaderValue>,
}

impl CrossOrigin {
    pub(super) fn of(cors: &Arc<Cors>, view: &RequestView<'_>) -> Self {
        Self { cors: Arc::clone(cors), allowed: cors.allows(view.headers) }
    }

    /// The `Access-Control-*` fields of the answer. None where the page may not read it.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.allowed.iter().flat_map(|origin| self.cors.answer(origin))
    }
}

/// A preflight that is answered with yes.
#[derive(Debug)]
#[must_use]
pub struct Preflight {
    cors: Arc<Cors>,
    allowed: HeaderValue,
}

impl Preflight {
    /// What the answer depends on.
    pub const VARY: &'static str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

    /// The `Access-Control-*` fields of the answer.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.cors.preflight(&self.allowed)
    }
}

impl Generation {
    /// The answer to a preflight for a route with `cors`; `None` for every other request.
    ///
    /// # Errors
    /// The origin, the method or a field is not listed.
    pub(super) fn preflight(&self, view: &RequestView<'_>, seen: &mut Seen) -> Option<Result<Preflight, Denial>> {
        let method = requested(view)?;
        let route = self.policies.route_by(view, &method)?;
        let cors = route.cors.as_ref()?;
        seen.route = Some(Arc::clone(route));
        seen.cross_origin = Some(CrossOrigin { cors: Arc::clone(cors), allowed: None });
        let allowed = cors.allows(view.headers).filter(|_| cors.takes(&method, view.headers));
        Some(allowed.ok_or(Denial::PreflightRefused).map(|allowed| {
            seen.is_preflight = true;
            Preflight { cors: Arc::clone(cors), allowed }
        }))
    }
}

/// The method that a preflight asks about (Fetch, section 4.8).
fn requested(view: &RequestView<'_>) -> Option<Method> {
    if view.method != Method::OPTIONS {
        return None;
    }
    let has_origin = view.headers.all(&header::ORIGIN).next().is_some();
    match view.headers.single(&header::ACCESS_CONTROL_REQUEST_METHOD) {
        Lookup::One(method) if has_origin => Method::from_bytes(method.as_bytes()).ok(),
        Lookup::One(_) | Lookup::Absent | Lookup::Repeated | Lookup::Malformed => None,
    }
}
