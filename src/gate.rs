//! The line: from a request that has one reading to a [`Permit`] or a [`Denial`].
//!
//! [`Generation::admit`] is the only maker of permits and the only evaluator; every front door builds a [`RequestView`] and calls it. Pure: no
//! clock, no network, one generation from start to end. The one thing that may be awaited, the fetch of an unknown key, is done around it.

mod cross_origin;
mod denial;
mod metering;
mod permit;
pub mod source;
mod state;
mod trial;
pub mod vocabulary;

pub use cross_origin::{CrossOrigin, Preflight};
pub use denial::{Denial, Face, RetryAfter};
pub use metering::Tally;
pub use permit::Permit;
pub use state::{Generation, Live};
pub use trial::{Trial, denials};

use std::sync::Arc;

use crate::{
    identity::{AuthenticationError, Demands, Held, Principal},
    policy::{Body, Decision, DenyReason, Findings, OnDeny, Query, Route, RouteFault, RouteMatch},
    request::RequestView,
    time::Now,
    token::Accepts,
};

/// What the line came to, short of a denial.
#[derive(Debug)]
pub enum Admission {
    /// Forward it.
    Permit(Permit),
    /// Every check that needs no body has passed: read at most so many bytes of JSON and ask again.
    NeedsBody {
        /// Bytes.
        limit: usize,
    },
    /// It is a preflight: answer it, and forward nothing.
    Preflight(Preflight),
}

/// What was learnt on the way, also when the way ends in a denial. For the audit record and the fields of the answer; but for the tally,
/// nothing is decided on it.
#[derive(Debug, Default)]
pub struct Seen {
    /// The route that matched.
    pub route: Option<Arc<Route>>,
    /// Who asked, once that was known.
    pub principal: Option<Principal>,
    /// A verified token was found in the cache (`true`), or had to be verified (`false`).
    pub cache_hit: Option<bool>,
    /// The rule that decided, and what it looked at.
    pub findings: Findings,
    /// What the answer says to pages of other origins.
    pub cross_origin: Option<CrossOrigin>,
    /// It was a preflight, and was answered with yes.
    pub is_preflight: bool,
    /// The limits that it was counted against. Whoever asks the gate once more for one request hands it on.
    pub tally: Tally,
}

impl Generation {
    /// Admits one request, or says why not.
    ///
    /// # Errors
    /// The first check that failed, in the order of the line: route, limits, credential, token, attributes, rules, identity.
    pub fn admit(
        &self,
        view: &RequestView<'_>,
        body: Body<'_>,
        now: Now,
        seen: &mut Seen,
    ) -> Result<Admission, Denial> {
        if let Some(answer) = self.preflight(view, seen) {
            return answer.map(Admission::Preflight);
        }
        let matched = self.find_route(view, seen)?;
        let route = Arc::clone(matched.route);
        self.metering.arrived(&route, view.client, now.moment, &mut seen.tally)?;

        let demands = Demands {
            authentication: route.authentication,
            accepts: Accepts { token_use: route.token_use, providers: route.providers.as_deref() },
        };
        let held = Held { keys: &self.keys, cache: &self.cache };
        let authenticated = self.authenticator.authenticate(view, demands, held, now.time)?;
        seen.cache_hit = authenticated.cache_hit;
        let principal = authenticated.principal;
        seen.principal = Some(principal.clone());

        self.metering.authenticated(&route, (&principal, view.client), now.moment, &mut seen.tally)?;

        let query = Query { principal: &principal, matched: &matched, view, body, now: now.time };

        match self.policies.decide(query, &mut seen.findings) {
            Decision::Allow(rule) => {
                let identity = self.headers_for(&principal)?;
                self.metering.allowed(&route, now.moment, &mut seen.tally)?;
                Ok(Admission::Permit(Permit::grant(route, rule, identity, authenticated.source.is_some())))
            }
            Decision::NeedsBody => Ok(Admission::NeedsBody { limit: self.settings.limits.decision_body_bytes }),
            Decision::AttributeMalformed => Err(Denial::AttributeMalformed),
            Decision::Deny(reason) => Err(denied(&principal, &route, reason)),
        }
    }

    /// The route that takes the request, and what its answers say to other origins. A 405 says what another route of that path says.
    fn find_route<'v>(&'v self, view: &RequestView<'v>, seen: &mut Seen) -> Result<RouteMatch<'v>, Denial> {
        let found = self.policies.route(view);
        let cors = match &found {
            Ok(matched) => matched.route.cors.as_ref(),
            Err(RouteFault::MethodNotAllowed { .. }) => self.policies.cors_at(view),
            Err(RouteFault::NoRoute) => None,
        };
        seen.cross_origin = cors.map(|cors| CrossOrigin::of(cors, view));
        seen.route = found.as_ref().ok().map(|matched| Arc::clone(matched.route));
        Ok(found?)
    }
}

/// How a "no" of the rules is told: whoever has not signed in is asked to, everybody else hears no, or nothing.
fn denied(principal: &Principal, route: &Route, reason: DenyReason) -> Denial {
    match (principal, route.on_deny) {
        (Principal::Anonymous, _) => Denial::Authentication(AuthenticationError::Missing),
        (Principal::User(_) | Principal::Machine(_), OnDeny::Forbidden) => Denial::Forbidden(reason),
        (Principal::User(_) | Principal::Machine(_), OnDeny::NotFound) => Denial::Concealed(reason),
    }
}

#[cfg(feature = "gateway")]
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
