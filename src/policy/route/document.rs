//! Reading one route of a `cogward/v1` file.

use std::{cell::RefCell, collections::HashSet, str::FromStr, sync::Arc, time::Duration};

use http::Method;

use super::{
    HeaderEdits, HeaderRules, HostPattern, Methods, OnDeny, PathPattern, StreamOverrides, TimeoutOverrides,
    cors::CorsRule, defaults::Defaults, rate_limit::RateRule,
};
use crate::{
    identity::Authentication,
    policy::{
        attribute::{Source, Sources, read_source},
        codes,
        compile::World,
        condition::Environment,
        read::{read_id, read_method, read_methods, read_word},
        rule::{Row, RuleReader, Ruling},
    },
    request::CanonicalPath,
    token::{ProviderId, TokenUses},
    units::{ByteSize, Span},
    yaml::{Cursor, MapCursor},
};

/// What routes are read against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteReader<'w> {
    pub(crate) world: &'w World<'w>,
    pub(crate) headers: &'w HeaderRules<'w>,
    /// `defaults` of the file.
    pub(crate) defaults: &'w Defaults,
}

/// A route as its file tells it, before it has met the other files.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) at: Cursor<'a>,
    pub(crate) id: Arc<str>,
    pub(crate) id_at: Cursor<'a>,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) path: PathPattern,
    pub(crate) methods: Methods,
    pub(crate) rows: Vec<Row>,
    pub(crate) upstream: usize,
    pub(crate) resource: Option<ResourceDraft<'a>>,
    pub(crate) keys: RouteKeys,
}

/// The resource of a route, before its policy is known.
#[derive(Debug)]
pub(crate) struct ResourceDraft<'a> {
    pub(crate) kind: Box<str>,
    pub(crate) kind_at: Cursor<'a>,
    pub(crate) id: Option<Source>,
    pub(crate) attributes: Vec<(Box<str>, Source, Cursor<'a>)>,
    pub(crate) scope: Option<Source>,
    pub(crate) policy_version: Box<str>,
    pub(crate) actions: Vec<(Method, Box<str>)>,
}

/// The keys of a route that say nothing about who may use it.
#[derive(Debug)]
pub(crate) struct RouteKeys {
    upstream: Option<usize>,
    pub(crate) authentication: Option<Authentication>,
    pub(crate) token_use: Option<TokenUses>,
    pub(crate) providers: Option<Vec<ProviderId>>,
    pub(crate) on_deny: OnDeny,
    pub(crate) strip_prefix: Option<CanonicalPath>,
    pub(crate) timeouts: TimeoutOverrides,
    pub(crate) streams: StreamOverrides,
    pub(crate) body_bytes: Option<u64>,
    pub(crate) request_headers: HeaderEdits,
    pub(crate) response_headers: HeaderEdits,
    pub(crate) cors: Option<CorsRule>,
    pub(crate) rate_limit: Vec<RateRule>,
}

