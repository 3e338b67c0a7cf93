//! What a condition is evaluated on: borrowed parts of one request, read lazily.
//!
//! Nothing is converted here. A part that the condition does not name is never looked at.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::identity::{Kind, Principal};
use crate::request::{ClientCertificate, Headers, Query, RequestView};
use crate::time::UnixTime;

use super::Variables;

/// Everything that a condition may look at.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Who asks.
    pub principal: PrincipalView<'a>,
    /// The request. `None` where a decision is asked for without one: reading it is then an error.
    pub request: Option<RequestParts<'a>>,
    /// The captures of the route's pattern: name and decoded value.
    pub captures: &'a [(&'a str, &'a str)],
    /// What is asked for. `None` when the route names no resource.
    pub resource: Option<ResourceView<'a>>,
    /// The time of the decision: `now()`.
    pub now: UnixTime,
    /// What `now()` is beyond whole seconds, in nanoseconds.
    pub nanos: u32,
    /// `V` of Cerbos conditions. Where there are none, reading one is an error.
    pub variables: Option<&'a Variables<'a>>,
    /// `runtime.effectiveDerivedRoles` of Cerbos conditions.
    pub derived_roles: &'a [Box<str>],
}

/// Who asks, as plain data.
#[derive(Clone, Copy)]
pub struct PrincipalView<'a> {
    /// The id; `None` for an anonymous principal. A Cerbos principal always has one: reading it here is an error, never an empty text.
    pub id: Option<&'a str>,
    /// What kind it is.
    pub kind: Kind,
    /// For native conditions the groups of the token: the gateway's own roles follow from `kind` and are added while reading.
    /// For Cerbos conditions exactly the roles that `P.roles` lists.
    pub roles: &'a [Box<str>],
    /// The claims. Of a token's, an `email` that is not verified is not seen, whoever fills this in.
    pub claims: Option<&'a Map<String, Value>>,
    /// Whose word the claims are.
    pub origin: Origin,
    /// The id of the provider that vouches for it.
    pub provider: Option<&'a str>,
    /// The app client that the token was issued to.
    pub client_id: Option<&'a str>,
    /// `P.policyVersion` of Cerbos conditions, as it was asked for. Usually empty.
    pub policy_version: &'a str,
    /// `P.scope` of Cerbos conditions, as it was asked for. Usually empty.
    pub scope: &'a str,
    /// `request.auxData.jwt` of Cerbos conditions. The rule for `email` holds here too.
    pub token: Option<&'a Map<String, Value>>,
}

/// Whose word the claims of a principal are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A token's.
    Token,
    /// That of a trusted program which asks for a decision. What it says is seen as it is.
    Caller,
}

impl std::fmt::Debug for PrincipalView<'_> {
    /// Says nothing of the claims: they are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrincipalView").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl PrincipalView<'_> {
    /// Nobody that is known.
    pub const ANONYMOUS: Self = Self {
        id: None,
        kind: Kind::Anonymous,
        roles: &[],
        claims: None,
        origin: Origin::Token,
        provider: None,
        client_id: None,
        policy_version: "",
        scope: "",
        token: None,
    };
}

impl<'a> From<&'a Principal> for PrincipalView<'a> {
    /// The principal with the groups of its token as roles, and its claims as `claims` and as `request.auxData.jwt`.
    fn from(principal: &'a Principal) -> Self {
        let Some(verified) = principal.verified() else {
            return PrincipalView::ANONYMOUS;
        };
        let claims = verified.claims();
        Self {
            id: Some(verified.id()),
            kind: principal.kind(),
            roles: verified.roles(),
            claims: Some(claims.all()),
            origin: Origin::Token,
            provider: Some(verified.provider().as_str()),
            client_id: claims.client_id(),
            policy_version: "",
            scope: "",
            token: Some(claims.all()),
        }
    }
}

/// The parts of a request that conditions read.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The method, as it came.
    pub method: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The host's name in lower case, without the port.
    pub host: &'a str,
    /// The query, as it came.
    pub query: Query<'a>,
    /// The header fields, identity headers already removed.
    pub headers: Headers<'a>,
    /// The client's address, by the rules of the trusted proxies.
    pub client: IpAddr,
    /// The client's verified certificate, if it showed one.
    pub certificate: Option<&'a ClientCertificate>,
}

impl<'a> From<&RequestView<'a>> for RequestParts<'a> {
    fn from(view: &RequestView<'a>) -> Self {
        Self {
            method: view.method.as_str(),
            path: view.path.as_str(),
            host: view.host.name(),
            query: view.query,
            headers: view.headers,
            client: view.client,
            certificate: view.client_certificate,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ResourceView<'a> {
    /// The kind, as the route names it.
    pub kind: &'a str,
    /// The id; empty when the route gives none.
    pub id: &'a str,
    /// The attributes that were found. An absent one is not in the map.
    pub attributes: &'a Map<String, Value>,
    /// `R.policyVersion` of Cerbos conditions, as it was asked for. Usually empty.
    pub policy_version: &'a str,
    /// `R.scope` of Cerbos conditions, as it was asked for. Usually empty.
    pub scope: &'a str,
}
