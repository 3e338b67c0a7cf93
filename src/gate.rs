//! The line: from a request that has one reading to a [`Permit`] or a [`Denial`].
//!
//! [`Generation::admit`] is the only maker of permits and the only evaluator; every front door builds a [`RequestView`] and calls it. Pure: no
//! clock, no network, one generation from start to end. The one thing that may be awaited, the fetch of an unknown key, is done around it.

mod denial;
mod permit;
pub mod source;
mod state;
pub mod vocabulary;

pub use denial::{Denial, Face};
pub use permit::Permit;
pub use state::{Generation, Live};

use std::sync::Arc;

use crate::{
    identity::{AuthenticationError, Demands, Held, Principal},
    policy::{Body, Decision, DenyReason, Findings, OnDeny, Query, Route},
    request::RequestView,
    time::UnixTime,
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
}

/// What was learnt on the way, also when the way ends in a denial. For the audit record only: nothing is decided on it.
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
}

impl Generation {
    /// Admits one request, or says why not.
    ///
    /// # Errors
    /// The first check that failed, in the order of the line: route, credential, token, attributes, rules, identity.
    pub fn admit(
        &self,
        view: &RequestView<'_>,
        body: Body<'_>,
        now: UnixTime,
        seen: &mut Seen,
    ) -> Result<Admission, Denial> {
        let matched = self.policies.route(view)?;
        let route = Arc::clone(matched.route);
        seen.route = Some(Arc::clone(&route));

        let demands = Demands {
            authentication: route.authentication,
            accepts: Accepts { token_use: route.token_use, providers: route.providers.as_deref() },
        };
        let held = Held { keys: &self.keys, cache: &self.cache };
        let authenticated = self.authenticator.authenticate(view, demands, held, now)?;
        seen.cache_hit = authenticated.cache_hit;
        let principal = authenticated.principal;
        seen.principal = Some(principal.clone());

        let query = Query { principal: &principal, matched: &matched, view, body, now };

        match self.policies.decide(query, &mut seen.findings) {
            Decision::Allow(rule) => {
                let identity = self.headers_for(&principal)?;
                Ok(Admission::Permit(Permit::grant(route, rule, identity, authenticated.source.is_some())))
            }
            Decision::NeedsBody => Ok(Admission::NeedsBody { limit: self.settings.limits.decision_body_bytes }),
            Decision::AttributeMalformed => Err(Denial::AttributeMalformed),
            Decision::Deny(reason) => Err(denied(&principal, &route, reason)),
        }
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