impl RouteReader<'_> {
    /// Reads a route, noting everything that is wrong with it; `None` when it cannot be used.
    pub(crate) fn read<'a>(&self, at: &Cursor<'a>) -> Option<Draft<'a>> {
        let mut map = at.map()?;
        let id_at = map.require("id");
        let id = id_at.as_ref().and_then(read_route_id);
        let path = map.require("path").and_then(|path| read_pattern(&path));
        let hosts = map.take("hosts").map_or_else(|| Some(Vec::new()), |hosts| read_hosts(&hosts));
        let keys = self.keys(&mut map, path.as_ref());
        let resource = map.take("resource");
        let actions = map.take("actions");
        let rules = map.take("rules");
        let methods = route_methods(&mut map, actions.as_ref());
        self.cors_fits(&mut map, &keys, &methods);
        self.shape(map.here(), [rules.is_some(), resource.is_some(), actions.is_some()]);
        map.finish();

        let pattern = path.as_ref();
        let ruling = if resource.is_some() { Ruling::GuardRails } else { Ruling::Full };
        let reader = RuleReader {
            route: id.unwrap_or_default(),
            methods: &methods,
            sources: Sources { pattern, headers: self.headers, fixed: false },
            environment: &self.environment(pattern, ruling),
            ruling,
            several_providers: keys.providers.as_ref().map_or(self.world.providers.len(), Vec::len) > 1,
        };
        let rows = rules.map(|rules| reader.read(&rules)).unwrap_or_default();
        let sources = Sources { fixed: true, ..reader.sources };
        let resource = match resource {
            None => None,
            Some(at) => Some(read_resource(&at, actions.as_ref(), sources)?),
        };
        Some(Draft {
            at: at.clone(),
            id: id?.into(),
            id_at: id_at?,
            hosts: hosts?,
            path: path?,
            methods,
            rows,
            resource,
            upstream: keys.upstream?,
            keys,
        })
    }

    /// What conditions on this route may name.
    fn environment(&self, pattern: Option<&PathPattern>, ruling: Ruling) -> Environment {
        let captures: Vec<&str> = pattern.map(|pattern| pattern.captures().collect()).unwrap_or_default();
        let environment = Environment::native(&captures).with_credential_headers(self.world.credential_headers);
        match ruling {
            Ruling::Full => environment.without_resource(),
            Ruling::GuardRails => environment,
        }
    }

    /// A route has rules, or a resource and actions.
    fn shape(&self, at: &Cursor<'_>, [rules, resource, actions]: [bool; 3]) {
        let problem = match (rules, resource, actions) {
            (true, false, false) | (_, true, true) => return,
            (false, false, false) => "the route does not say who may use it",
            (_, true, false) => "the route names a resource and no actions",
            (_, false, true) => "the route names actions and no resource",
        };
        at.error_with_help(codes::ROUTE_SHAPE, problem, "a route has `rules`, or `resource` and `actions`");
    }

    fn keys(&self, map: &mut MapCursor<'_>, path: Option<&PathPattern>) -> RouteKeys {
        let upstream = match map.take("upstream") {
            Some(at) => read_upstream(&at, self.world),
            None => self.defaults.upstream.or_else(|| self.only_upstream(map.here())),
        };
        let words = [
            ("required", Authentication::Required),
            ("optional", Authentication::Optional),
            ("none", Authentication::None),
        ];
        let authentication = map.take("authentication").and_then(|at| read_word(&at, &words));
        let token_use = map.take("token_use").and_then(|at| read_token_use(&at));
        let providers = map.take("providers").map(|at| read_providers(&at, self.world));
        let on_deny = map.take("on_deny").and_then(|at| read_word(&at, &[("not_found", OnDeny::NotFound)]));
        let strip_prefix = map.take("strip_prefix").and_then(|at| read_prefix(&at, path));
        let timeouts = map.take("timeouts").map(|at| read_timeouts(&at)).unwrap_or_default();
        let streams = map.take("streams").map(|at| read_streams(&at)).unwrap_or_default();
        let body_bytes = map
            .take("body_bytes")
            .and_then(|at| at.parse::<ByteSize>(codes::UNIT, "leave the key out to keep the limit of the settings"))
            .map(ByteSize::count);
        let edits = |at: Option<Cursor<'_>>| at.map(|at| HeaderEdits::read(&at, self.headers)).unwrap_or_default();
        let cors = match map.take("cors") {
            Some(at) => CorsRule::read(&at).flatten(),
            None => self.defaults.cors.clone(),
        };
        let rate_limit = match map.take("rate_limit") {
            Some(at) => RateRule::read(&at).unwrap_or_default(),
            None => self.defaults.rate_limit.clone(),
        };
        RouteKeys {
            upstream,
            authentication,
            token_use,
            providers,
            on_deny: on_deny.unwrap_or(OnDeny::Forbidden),
            strip_prefix,
            timeouts,
            streams,
            body_bytes,
            request_headers: edits(map.take("request_headers")),
            response_headers: edits(map.take("response_headers")),
            cors,
            rate_limit,
        }
    }

    /// What `cors` says about the route's other keys.
    fn cors_fits(&self, map: &mut MapCursor<'_>, keys: &RouteKeys, methods: &Methods) {
        let Some(cors) = &keys.cors else { return };
        if let Some(at) = map.take("cors") {
            cors.check(&at, methods);
        }
        let edits = &keys.response_headers;
        let mut edited = edits.set.iter().map(|(name, _)| name).chain(&edits.remove);
        let clash = edited.find(|name| name.as_str().starts_with("access-control-"));
        if let (Some(name), Some(at)) = (clash, map.take("response_headers")) {
            at.error_with_help(
                codes::CORS,
                format!("`{name}` is changed beside `cors`, which alone writes such fields"),
                "leave one of them out; `cors: none` takes the route out of the file's defaults",
            );
        }
    }

    fn only_upstream(&self, at: &Cursor<'_>) -> Option<usize> {
        if self.world.upstreams.len() == 1 {
            return Some(0);
        }
        at.error_with_help(
            codes::UPSTREAM,
            "the route names no upstream, and there are several",
            format!("write `upstream`, or `defaults.upstream` for the file: {}", self.world.upstreams.join(", ")),
        );
        None
    }
}

