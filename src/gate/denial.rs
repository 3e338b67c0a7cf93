//! Every way in which a request is not forwarded.
//!
//! One closed enum. [`Denial::code`] is the word for the operator (audit line, metric label), [`Denial::face`] is all that a client hears:
//! by its type it cannot carry request data.

use std::{fmt, num::NonZeroU32};

use bytes::Bytes;
use thiserror::Error;

use crate::{
    identity::AuthenticationError,
    policy::{DenyReason, RouteFault},
    request::{
        TargetError,
        wire::{Malformation, WireFault},
    },
    token::TokenError,
};

/// Why a request was not forwarded, or not answered by the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denial {
    /// The target has more than one reading.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// The head, the host or the framing is not acceptable.
    #[error("{0}")]
    Malformed(#[from] Malformation),
    /// The credential is missing, ambiguous or not valid.
    #[error("{0}")]
    Authentication(#[from] AuthenticationError),
    /// A part of the request that the route's rules need is repeated or unreadable.
    #[error("an attribute that the rules need is repeated or unreadable")]
    AttributeMalformed,
    /// No route takes the host and path.
    #[error("no route matches")]
    NoRoute,
    /// Routes take the path, but not with this method. Holds the `Allow` field.
    #[error("the method is not allowed")]
    MethodNotAllowed(http::HeaderValue),
    /// The rules say no.
    #[error("the rules deny: {}", .0.code())]
    Forbidden(DenyReason),
    /// The rules say no, and the route hides that it exists.
    #[error("the rules deny, concealed: {}", .0.code())]
    Concealed(DenyReason),
    /// The identity cannot be told to the upstream without ambiguity.
    #[error("the identity does not fit into header fields")]
    IdentityNotRepresentable,
    /// A preflight asks for an origin, a method or a field that the route's `cors` does not list.
    #[error("the preflight asks for what `cors` does not list")]
    PreflightRefused,
    /// More requests than a limit of the route takes.
    #[error("a limit is used up for {wait} s")]
    RateLimited {
        /// Seconds until the next one passes.
        wait: NonZeroU32,
    },
    /// The client took too long.
    #[error("the client took too long")]
    RequestTimeout,
    /// The body is larger than the route or the decision takes.
    #[error("the body is too large")]
    BodyTooLarge,
    /// A decision needs the body, and it is not plain `application/json`.
    #[error("the body is not plain JSON")]
    BodyUnsupported,
    /// The head is larger than the limits.
    #[error("the head is too large")]
    HeadersTooLarge,
    /// More connections than the limits.
    #[error("too many connections")]
    Overloaded,
    /// No server of the upstream takes the request.
    #[error("no server of the upstream is reachable")]
    UpstreamUnreachable,
    /// The upstream took too long.
    #[error("the upstream took too long")]
    UpstreamTimeout,
    /// A defect of the gateway. Never an allow.
    #[error("internal error")]
    Internal,
}

impl From<WireFault> for Denial {
    fn from(fault: WireFault) -> Self {
        match fault {
            WireFault::Malformed(reason) => Self::Malformed(reason),
            WireFault::TooManyHeaders | WireFault::TargetTooLong => Self::HeadersTooLarge,
        }
    }
}

impl From<RouteFault<'_>> for Denial {
    fn from(fault: RouteFault<'_>) -> Self {
        match fault {
            RouteFault::NoRoute => Self::NoRoute,
            RouteFault::MethodNotAllowed { allow } => Self::MethodNotAllowed(allow.clone()),
        }
    }
}

/// When a client may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// In a second: nobody knows when, but not at once.
    Soon,
    /// In so many seconds.
    Seconds(NonZeroU32),
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Soon => f.write_str("1"),
            Self::Seconds(seconds) => seconds.fmt(f),
        }
    }
}

/// What a client is told. Static texts and a number of our own: it cannot carry request data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Face {
    /// The status.
    pub status: u16,
    /// The `code` member of the problem document.
    pub code: &'static str,
    /// The `title` member.
    pub title: &'static str,
    /// `WWW-Authenticate`, for 401 and for a missing scope (RFC 6750 section 3).
    pub challenge: Option<&'static str>,
    /// `Retry-After`.
    pub retry_after: Option<RetryAfter>,
}

impl Face {
    const fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self { status, code, title, challenge: None, retry_after: None }
    }

    const fn challenging(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    const fn retry(mut self, after: RetryAfter) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The problem document (RFC 9457). `request_id` is the gateway's own and made of safe characters.
    pub fn body(&self, request_id: &str) -> Bytes {
        Bytes::from(format!(
            "{{\"type\":\"urn:cogward:problem:{}\",\"title\":\"{}\",\"status\":{},\"code\":\"{}\",\"request_id\":\"{request_id}\"}}\n",
            self.code, self.title, self.status, self.code
        ))
    }
}

const REALM: &str = "Bearer realm=\"cogward\"";
const INVALID_TOKEN: &str = "Bearer realm=\"cogward\", error=\"invalid_token\"";
const INSUFFICIENT_SCOPE: &str = "Bearer realm=\"cogward\", error=\"insufficient_scope\"";

const NO_ROUTE: Face = Face::new(404, "no_route", "there is nothing here");

