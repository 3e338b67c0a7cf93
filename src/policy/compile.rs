//! From policy files to a [`PolicySet`]: all files or none, and every problem of all of them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use http::{HeaderName, Method};

use super::{
    PolicySet,
    attribute::Source as AttributeSource,
    cerbos::{ResourcePolicy, SchemaFile, read_policy},
    codes,
    condition::Root,
    lint,
    route::{Defaults, Draft, HeaderRules, Overlap, RateLimits, ResourceBinding, Route, RouteReader, RouteTable},
    rule::{Combine, Effect, Row, RuleTable},
};
use crate::{
    diagnostic::{Diagnostic, Report},
    identity::Authentication,
    token::ProviderId,
    yaml::{self, Cursor, MapCursor, Node, Source, SourceFile},
};

/// What policies are compiled against: the names that the settings give.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The providers, in the order of the settings.
    pub providers: &'a [ProviderId],
    /// The upstreams, in the order of the settings.
    pub upstreams: &'a [String],
    /// The header fields that tell the upstream who asks. The default names are known besides.
    pub identity_headers: &'a [HeaderName],
    /// The header fields that carry credentials, besides `Authorization` and `Cookie`.
    pub credential_headers: &'a [HeaderName],
    /// The version of resource policies that decides.
    pub policy_version: &'a str,
    /// The JSON Schemas that resource policies may refer to.
    pub schemas: &'a [SchemaFile<'a>],
    /// Accepts files without any route.
    pub allow_empty: bool,
}

/// The `apiVersion` of route policies.
const NATIVE: &str = "cogward/v1";
/// The `apiVersion` of resource policies.
const CERBOS: &str = "api.cerbos.dev/v1";