/// The upstream of that name.
pub(crate) fn read_upstream(at: &Cursor<'_>, world: &World<'_>) -> Option<usize> {
    let name = at.text()?;
    let place = world.upstreams.iter().position(|upstream| upstream == name);
    if place.is_none() {
        let help = format!("upstreams of the settings are: {}", world.upstreams.join(", "));
        at.error_with_help(codes::UPSTREAM, format!("there is no upstream `{name}`"), help);
    }
    place
}

fn read_hosts(at: &Cursor<'_>) -> Option<Vec<HostPattern>> {
    let seen = RefCell::new(HashSet::new());
    at.each(|each| {
        let host: HostPattern =
            each.parse(codes::HOST, "write a host name without a scheme or a port, or `*.` and a suffix")?;
        if !seen.borrow_mut().insert(host.clone()) {
            each.error_with_help(codes::HOST, "the host is named twice", "keep one of them");
        }
        Some(host)
    })
}

/// Metrics call a request without a route `none`.
fn read_route_id<'a>(at: &Cursor<'a>) -> Option<&'a str> {
    let id = read_id(at)?;
    if id == "none" {
        at.error_with_help(codes::ID, "`none` is what metrics call a request without a route", "choose another id");
        return None;
    }
    Some(id)
}

fn read_pattern(at: &Cursor<'_>) -> Option<PathPattern> {
    let error = match PathPattern::from_str(at.text()?) {
        Ok(pattern) => return Some(pattern),
        Err(error) => error,
    };
    at.error_with_help(codes::PATTERN, error.to_string(), error.help());
    None
}

/// `methods`, or the keys of `actions`, or the usual ones.
fn route_methods(map: &mut MapCursor<'_>, actions: Option<&Cursor<'_>>) -> Methods {
    let methods = map.take("methods");
    let Some(actions) = actions else {
        return methods.and_then(|at| read_methods(&at)).unwrap_or_else(Methods::usual);
    };
    if let Some(methods) = methods {
        methods.error_with_help(
            codes::METHOD,
            "the keys of `actions` are the route's methods",
            "leave `methods` out, or give each method an action",
        );
    }
    let named = actions.map().map(|map| map.entries().filter_map(|(word, _)| Methods::parse(word).ok()).collect());
    named.unwrap_or_else(Methods::usual)
}

fn read_actions(at: &Cursor<'_>) -> Vec<(Method, Box<str>)> {
    let Some(map) = at.map() else { return Vec::new() };
    let actions = map.entries().filter_map(|(word, action)| {
        let method = read_method(word, &action);
        Some((method?, action.text()?.into()))
    });
    actions.collect()
}

fn read_resource<'a>(at: &Cursor<'a>, actions: Option<&Cursor<'_>>, sources: Sources<'_>) -> Option<ResourceDraft<'a>> {
    let mut map = at.map()?;
    let kind_at = map.require("kind");
    let kind = kind_at.as_ref().and_then(Cursor::text);
    let read = |at: &Cursor<'_>| {
        let mut map = at.map()?;
        let source = read_source(&mut map, "the resource takes", sources);
        map.finish();
        source
    };
    let id = map.take("id").and_then(|at| read(&at));
    let attributes = map.take("attributes").and_then(|at| at.map());
    let attributes = attributes.iter().flat_map(MapCursor::entries);
    let attributes = attributes.filter_map(|(name, at)| Some((name.into(), read(&at)?, at))).collect();
    let scope = map.take("scope").map(|at| (read(&at), at));
    let policy_version = map.take("policy_version").map(|at| read_policy_version(&at));
    map.finish();
    // A scope chooses among policies, so which ones are asked must be known before a body is read.
    if let Some((Some(source), at)) = &scope
        && source.is_body()
    {
        at.error_with_help(
            codes::SOURCE,
            "the scope of a resource cannot come out of the body",
            "take it from the path, the host, a header, a claim or a constant",
        );
    }
    let scope = match scope {
        None => None,
        Some((source, _)) => Some(source?),
    };
    let policy_version = match policy_version {
        None => Box::default(),
        Some(version) => version?.into(),
    };
    let actions = actions.map(read_actions).unwrap_or_default();
    Some(ResourceDraft { kind: kind?.into(), kind_at: kind_at?, id, attributes, scope, policy_version, actions })
}