/// The methods of a route that names none.
const USUAL_METHODS: http::HeaderValue = http::HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

impl Denial {
    /// The refusal of a CONNECT, which no route takes.
    pub fn connect() -> Self {
        Self::MethodNotAllowed(USUAL_METHODS)
    }

    /// The end of a stream whose token has expired.
    pub fn expired() -> Self {
        Self::Authentication(AuthenticationError::Token(TokenError::Expired))
    }

    /// Does the answer say what the route's policy says of itself (CORS, rate limits)?
    pub fn tells_policy(&self) -> bool {
        // SECURITY: a path that does not exist has none: `a_concealed_denial_looks_like_no_route`.
        !matches!(self, Self::Concealed(_))
    }

    /// The `Allow` field of a 405 (RFC 9110 section 15.5.6).
    pub fn allow(&self) -> Option<&http::HeaderValue> {
        if let Self::MethodNotAllowed(allow) = self { Some(allow) } else { None }
    }

    /// The word for it in audit lines and metrics: the closed vocabulary.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Target(_) => "target_ambiguous",
            Self::Malformed(_) => "request_malformed",
            Self::Authentication(error) => error.code(),
            Self::AttributeMalformed => "attribute_malformed",
            Self::NoRoute => "no_route",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::Forbidden(reason) | Self::Concealed(reason) => reason.code(),
            Self::IdentityNotRepresentable => "identity_not_representable",
            Self::PreflightRefused => AuthenticationError::CrossSite.code(),
            Self::RateLimited { .. } => "rate_limited",
            Self::RequestTimeout => "request_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyUnsupported => "body_unsupported",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Overloaded => "overloaded",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Internal => "internal_error",
        }
    }

    /// What the client is told.
    pub fn face(&self) -> Face {
        match self {
            Self::Target(_) => Face::new(400, "target_ambiguous", "the request target is not acceptable"),
            Self::Malformed(_) => Face::new(400, "request_malformed", "the request is malformed"),
            Self::Authentication(error) => face_of_authentication(error),
            Self::AttributeMalformed => {
                Face::new(400, "attribute_malformed", "a part of the request is repeated or unreadable")
            }
            Self::NoRoute => NO_ROUTE,
            // SECURITY: the same bytes as for a path that does not exist: `a_concealed_denial_looks_like_no_route`.
            Self::Concealed(_) => NO_ROUTE,
            Self::MethodNotAllowed(_) => Face::new(405, "method_not_allowed", "the method is not allowed here"),
            Self::Forbidden(reason) => face_of_reason(*reason),
            Self::IdentityNotRepresentable => {
                Face::new(403, "identity_not_representable", "the identity cannot be passed on")
            }
            // Closed vocabulary: what another site may not do is `cross_site`.
            Self::PreflightRefused => face_of_authentication(&AuthenticationError::CrossSite),
            Self::RateLimited { wait } => {
                Face::new(429, "rate_limited", "too many requests").retry(RetryAfter::Seconds(*wait))
            }
            Self::RequestTimeout => Face::new(408, "request_timeout", "the request took too long"),
            Self::BodyTooLarge => Face::new(413, "body_too_large", "the request body is too large"),
            Self::BodyUnsupported => Face::new(415, "body_unsupported", "the request body must be plain JSON"),
            Self::HeadersTooLarge => Face::new(431, "headers_too_large", "the request head is too large"),
            Self::Overloaded => Face::new(503, "overloaded", "try again later").retry(RetryAfter::Soon),
            Self::UpstreamUnreachable => Face::new(502, "upstream_unreachable", "the upstream cannot be reached"),
            Self::UpstreamTimeout => Face::new(504, "upstream_timeout", "the upstream took too long"),
            Self::Internal => Face::new(500, "internal_error", "something went wrong"),
        }
    }
}

fn face_of_authentication(error: &AuthenticationError) -> Face {
    match error {
        AuthenticationError::Missing => {
            Face::new(401, "credential_missing", "authentication is required").challenging(REALM)
        }
        AuthenticationError::Conflicting => {
            Face::new(400, "credential_conflict", "more than one credential was presented")
        }
        AuthenticationError::CrossSite => Face::new(403, "cross_site", "the request comes from another site"),
        AuthenticationError::Token(TokenError::KeysUnavailable { .. }) => {
            Face::new(503, "keys_unavailable", "try again later").retry(RetryAfter::Soon)
        }
        AuthenticationError::Token(
            TokenError::Malformed
            | TokenError::UnknownIssuer
            | TokenError::UnknownKey { .. }
            | TokenError::BadSignature
            | TokenError::WrongUse
            | TokenError::WrongClient
            | TokenError::Expired
            | TokenError::NotYetValid
            | TokenError::ClaimsInvalid,
        ) => Face::new(401, "token_invalid", "the token is not valid").challenging(INVALID_TOKEN),
    }
}

fn face_of_reason(reason: DenyReason) -> Face {
    let face = Face::new(403, reason.code(), "access is not allowed");
    match reason {
        DenyReason::InsufficientScope => face.challenging(INSUFFICIENT_SCOPE),
        DenyReason::ExplicitDeny
        | DenyReason::EvaluationError
        | DenyReason::NotOwner
        | DenyReason::MissingRole
        | DenyReason::NoRule => face,
    }
}
