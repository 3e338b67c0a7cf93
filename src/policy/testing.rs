//! One request after another against some policy files, for the tests of this room.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::{cerbos::Options, *};
use crate::{
    identity::Principal,
    request::{Headers, Host, Target},
    token::{
        ProviderId,
        testing::{self, NOW},
    },
};

/// A file by its text.
pub(crate) fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

/// Compiles with one provider (`main`) and one upstream (`app`).
pub(crate) fn compile(files: &[SourceFile]) -> (Option<PolicySet>, Report) {
    compile_for(files, &["main"], &["app"])
}

pub(crate) fn compile_for(files: &[SourceFile], providers: &[&str], upstreams: &[&str]) -> (Option<PolicySet>, Report) {
    let providers: Vec<_> = providers.iter().map(|name| ProviderId::new(name)).collect();
    let upstreams: Vec<_> = upstreams.iter().map(|&name| name.to_owned()).collect();
    let identity_headers = [HeaderName::from_static("x-user")];
    let credential_headers = [HeaderName::from_static("x-token")];
    let world = World {
        providers: &providers,
        upstreams: &upstreams,
        identity_headers: &identity_headers,
        credential_headers: &credential_headers,
        cerbos: &Options::default(),
        schemas: &[],
        allow_empty: false,
    };
    PolicySet::compile(files, &world)
}

/// The policy set of routes that must compile, without a warning.
pub(crate) fn policies(routes: &str) -> PolicySet {
    let (set, report) = compile(&[file("routes.yaml", &routes_file(routes))]);
    assert!(report.is_empty(), "{report}");
    set.unwrap()
}

/// What is found in a file of these routes.
pub(crate) fn report(routes: &str) -> String {
    let (_, report) = compile(&[file("routes.yaml", &routes_file(routes))]);
    report.to_string()
}

/// A file with these routes, which start at the left margin.
pub(crate) fn routes_file(routes: &str) -> String {
    format!("apiVersion: cogward/v1\nroutes:\n{routes}\n")
}

/// The route of one rule list on `/users/{owner}`.
pub(crate) fn with_rules(rules: &str) -> PolicySet {
    policies(&format!("- id: r\n  path: /users/{{owner}}\n  authentication: optional\n  rules: {rules}"))
}

/// A person with these groups.
pub(crate) fn user(id: &str, groups: &[&str]) -> Principal {
    let payload = testing::with(testing::access(), "sub", id);
    let payload = testing::without(payload, "cognito:groups");
    Principal::of_claims(&if groups.is_empty() {
        payload
    } else {
        testing::with(payload, "cognito:groups", groups.to_vec())
    })
}

/// A person with these claims beside the usual ones.
pub(crate) fn user_with(claims: &Value) -> Principal {
    let mut payload = testing::access();
    for (name, value) in claims.as_object().unwrap() {
        payload = testing::with(payload, name, value.clone());
    }
    Principal::of_claims(&payload)
}

/// A program: its id is `client-2`, its scopes are `contacts/read` and `contacts/write`.
pub(crate) fn machine() -> Principal {
    Principal::of_claims(&testing::machine())
}

/// One request.
#[derive(Clone)]
pub(crate) struct Ask {
    method: Method,
    target: String,
    host: String,
    fields: HeaderMap,
    body: Option<Value>,
}

impl Ask {
    /// `GET /path?query`, to the host `gateway.example`.
    pub(crate) fn new(line: &str) -> Self {
        let (method, target) = line.split_once(' ').unwrap();
        Self {
            method: method.parse().unwrap(),
            target: target.to_owned(),
            host: "gateway.example".to_owned(),
            fields: HeaderMap::new(),
            body: None,
        }
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &[u8]) -> Self {
        self.fields.append(name, HeaderValue::from_bytes(value).unwrap());
        self
    }

    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// What the request meets: a word for the fault or decision, and what was found.
    pub(crate) fn of(&self, set: &PolicySet, principal: &Principal) -> (String, Findings) {
        let mut seen = Findings::default();
        let host = Host::parse(self.host.as_bytes()).unwrap();
        let target = Target::parse(self.target.as_bytes(), &host).unwrap();
        let view = RequestView {
            method: &self.method,
            host: &host,
            path: &target.path,
            query: target.query(),
            headers: Headers::new(&self.fields),
            client: IpAddr::from([192, 0, 2, 1]),
            secure: true,
            websocket: false,
            client_certificate: None,
        };
        let matched = match set.route(&view) {
            Ok(matched) => matched,
            Err(RouteFault::NoRoute) => return ("no_route".to_owned(), seen),
            Err(RouteFault::MethodNotAllowed { allow }) => {
                return (format!("405 {}", allow.to_str().unwrap()), seen);
            }
        };
        let body = self.body.as_ref().map_or(Body::Unread, Body::Json);
        let query = Query { principal, matched: &matched, view: &view, body, now: NOW };
        let word = match set.decide(query, &mut seen) {
            Decision::Allow(rule) => format!("allow {rule}"),
            Decision::Deny(reason) => reason.code().to_owned(),
            Decision::NeedsBody => "needs_body".to_owned(),
            Decision::AttributeMalformed => "attribute_malformed".to_owned(),
        };
        (word, seen)
    }
}

/// What a request meets, as one word.
pub(crate) fn ask(set: &PolicySet, principal: &Principal, line: &str) -> String {
    Ask::new(line).of(set, principal).0
}

/// The files that ship.
pub(crate) fn shipped() -> Vec<SourceFile> {
    vec![
        file("policies/contact.resource.yaml", include_str!("../../policies/contact.resource.yaml")),
        file("policies/contacts.yaml", include_str!("../../policies/contacts.yaml")),
        file("policies/profile.yaml", include_str!("../../policies/profile.yaml")),
    ]
}

/// A Cerbos policy about `contact` with these rules.
pub(crate) fn cerbos_file(rules: &str) -> SourceFile {
    let rules = rules.replace('\n', "\n  ");
    let text = format!(
        "apiVersion: api.cerbos.dev/v1\nresourcePolicy:\n  version: default\n  resource: contact\n  rules:\n  {rules}\n"
    );
    file("contact.yaml", &text)
}