fn read_policy_version<'a>(at: &Cursor<'a>) -> Option<&'a str> {
    let text = at.text()?;
    if !text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        let help = "a version is letters, digits and `_`, such as `default`";
        at.error_with_help(codes::ID, format!("`{text}` is not a policy version"), help);
        return None;
    }
    Some(text)
}

fn read_token_use(at: &Cursor<'_>) -> Option<TokenUses> {
    let uses = at.each(|each| read_word(each, &[("access", TokenUses::Access), ("id", TokenUses::Id)]))?;
    let all = |wanted| uses.iter().all(|each| *each == wanted);
    Some(if all(TokenUses::Access) {
        TokenUses::Access
    } else if all(TokenUses::Id) {
        TokenUses::Id
    } else {
        TokenUses::Both
    })
}

fn read_providers(at: &Cursor<'_>, world: &World<'_>) -> Vec<ProviderId> {
    let seen = RefCell::new(HashSet::new());
    let providers = at.each(|each| {
        let name = each.text()?;
        let known = world.providers.iter().find(|provider| provider.as_str() == name);
        if known.is_none() {
            let all: Vec<_> = world.providers.iter().map(ProviderId::as_str).collect();
            let help = format!("providers of the settings are: {}", all.join(", "));
            each.error_with_help(codes::PROVIDER, format!("there is no provider `{name}`"), help);
        } else if !seen.borrow_mut().insert(name) {
            each.error_with_help(codes::PROVIDER, format!("`{name}` is named twice"), "keep one of them");
        }
        known.cloned()
    });
    providers.unwrap_or_default()
}

/// A prefix of whole segments with which all paths of the route start.
fn read_prefix(at: &Cursor<'_>, path: Option<&PathPattern>) -> Option<CanonicalPath> {
    let text = at.text()?;
    let canonical = CanonicalPath::parse(text.as_bytes()).ok();
    let canonical = canonical.filter(|path| path.as_str() == text && text.len() > 1 && !text.ends_with('/'));
    let segments: Option<Vec<&str>> = text.strip_prefix('/').map(|rest| rest.split('/').collect());
    let fits = |segments: &Vec<&str>| path.is_none_or(|path| path.starts_with(segments));
    if canonical.is_none() || !segments.as_ref().is_some_and(fits) {
        let path = path.map_or("", PathPattern::as_str);
        at.error_with_help(
            codes::PREFIX,
            format!("`{text}` is not a prefix of `{path}`"),
            "a prefix is whole segments without captures, such as `/api`",
        );
        return None;
    }
    canonical
}

fn read_timeouts(at: &Cursor<'_>) -> TimeoutOverrides {
    let Some(mut map) = at.map() else { return TimeoutOverrides::default() };
    let mut time = |key| -> Option<Duration> {
        let at = map.take(key)?;
        let time = at.parse::<Span>(codes::UNIT, "leave the key out to keep the time of the upstream")?.duration();
        if time.is_zero() {
            at.error_with_help(
                codes::UNIT,
                "a time of zero never ends well",
                "leave the key out to keep the time of the upstream",
            );
        }
        Some(time)
    };
    let timeouts = TimeoutOverrides {
        connect: time("connect"),
        read: time("read"),
        write: time("write"),
        idle: time("idle"),
        stream_idle: time("stream_idle"),
    };
    map.finish();
    timeouts
}

/// As in the settings.
const MOST_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

fn read_streams(at: &Cursor<'_>) -> StreamOverrides {
    let Some(mut map) = at.map() else { return StreamOverrides::default() };
    let end_at_expiry = map.take("end_at_expiry").and_then(|at| at.bool());
    let expiry_grace = map.take("expiry_grace").and_then(|at| {
        let help = "leave the key out to keep the time of the settings";
        let time = at.parse::<Span>(codes::UNIT, help)?.duration();
        if end_at_expiry == Some(false) {
            at.error_with_help(codes::UNIT, "streams that do not end with their token need no time after it", help);
        } else if time > MOST_GRACE {
            at.error_with_help(codes::UNIT, "a stream may outlive its token by 24h at most", help);
        }
        Some(time)
    });
    map.finish();
    StreamOverrides { end_at_expiry, expiry_grace }
}
