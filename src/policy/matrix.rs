//! The access matrix: every route and method against some principals, as text.
//!
//! Decides with the policy set itself, so it cannot tell anything else than what requests meet. Each route with captures is asked
//! twice: with every capture the principal's own id, and with one that is not.

use std::{fmt::Write as _, net::IpAddr};

use http::{HeaderMap, Method};

use super::{Body, Decision, Findings, HostPattern, PolicySet, Query, Route};
use crate::{
    identity::{Authentication, Principal},
    policy::route::PathPattern,
    request::{CanonicalPath, Headers, Host, Query as UrlQuery, RequestView},
    time::UnixTime,
};

/// A principal and what to call it in the table.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its column.
    pub name: String,
    /// Who asks.
    pub principal: Principal,
}

/// Whose id stands in the captures of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Other,
}

/// An id that no sample has.
const STRANGER: &str = "somebody-else";
/// The narrowest column.
const WIDTH: usize = 18;

/// Renders the table: a block for each route, a line for each method, a column for each sample.
///
/// A cell is `allow`, a reason, `needs_body`, `attribute_malformed`, or `credential_missing` where the route wants a credential.
pub fn render(policies: &PolicySet, samples: &[Sample], now: UnixTime) -> String {
    let asking = Asking { policies, now };
    let mut text = String::new();
    for route in policies.routes() {
        let _ = writeln!(text, "{}  {}", route.id, route.path);
        row(&mut text, ["", ""], samples.iter().map(|sample| sample.name.clone()));
        for method in route.methods.iter() {
            for whose in [Whose::Own, Whose::Other] {
                let captures = route.path.captures().next().is_some();
                if whose == Whose::Other && !captures {
                    continue;
                }
                let label = match (captures, whose) {
                    (false, _) => "",
                    (true, Whose::Own) => "own",
                    (true, Whose::Other) => "other",
                };
                let cells = samples.iter().map(|sample| asking.cell(route, method, sample, whose));
                row(&mut text, [method.as_str(), label], cells);
            }
        }
        text.push('\n');
    }
    text
}

fn row(text: &mut String, [method, label]: [&str; 2], cells: impl Iterator<Item = String>) {
    let mut line = format!("  {method:8} {label:6}");
    for cell in cells {
        let _ = write!(line, " {cell:WIDTH$}");
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Whom the cells are asked of.
struct Asking<'a> {
    policies: &'a PolicySet,
    now: UnixTime,
}

impl Asking<'_> {
    fn cell(&self, route: &Route, method: &Method, sample: &Sample, whose: Whose) -> String {
        let anonymous = Principal::Anonymous;
        let principal = match route.authentication {
            Authentication::Required if sample.principal.verified().is_none() => {
                return "credential_missing".to_owned();
            }
            Authentication::Required | Authentication::Optional => &sample.principal,
            Authentication::None => &anonymous,
        };
        let own = sample.principal.verified().map_or(STRANGER, |verified| verified.id());
        let path = fill(&route.path, if whose == Whose::Own { own } else { STRANGER });
        let (Ok(path), Ok(host)) = (CanonicalPath::parse(path.as_bytes()), Host::parse(host(route).as_bytes())) else {
            return "unreachable".to_owned();
        };
        let fields = HeaderMap::new();
        let view = RequestView {
            method,
            host: &host,
            path: &path,
            query: UrlQuery::default(),
            headers: Headers::new(&fields),
            client: IpAddr::from([192, 0, 2, 1]),
            secure: true,
            websocket: false,
            client_certificate: None,
        };
        let Ok(matched) = self.policies.route(&view) else { return "shadowed".to_owned() };
        if matched.route.id != route.id {
            return format!("see {}", matched.route.id);
        }
        let query = Query { principal, matched: &matched, view: &view, body: Body::Unread, now: self.now };
        match self.policies.decide(query, &mut Findings::default()) {
            Decision::Allow(_) => "allow",
            Decision::Deny(reason) => reason.code(),
            Decision::NeedsBody => "needs_body",
            Decision::AttributeMalformed => "attribute_malformed",
        }
        .to_owned()
    }
}

/// A path of that pattern.
fn fill(pattern: &PathPattern, value: &str) -> String {
    let mut path = pattern.as_str().to_owned();
    for name in pattern.captures() {
        path = path.replace(&format!("{{{name}}}"), value).replace(&format!("{{{name}..}}"), value);
    }
    path
}

/// A host of that route.
fn host(route: &Route) -> String {
    match route.hosts.first() {
        None => "gateway.example".to_owned(),
        Some(HostPattern::Exact(name)) => name.to_string(),
        Some(HostPattern::Suffix(suffix)) => format!("any{suffix}"),
    }
}

#[cfg(test)]
mod tests;
