//! From an HTTP request to the route that takes it, and so to the action and the resource.
//!
//! A [`Route`] is all that policies say about one path, typed. Everything about it was checked when it was compiled.

mod cors;
mod defaults;
mod document;
mod headers;
mod host;
mod methods;
mod pattern;
mod rate_limit;
mod table;

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderValue, Method};

use crate::{
    identity::Authentication,
    policy::{attribute::Source, rule::RuleTable},
    request::CanonicalPath,
    token::{ProviderId, TokenUses},
};

pub(crate) use defaults::Defaults;
pub(crate) use document::{Draft, RouteReader, read_upstream};
pub(crate) use headers::{HeaderRules, read_name as read_header_name};
pub(crate) use table::{Overlap, RouteTable};

pub use cors::Cors;
pub use headers::HeaderEdits;
pub use host::{HostPattern, HostPatternError};
pub use methods::{MethodError, Methods};
pub use pattern::{PathPattern, PatternError};
pub use rate_limit::{RateKey, RateLimit, RateLimits};

/// What policies say about one path.
#[derive(Debug)]
pub struct Route {
    /// Its name in metrics and audit lines, unique over all files.
    pub id: Arc<str>,
    /// The hosts that it answers for; empty for every host that no other route names.
    pub hosts: Vec<HostPattern>,
    /// Its path.
    pub path: PathPattern,
    /// Its methods.
    pub methods: Methods,
    /// Where its requests go: a place in the settings' upstreams.
    pub upstream: usize,
    /// Does it look at credentials?
    pub authentication: Authentication,
    /// Accepted token uses, instead of the provider's own.
    pub token_use: Option<TokenUses>,
    /// Accepted providers; `None` accepts them all.
    pub providers: Option<Vec<ProviderId>>,
    /// What a principal that was denied is told.
    pub on_deny: OnDeny,
    /// Whole segments that are taken off the path, after deciding.
    pub strip_prefix: Option<CanonicalPath>,
    /// Times that differ from the upstream's.
    pub timeouts: TimeoutOverrides,
    /// Bytes of a request body, instead of the limit for all routes.
    pub body_bytes: Option<u64>,
    /// Changes to the forwarded request.
    pub request_headers: HeaderEdits,
    /// Changes to the answer.
    pub response_headers: HeaderEdits,
    /// When its streams end.
    pub streams: StreamOverrides,
    /// Which pages of other origins may read its answers; `None` leaves that to the upstream.
    pub cors: Option<Arc<Cors>>,
    /// How often it may be asked.
    pub rate_limits: RateLimits,
    /// Its own rules; guard-rails only, where it has a resource.
    pub(crate) rules: RuleTable,
    pub(crate) resource: Option<ResourceBinding>,
}

/// What a principal that was denied is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeny {
    /// 403 with the reason.
    Forbidden,
    /// The answer of a path that no route takes.
    NotFound,
}

/// Times of a route that differ from its upstream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutOverrides {
    /// To connect, TLS included.
    pub connect: Option<Duration>,
    /// Between two reads.
    pub read: Option<Duration>,
    /// For one write.
    pub write: Option<Duration>,
    /// How long an idle connection is kept.
    pub idle: Option<Duration>,
    /// Between two reads of an upgraded connection or an event stream.
    pub stream_idle: Option<Duration>,
}

/// When the streams of a route end, where that differs from the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamOverrides {
    /// They end when the token expires that opened them.
    pub end_at_expiry: Option<bool>,
    /// So long after it.
    pub expiry_grace: Option<Duration>,
}

/// The resource that a route is about.
#[derive(Debug)]
pub(crate) struct ResourceBinding {
    pub(crate) kind: Box<str>,
    pub(crate) id: Option<Source>,
    pub(crate) attributes: Vec<(Box<str>, Source)>,
    /// Where its scope comes from; `None` is the default scope.
    pub(crate) scope: Option<Source>,
    /// The version of policies that is asked for; empty for the default one.
    pub(crate) policy_version: Box<str>,
    pub(crate) actions: Vec<(Method, Box<str>)>,
}

impl ResourceBinding {
    /// What a request with this method does to the resource. HEAD does what GET does, unless it is named.
    pub(crate) fn action(&self, method: &Method) -> Option<&str> {
        let named = |wanted: &Method| self.actions.iter().find(|(method, _)| method == wanted);
        let found = named(method).or_else(|| if method == Method::HEAD { named(&Method::GET) } else { None });
        found.map(|(_, action)| &**action)
    }

    /// Where the attribute `owner` comes from: the name that resource policies give it.
    pub(crate) fn owner_source(&self) -> Option<&'static str> {
        self.attributes.iter().find(|(name, _)| **name == *"owner").map(|(_, source)| source.word())
    }
}

/// The route that takes a request, and what its path captured.
#[derive(Clone, Debug)]
pub struct RouteMatch<'a> {
    /// The route.
    pub route: &'a Arc<Route>,
    captured: Vec<Cow<'a, str>>,
}

impl<'a> RouteMatch<'a> {
    pub(crate) fn new(route: &'a Arc<Route>, path: &'a CanonicalPath) -> Self {
        Self { route, captured: route.path.read(path.as_str()) }
    }

    /// The captures of the route's path: name and value, decoded once.
    pub fn captures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.route.path.captures().zip(self.captured.iter().map(|value| &**value))
    }

    /// The values alone, in the order of the path.
    pub(crate) fn captured(&self) -> &[Cow<'a, str>] {
        &self.captured
    }
}

/// Why no route takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteFault<'a> {
    /// No route has this host and path. 404 `no_route`.
    NoRoute,
    /// Routes have this path, and take other methods. 405 `method_not_allowed`.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: &'a HeaderValue,
    },
}
