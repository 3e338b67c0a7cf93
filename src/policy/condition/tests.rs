//! Tables of conditions: text, request, answer.

mod budgets;
mod certificate;
mod compiling;
mod equivalence;
mod evaluating;
mod functions;
mod hostile;
mod values;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::*;
use crate::identity::Kind;
use crate::request::{ClientCertificate, Headers, Query};
use crate::time::UnixTime;

/// A request and everything around it, owned.
pub(super) struct Sample {
    pub(super) id: Option<&'static str>,
    pub(super) kind: Kind,
    pub(super) roles: Vec<Box<str>>,
    pub(super) claims: Map<String, Value>,
    pub(super) client_id: Option<&'static str>,
    pub(super) query: &'static str,
    pub(super) headers: HeaderMap,
    pub(super) captures: Vec<(&'static str, &'static str)>,
    pub(super) attributes: Map<String, Value>,
    pub(super) certificate: Option<ClientCertificate>,
}

impl Default for Sample {
    /// Ann, a user and an admin, asks for contact 7 of u-1.
    fn default() -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", "one"), ("x-twice", "1"), ("x-twice", "2"), ("authorization", "Bearer secret")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.append("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
        Self {
            id: Some("u-1"),
            kind: Kind::User,
            roles: vec!["admin".into(), "user".into()],
            claims: object(json!({
                "sub": "u-1", "email": "ann@example.com", "email_verified": false, "custom:level": 3, "custom:status": "active",
                "admin": true, "nothing": null, "tags": ["a", "b", 1], "address": {"city": "Bern"}, "exp": 1_700_000_100
            })),
            client_id: None,
            query: "page=2&q=a+b&twice=1&twice=2",
            headers,
            captures: vec![("user", "u-1"), ("id", "7")],
            attributes: object(json!({"owner": "u-1", "size": 12, "shared": ["u-2", "u-3"], "public": false})),
            certificate: Some(ClientCertificate {
                subject: "CN=ci,OU=Build,O=Example".into(),
                common_name: Some("ci".into()),
                dns_names: ["ci.example.com".into(), "build.example.com".into()].into(),
                uris: ["spiffe://example.com/ci".into()].into(),
                emails: Box::default(),
                sha256: "00ff".into(),
            }),
        }
    }
}

impl Sample {
    pub(super) fn anonymous() -> Self {
        Self { id: None, kind: Kind::Anonymous, roles: vec![], claims: Map::new(), ..Self::default() }
    }

    pub(super) fn with_claims(claims: Value) -> Self {
        Self { claims: object(claims), ..Self::default() }
    }

    pub(super) fn test(&self, condition: &Condition) -> Result<bool, EvaluationError> {
        self.with_scope(|scope| condition.test(scope))
    }

    pub(super) fn with_scope<T>(&self, asked: impl FnOnce(&Scope<'_>) -> T) -> T {
        let resource = ResourceView {
            kind: "contact",
            id: "7",
            attributes: &self.attributes,
            policy_version: "",
            scope: "acme.hr",
        };
        let principal = PrincipalView {
            id: self.id,
            kind: self.kind,
            roles: &self.roles,
            claims: Some(&self.claims),
            provider: self.id.map(|_| "main"),
            client_id: self.client_id,
            token: Some(&self.claims),
            ..PrincipalView::ANONYMOUS
        };
        let request = RequestParts {
            method: "GET",
            path: "/users/u-1/contacts/7",
            host: "api.example.com",
            query: Query::new(Some(self.query)),
            headers: Headers::new(&self.headers),
            client: [10, 1, 2, 3].into(),
            certificate: self.certificate.as_ref(),
        };
        asked(&Scope {
            principal,
            request: Some(request),
            captures: &self.captures,
            resource: Some(resource),
            now: UnixTime::from_seconds(1_700_000_000),
            nanos: 0,
            variables: None,
            derived_roles: &[],
        })
    }

    /// The answer in words.
    pub(super) fn answer(&self, text: &str, environment: &Environment) -> String {
        let condition = match Condition::compile(text, environment) {
            Ok(condition) => condition,
            Err(error) => return format!("does not compile: {error}"),
        };
        match self.test(&condition) {
            Ok(answer) => answer.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

pub(super) fn native() -> Environment {
    Environment::native(&["user", "id"])
}

/// Tests every row, and reports all that differ.
pub(super) fn check(sample: &Sample, environment: &Environment, rows: &[(&str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .map(|(text, expected)| (text, expected, sample.answer(text, environment)))
        .filter(|(_, expected, actual)| actual != *expected)
        .map(|(text, expected, actual)| format!("{text}\n  expected {expected}\n  got      {actual}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
