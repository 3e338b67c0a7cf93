//! HTTP cases: requests as clients would send them, and what the whole line is expected to answer.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use super::{
    checks::{Room, moment_at, skip, take_room},
    codes,
    read::{json, object, optional, stated},
};
use crate::{
    policy::cerbos::Clock,
    token::ProviderId,
    yaml::{Cursor, MapCursor, Pointer},
};

/// What cases may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    /// The providers, in the order of the settings.
    pub providers: &'a [ProviderId],
    /// The words for denials.
    pub denials: &'a [&'static str],
}

/// A request, and what is expected of it.
#[derive(Debug)]
pub struct RequestCase {
    /// Its name.
    pub name: Box<str>,
    /// The method.
    pub method: Method,
    /// The target, as it would stand in the request line.
    pub target: Box<str>,
    /// The header fields beside the credential, in their order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, where there is one.
    pub body: Option<Value>,
    /// The client's address; this machine's, if it is not said.
    pub client: Option<IpAddr>,
    /// Who asks.
    pub credential: CaseCredential,
    /// When; at the moment of the run, if it is not said.
    pub now: Option<Clock>,
    pub(super) skip: Option<Box<str>>,
    pub(super) expect: Expectation,
    pub(super) at: Pointer,
}

/// The credential of a case.
#[derive(Debug)]
pub enum CaseCredential {
    /// None.
    Absent,
    /// A good token with these claims beside what every token needs. A claim that is null is left out.
    Claims {
        /// The place of the provider in the settings.
        provider: usize,
        /// The claims.
        claims: Map<String, Value>,
    },
    /// This very token.
    Token(Box<str>),
}

/// What is expected.
#[derive(Debug)]
pub(super) enum Expectation {
    /// A route, or the rule of a route.
    Allow(Box<str>),
    /// The word for a denial.
    Deny(Box<str>),
    /// The status of a denial, or 204 for a preflight.
    Status(u16),
}

/// What the line said to a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It would be forwarded.
    Allowed {
        /// The route.
        route: String,
        /// The rule.
        rule: String,
    },
    /// It would be refused.
    Denied {
        /// The word for it.
        code: &'static str,
        /// The status that the client would get.
        status: u16,
    },
    /// It would be answered as a preflight, with 204.
    Preflight,
    /// The case could not be asked.
    Unasked(String),
}

/// A file of cases.
#[derive(Debug)]
pub(super) struct RequestSuite {
    pub(super) name: Option<Box<str>>,
    pub(super) cases: Vec<RequestCase>,
}

/// Reads a file of cases, but for its `apiVersion`.
pub(super) fn read(mut map: MapCursor<'_>, known: Vocabulary<'_>, room: &mut Room) -> Option<RequestSuite> {
    let name = map.take("name").map(|at| at.text().map(Into::into));
    let items = map.require("cases").and_then(|at| at.list());
    map.finish();
    let items = items?;
    let cases: Vec<_> = items.iter().filter_map(|at| case(at, known)).collect();
    if let Some(first) = items.first() {
        take_room(first, &mut room.cases, cases.len())?;
    }
    let name = stated(name)?;
    (cases.len() == items.len()).then_some(RequestSuite { name, cases })
}

fn case(at: &Cursor<'_>, known: Vocabulary<'_>) -> Option<RequestCase> {
    let mut map = at.map()?;
    let name = map.require("name").and_then(|at| at.text());
    let skip = skip(&mut map);
    let request = map.require("request").and_then(|at| request_line(&at));
    let headers = optional(&mut map, "headers", headers);
    let body = map.take_any("body").map(|node| json(at, node));
    let client = map.take("client_ip").map(|at| at.parse(codes::REQUEST, "write an address, as in `192.0.2.1`"));
    let credential = credential(&mut map, known);
    let now = map.take("now").map(|at| moment_at(&at));
    let expect = map.require("expect").and_then(|at| expectation(&at, known));
    map.finish();
    let (method, target) = request?;
    let (body, client, now) = (stated(body)?, stated(client)?, stated(now)?);
    Some(RequestCase {
        name: name?.into(),
        method,
        target,
        headers: headers?,
        body,
        client,
        credential: credential?,
        now,
        skip: skip?,
        expect: expect?,
        at: at.pointer().clone(),
    })
}

fn request_line(at: &Cursor<'_>) -> Option<(Method, Box<str>)> {
    let text = at.text()?;
    let read = text.split_once(' ').and_then(|(method, target)| {
        let is_one =
            !target.is_empty() && !target.contains(|letter: char| letter.is_whitespace() || letter.is_control());
        Some((Method::from_bytes(method.as_bytes()).ok().filter(|_| is_one)?, Box::from(target)))
    });
    if read.is_none() {
        let message = format!("`{text}` is not a request");
        at.error_with_help(codes::REQUEST, message, "write a method and a target, as in `GET /users/u-1/profile`");
    }
    read
}

