//! May they?
//!
//! Compiles policy files and decides queries on them. Deny by default; an evaluation error is never a silent `false`.
//! Knows no pingora, no clock, no file system: files arrive as text, `now` as an argument.
//! The rules of a route are asked first; where it names a resource, these only deny, and the Cerbos policies decide. Conditions have one evaluator.

mod attribute;
pub mod cerbos;
mod codes;
mod compile;
pub mod condition;
mod decision;
mod lint;
mod matrix;
mod observe;
mod read;
mod route;
mod rule;
pub mod suite;

pub use cerbos::SchemaFile;
pub use codes::CODES;
pub use compile::World;
pub use decision::{Body, Decision, DenyReason, Query, RuleId};
pub use matrix::{Sample, render as render_matrix};
pub use observe::Findings;
pub use route::{
    Cors, HeaderEdits, HostPattern, HostPatternError, MethodError, Methods, OnDeny, PathPattern, PatternError, RateKey,
    RateLimit, RateLimits, Route, RouteFault, RouteMatch, StreamOverrides, TimeoutOverrides,
};

use std::sync::Arc;

use http::Method;

use crate::{diagnostic::Report, request::RequestView, yaml::SourceFile};
use cerbos::{Engine, Judged};
use route::RouteTable;
use rule::{Asked, Guard, Malformed, Row, Verdict};

/// All policies of one generation. Never changes.
#[derive(Debug)]
pub struct PolicySet {
    routes: Vec<Arc<Route>>,
    table: RouteTable,
    cerbos: Engine,
}

impl PolicySet {
    /// Compiles files: all of them or none. The report holds every problem of every file, and the warnings.
    pub fn compile(files: &[SourceFile], world: &World<'_>) -> (Option<Self>, Report) {
        compile::compile(files, world)
    }

    /// The routes, in the order of the files.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The Cerbos policies, for whoever asks them without a route.
    pub fn cerbos(&self) -> &Engine {
        &self.cerbos
    }

    /// Finds the route that takes a request: by host, then path, then method.
    ///
    /// # Errors
    /// No route has the path, or none of those that have it takes the method.
    pub fn route<'a>(&'a self, view: &RequestView<'a>) -> Result<RouteMatch<'a>, RouteFault<'a>> {
        let taken = self.table.find(view.host.name(), view.path.as_str()).ok_or(RouteFault::NoRoute)?;
        let route = taken.by(view.method).and_then(|place| self.routes.get(place));
        let route = route.ok_or_else(|| RouteFault::MethodNotAllowed { allow: taken.allow() })?;
        Ok(RouteMatch::new(route, view.path))
    }

    /// The route that would take a request with that method: what a preflight asks about.
    pub fn route_by(&self, view: &RequestView<'_>, method: &Method) -> Option<&Arc<Route>> {
        let place = self.table.find(view.host.name(), view.path.as_str())?.by(method)?;
        self.routes.get(place)
    }

    /// What is said about other origins at the host and path of a request whose method no route takes.
    pub fn cors_at(&self, view: &RequestView<'_>) -> Option<&Arc<Cors>> {
        let routes = self.table.find(view.host.name(), view.path.as_str())?.routes();
        routes.filter_map(|place| self.routes.get(place)).find_map(|route| route.cors.as_ref())
    }

    /// Decides a query. What names the outcome in the audit line is left in `seen`, for refusals too.
    pub fn decide(&self, query: Query<'_>, seen: &mut Findings) -> Decision {
        let route = query.matched.route;
        seen.route = Some(route.id.clone());
        let asked = match Asked::new(&query) {
            Ok(asked) => asked,
            Err(Malformed) => return Decision::AttributeMalformed,
        };
        let may_deny = match route.rules.guard(&asked) {
            Guard::Passed => false,
            Guard::Unread => true,
            Guard::Denied(reason, row) => {
                seen.note(route, Some(row), Some(reason));
                return Decision::Deny(reason);
            }
        };
        if asked.has_resource() {
            return self.judge(&asked, may_deny, seen);
        }
        match route.rules.grant(&asked) {
            // SECURITY: held by `an_allow_that_needs_no_body_waits_for_a_deny_that_does`.
            Verdict::Allow(_) if may_deny => Decision::NeedsBody,
            Verdict::Allow(row) => {
                seen.note(route, Some(row), None);
                Decision::Allow(row.id.clone())
            }
            Verdict::Deny(reason, row) => {
                seen.note(route, row, Some(reason));
                Decision::Deny(reason)
            }
            Verdict::NeedsBody => Decision::NeedsBody,
        }
    }

    /// Asks the Cerbos policies about the resource of a route, once its guard-rails have been asked.
    fn judge(&self, asked: &Asked<'_>, may_deny: bool, seen: &mut Findings) -> Decision {
        let Some(judgement) = asked.judge(&self.cerbos) else {
            // SECURITY: held by `a_resource_whose_scope_is_absent_is_not_decided_by_the_root`.
            return Decision::Deny(DenyReason::NoRule);
        };
        let judged = match judgement.judged {
            Judged::NeedsBody => return Decision::NeedsBody,
            // SECURITY: held by `an_allow_that_needs_no_body_waits_for_a_deny_that_does`.
            Judged::Allow(_) if may_deny => return Decision::NeedsBody,
            judged @ (Judged::Allow(_) | Judged::Deny(..)) => judged,
        };
        seen.owner_source = asked.owner_source();
        let allowed = matches!(judged, Judged::Allow(_));
        seen.other_profile = judgement.disputed.then_some(if allowed { "deny" } else { "allow" });
        match judged {
            Judged::Allow(rule) => {
                seen.rule = Some(rule.clone());
                Decision::Allow(rule)
            }
            Judged::Deny(reason, rule) => {
                seen.rule = rule;
                Decision::Deny(reason)
            }
            Judged::NeedsBody => Decision::NeedsBody,
        }
    }
}

impl Findings {
    /// Names the rule that settled the matter, and where the owner stood if it took part.
    fn note(&mut self, route: &Route, row: Option<&Row>, denied: Option<DenyReason>) {
        let settles = match denied {
            None | Some(DenyReason::ExplicitDeny | DenyReason::EvaluationError) => true,
            Some(
                DenyReason::NotOwner | DenyReason::InsufficientScope | DenyReason::MissingRole | DenyReason::NoRule,
            ) => false,
        };
        self.rule = row.filter(|_| settles).map(|row| row.id.clone());
        let compared = row.and_then(|row| row.owner.as_ref()).map(|owner| owner.source.word());
        self.owner_source = match (denied, &route.resource) {
            (_, Some(resource)) => resource.owner_source(),
            (None | Some(DenyReason::NotOwner), None) => compared,
            (Some(_), None) => None,
        };
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
use tests::corpora;