/// What a file turned out to hold.
enum Content<'a> {
    Routes(Vec<Draft<'a>>),
    Policy(ResourcePolicy<'a>),
    Nothing,
}

pub(super) fn compile(files: &[SourceFile], world: &World<'_>) -> (Option<PolicySet>, Report) {
    let parsed: Vec<_> = files.iter().map(|file| yaml::parse(&file.name, &file.text).map_err(Box::new)).collect();
    let sources: Vec<_> = files.iter().map(|file| Source::new(&file.name, &file.text)).collect();
    let (mut drafts, mut policies) = (Vec::new(), Vec::new());
    for (source, node) in sources.iter().zip(&parsed) {
        let Ok(node) = node else { continue };
        match read(source, node, world) {
            Content::Routes(routes) => drafts.extend(routes),
            Content::Policy(policy) => policies.push(policy),
            Content::Nothing => {}
        }
    }
    let set = link(drafts, policies);
    let mut report = Report::default();
    for (source, node) in sources.into_iter().zip(parsed) {
        node.err().into_iter().for_each(|finding| report.push(*finding));
        report.append(source.into_report());
    }
    if set.routes.is_empty() && !world.allow_empty && !report.has_errors() {
        let finding = Diagnostic::of_file(codes::NO_ROUTE, "policies", "no file defines a route");
        report.push(finding.with_help("`policies.allow_empty: true` accepts that, and every request is then 404"));
    }
    (Some(set).filter(|_| !report.has_errors()), report)
}

fn read<'a>(source: &'a Source<'a>, node: &'a Node, world: &World<'_>) -> Content<'a> {
    let top = Cursor::top(source, node);
    let Some(mut map) = top.map() else { return Content::Nothing };
    let version = map.take("apiVersion").or_else(|| map.take("api_version"));
    match version.as_ref().and_then(|version| version.node().as_text()) {
        Some(NATIVE) => Content::Routes(read_routes(map, world)),
        Some(CERBOS) => {
            top.map().and_then(|map| read_policy(map, world.policy_version)).map_or(Content::Nothing, Content::Policy)
        }
        Some(_) | None => {
            let at = version.as_ref().unwrap_or(&top);
            let help = format!("write `apiVersion: {NATIVE}` for routes, `apiVersion: {CERBOS}` for Cerbos policies");
            at.error_with_help(codes::API_VERSION, "the file has no `apiVersion` that is known here", help);
            Content::Nothing
        }
    }
}

fn read_routes<'a>(mut map: MapCursor<'a>, world: &World<'_>) -> Vec<Draft<'a>> {
    let defaults = map.take("defaults").map(|at| Defaults::read(&at, world)).unwrap_or_default();
    let headers = HeaderRules::new(world.identity_headers, world.credential_headers);
    let reader = RouteReader { world, headers: &headers, defaults: &defaults };
    let routes = map.require("routes").and_then(|routes| routes.list()).unwrap_or_default();
    map.finish();
    routes.iter().filter_map(|route| reader.read(route)).collect()
}

/// Brings routes and resource policies together. Problems are noted where they stand.
fn link(drafts: Vec<Draft<'_>>, policies: Vec<ResourcePolicy<'_>>) -> PolicySet {
    let policies = by_kind(policies);
    let mut set = PolicySet { routes: Vec::new(), table: RouteTable::default() };
    let mut ids: HashMap<Arc<str>, &str> = HashMap::new();
    let mut placed: Vec<Arc<str>> = Vec::new();
    for draft in drafts {
        if let Some(file) = ids.insert(Arc::clone(&draft.id), draft.at.source().file()) {
            let message = format!("there is a route `{}` already", draft.id);
            draft.id_at.error_with_help(codes::DUPLICATE, message, format!("the other one is in {file}"));
        }
        placed.push(Arc::clone(&draft.id));
        let place = placed.len() - 1;
        if let Err(Overlap { with, method }) = set.table.insert(&draft.hosts, &draft.path, &draft.methods, place) {
            let other = placed.get(with).map_or("", |id| id);
            draft.at.error_with_help(
                codes::OVERLAP,
                format!("the routes `{}` and `{other}` both take {method} `{}`", draft.id, draft.path),
                "give them different methods, hosts or paths, or make them one route",
            );
        }
        set.routes.extend(finish(draft, &policies).map(Arc::new));
    }
    set
}

fn by_kind(policies: Vec<ResourcePolicy<'_>>) -> HashMap<Box<str>, Arc<RuleTable>> {
    let mut names = HashSet::new();
    let mut tables = HashMap::new();
    for policy in policies {
        if !names.insert(sanitise(policy.kind)) {
            policy.at.error_with_help(
                codes::DUPLICATE,
                format!("there is a policy about `{}` already", policy.kind),
                "a resource has one policy; names that differ only in `-`, `:` and `/` are one name",
            );
        }
        tables.insert(policy.kind.into(), Arc::new(policy.table));
    }
    tables
}

/// The name of a resource as Cerbos compares it: each run of other characters than letters, digits, `_` and `.` becomes `_`.
fn sanitise(kind: &str) -> String {
    let mut name = String::with_capacity(kind.len());
    let mut run = false;
    for letter in kind.chars() {
        let plain = letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
        if plain {
            name.push(letter);
        } else if !run {
            name.push('_');
        }
        run = !plain;
    }
    name
}

fn finish(draft: Draft<'_>, policies: &HashMap<Box<str>, Arc<RuleTable>>) -> Option<Route> {
    let resource = match draft.resource {
        None => None,
        Some(resource) => {
            let Some(policy) = policies.get(&resource.kind) else {
                resource.kind_at.error_with_help(
                    codes::NO_POLICY,
                    format!("no policy is about the resource `{}`, so every request would be denied", resource.kind),
                    "add a file with `resourcePolicy`, or correct the name",
                );
                return None;
            };
            for (name, source, at) in &resource.attributes {
                lint_attribute(name, source, at, &resource.actions, policy);
            }
            Some(ResourceBinding {
                attributes: resource.attributes.into_iter().map(|(name, source, _)| (name, source)).collect(),
                kind: resource.kind,
                id: resource.id,
                actions: resource.actions,
                policy: Arc::clone(policy),
            })
        }
    };
    let keys = draft.keys;
    let rules = RuleTable { combine: Combine::DenyOverrides, rows: draft.rows.into() };
    let authentication = keys.authentication.unwrap_or_else(|| default_authentication(&rules, resource.as_ref()));
    let cors = keys.cors.map(|rule| Arc::new(rule.compile(&draft.methods)));
    let rate_limits = RateLimits::compile(&keys.rate_limit, &draft.id);
    Some(Route {
        id: draft.id,
        hosts: draft.hosts,
        path: draft.path,
        methods: draft.methods,
        upstream: draft.upstream,
        authentication,
        token_use: keys.token_use,
        providers: keys.providers,
        on_deny: keys.on_deny,
        strip_prefix: keys.strip_prefix,
        timeouts: keys.timeouts,
        streams: keys.streams,
        body_bytes: keys.body_bytes,
        request_headers: keys.request_headers,
        response_headers: keys.response_headers,
        cors,
        rate_limits,
        rules,
        resource,
    })
}

/// Is the attribute used as an owner by a rule that allows a writing method?
fn lint_attribute(
    name: &str,
    source: &AttributeSource,
    at: &Cursor<'_>,
    actions: &[(Method, Box<str>)],
    policy: &RuleTable,
) {
    let compares = |row: &Row| {
        row.condition.as_ref().is_some_and(|stated| {
            stated.references.resource_attributes().includes(name) && stated.references.reads(Root::Principal)
        })
    };
    let methods = actions.iter().filter(|(_, action)| {
        policy.rows.iter().any(|row| row.effect == Effect::Allow && row.is_about(action) && compares(row))
    });
    lint::claimed_owner(at, source, &methods.map(|(method, _)| method.clone()).collect());
}

/// `optional` where a rule names those who have no token, else `required`.
fn default_authentication(rules: &RuleTable, resource: Option<&ResourceBinding>) -> Authentication {
    let asked = |resource: &ResourceBinding| {
        resource.policy.rows.iter().any(|row| {
            let actions = &resource.actions;
            row.roles.name_role("anonymous") && actions.iter().any(|(_, action)| row.is_about(action))
        })
    };
    if rules.rows.iter().any(|row| row.roles.name_the_unknown()) || resource.is_some_and(asked) {
        Authentication::Optional
    } else {
        Authentication::Required
    }
}

#[cfg(test)]
mod tests;