fn headers(at: &Cursor<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut fields = Vec::new();
    let mut is_good = true;
    for (name, value) in at.map()?.entries() {
        // A name that stands several times holds a list.
        let values = if value.node().as_list().is_some() { value.list()? } else { vec![value.clone()] };
        for value in values {
            let text = super::read::string(&value)?;
            let field = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(text.as_bytes()).ok());
            if field.is_none() {
                let help = "names are letters, digits and `-`; values have no line breaks";
                value.error_with_help(
                    codes::REQUEST,
                    format!("`{name}` is not a header that a request can have"),
                    help,
                );
            }
            is_good &= field.is_some();
            fields.extend(field);
        }
    }
    is_good.then_some(fields)
}

fn credential(map: &mut MapCursor<'_>, known: Vocabulary<'_>) -> Option<CaseCredential> {
    let claims = map.take("claims");
    let token = map.take("token");
    let provider = map.take("provider");
    let place = match &provider {
        None => Some(0),
        Some(at) => provider_at(at, known),
    };
    match (claims, token) {
        (Some(_), Some(token)) => {
            token.error_with_help(codes::CREDENTIAL, "the case has claims and a token", "write one of them");
            None
        }
        (Some(claims), None) => Some(CaseCredential::Claims { provider: place?, claims: object(&claims)? }),
        (None, token) => {
            if let Some(at) = provider {
                at.error_with_help(codes::CREDENTIAL, "there are no claims for the provider", "write `claims`");
                return None;
            }
            match token {
                Some(token) => token.text().map(|text| CaseCredential::Token(text.into())),
                None => Some(CaseCredential::Absent),
            }
        }
    }
}

fn provider_at(at: &Cursor<'_>, known: Vocabulary<'_>) -> Option<usize> {
    let name = at.text()?;
    let place = known.providers.iter().position(|provider| provider.as_str() == name);
    if place.is_none() {
        let names: Vec<_> = known.providers.iter().map(ProviderId::as_str).collect();
        let help = format!("the settings have: {}", names.join(", "));
        at.error_with_help(codes::UNKNOWN, format!("there is no provider `{name}`"), help);
    }
    place
}

fn expectation(at: &Cursor<'_>, known: Vocabulary<'_>) -> Option<Expectation> {
    let mut map = at.map()?;
    let (allow, deny, status) = (map.take("allow"), map.take("deny"), map.take("status"));
    map.finish();
    match (allow, deny, status) {
        (Some(at), None, None) => at.text().map(|name| Expectation::Allow(name.into())),
        (None, Some(at), None) => {
            let word = at.text()?;
            if !known.denials.contains(&word) {
                let help = format!("write one of {}", known.denials.join(", "));
                at.error_with_help(codes::EXPECTATION, format!("nothing is denied with `{word}`"), help);
                return None;
            }
            Some(Expectation::Deny(word.into()))
        }
        (None, None, Some(at)) => {
            let status = u16::try_from(at.integer(100..=599)?).ok()?;
            if status != PREFLIGHT && status < 400 {
                let help = "the upstream answers what is allowed: write `allow: ROUTE`";
                at.error_with_help(codes::EXPECTATION, format!("the gateway never answers {status} by itself"), help);
                return None;
            }
            Some(Expectation::Status(status))
        }
        (_, _, _) => {
            at.error_with_help(
                codes::EXPECTATION,
                "a case expects one thing",
                "write one of `{ allow: ROUTE }`, `{ deny: REASON }` and `{ status: NUMBER }`",
            );
            None
        }
    }
}

/// The status of a preflight that is answered with yes.
const PREFLIGHT: u16 = 204;

impl Expectation {
    /// What is expected, in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Allow(name) => format!("allow: {name}"),
            Self::Deny(code) => format!("deny: {code}"),
            Self::Status(status) => format!("status: {status}"),
        }
    }

    pub(super) fn holds(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::Allow(name), Answer::Allowed { route, rule }) => **name == **route || **name == **rule,
            (Self::Deny(wanted), Answer::Denied { code, .. }) => **wanted == **code,
            (Self::Status(wanted), Answer::Denied { status, .. }) => wanted == status,
            (Self::Status(wanted), Answer::Preflight) => *wanted == PREFLIGHT,
            (Self::Allow(_) | Self::Deny(_), _) | (Self::Status(_), Answer::Allowed { .. } | Answer::Unasked(_)) => {
                false
            }
        }
    }
}

impl Answer {
    /// What was answered, in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Allowed { route, rule } => format!("allow: {route}, by {rule}"),
            Self::Denied { code, status } => format!("deny: {code}, status: {status}"),
            Self::Preflight => format!("a preflight, status: {PREFLIGHT}"),
            Self::Unasked(reason) => reason.clone(),
        }
    }
}

#[cfg(test)]
impl RequestCase {
    /// A request without a credential, of which nothing is expected.
    pub(crate) fn anonymous(method: Method, target: &str) -> Self {
        Self {
            name: "case".into(),
            method,
            target: target.into(),
            headers: Vec::new(),
            body: None,
            client: None,
            credential: CaseCredential::Absent,
            now: None,
            skip: None,
            expect: Expectation::Status(404),
            at: Pointer::default(),
        }
    }
}
