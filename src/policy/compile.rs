//! From policy files to a [`PolicySet`]: all files or none, and every problem of all of them.

use std::{collections::HashMap, sync::Arc};

use http::HeaderName;

use super::{
    PolicySet,
    cerbos::{
        Document, Engine, Linking, Options, Profile, SchemaEnforcement, SchemaFile, Schemas, link as link_policies,
        read_document,
    },
    codes,
    condition::Environment,
    lint,
    route::{Defaults, Draft, HeaderRules, Overlap, RateLimits, ResourceBinding, Route, RouteReader, RouteTable},
    rule::RuleTable,
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
    /// How Cerbos policies are read.
    pub cerbos: &'a Options,
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
    Policy(Box<Document<'a>>),
    Nothing,
}

pub(super) fn compile(files: &[SourceFile], world: &World<'_>) -> (Option<PolicySet>, Report) {
    let parsed: Vec<_> =
        files.iter().map(|file| yaml::parse(&file.name, &file.text).map(Node::merged).map_err(Box::new)).collect();
    let sources: Vec<_> = files.iter().map(|file| Source::new(&file.name, &file.text)).collect();
    let (mut drafts, mut documents) = (Vec::new(), Vec::new());
    for (source, node) in sources.iter().zip(&parsed) {
        let Ok(node) = node else { continue };
        match read(source, node, world) {
            Content::Routes(routes) => drafts.extend(routes),
            Content::Policy(document) => documents.push(*document),
            Content::Nothing => {}
        }
    }
    let set = link(drafts, link_cerbos(&documents, world));
    drop(documents);
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
            let document = top.map().and_then(read_document).map(Box::new);
            document.map_or(Content::Nothing, Content::Policy)
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

/// Brings Cerbos policies together, and makes them ready to be asked.
fn link_cerbos(documents: &[Document<'_>], world: &World<'_>) -> Engine {
    let environment = Environment::cerbos().with_globals(world.cerbos.globals.clone());
    let environment = match world.cerbos.profile {
        Profile::Strict => environment,
        Profile::Cerbos051 => environment.as_of_0_51(),
    };
    let schemas = Schemas::new(world.schemas);
    let schemas_enforced = world.cerbos.schema_enforcement != SchemaEnforcement::None;
    let linking = Linking { environment: &environment, schemas: &schemas, schemas_enforced };
    Engine::new(link_policies(documents, &linking), world.cerbos.clone())
}

/// Brings routes and policies together. Problems are noted where they stand.
fn link(drafts: Vec<Draft<'_>>, cerbos: Engine) -> PolicySet {
    let mut set = PolicySet { routes: Vec::new(), table: RouteTable::default(), cerbos };
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
        set.routes.extend(finish(draft, &set.cerbos).map(Arc::new));
    }
    set
}

fn finish(draft: Draft<'_>, cerbos: &Engine) -> Option<Route> {
    let resource = match draft.resource {
        None => None,
        Some(resource) => {
            if !cerbos.is_about(&resource.kind, &resource.policy_version) {
                resource.kind_at.error_with_help(
                    codes::NO_POLICY,
                    format!("no policy is about the resource `{}`, so every request would be denied", resource.kind),
                    "add a file with `resourcePolicy`, or correct the name",
                );
                return None;
            }
            for (name, source, at) in &resource.attributes {
                let compares = |action: &str| cerbos.compares(&resource.kind, &resource.policy_version, action, name);
                let methods = resource.actions.iter().filter(|(_, action)| compares(action));
                lint::claimed_owner(at, source, &methods.map(|(method, _)| method.clone()).collect());
            }
            Some(ResourceBinding {
                attributes: resource.attributes.into_iter().map(|(name, source, _)| (name, source)).collect(),
                kind: resource.kind,
                id: resource.id,
                scope: resource.scope,
                policy_version: resource.policy_version,
                actions: resource.actions,
            })
        }
    };
    let keys = draft.keys;
    let rules = RuleTable { rows: draft.rows.into() };
    let authentication =
        keys.authentication.unwrap_or_else(|| default_authentication(&rules, resource.as_ref(), cerbos));
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

/// `optional` where a rule names those who have no token, else `required`.
fn default_authentication(rules: &RuleTable, resource: Option<&ResourceBinding>, cerbos: &Engine) -> Authentication {
    let asked = |resource: &ResourceBinding| {
        let actions: Vec<&str> = resource.actions.iter().map(|(_, action)| &**action).collect();
        cerbos.names_role(&resource.kind, &resource.policy_version, &actions, "anonymous")
    };
    if rules.rows.iter().any(|row| row.roles.name_the_unknown()) || resource.is_some_and(asked) {
        Authentication::Optional
    } else {
        Authentication::Required
    }
}

#[cfg(test)]
mod tests;
