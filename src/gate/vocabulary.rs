//! The closed vocabulary for people: every way of not being forwarded, when it happens and what to do about it.
//!
//! `docs/errors.md` is rendered from it. The table is one match over all shapes of [`Denial`], so a new shape does not build until it has
//! its words. Decides nothing and is never asked while a request is served.

use std::fmt::Write;

use super::{Denial, Face, RetryAfter};
use crate::{
    identity::AuthenticationError::{Conflicting, CrossSite, Missing, Token},
    policy::DenyReason::{EvaluationError, ExplicitDeny, InsufficientScope, MissingRole, NoRule, NotOwner},
    request::{TargetError, wire::Malformation},
    token::TokenError,
};

/// What people are told about a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// When it happens.
    pub when: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

/// Each row is a shape, one denial of that shape, and its words.
macro_rules! vocabulary {
    ($($shape:pat = $sample:expr => $when:literal, $advice:literal;)+) => {
        impl Denial {
            /// One denial of every shape, in the order of a request's way through the gateway.
            pub fn every_shape() -> Vec<Self> {
                vec![$($sample),+]
            }

            /// What people are told about it.
            pub fn words(&self) -> Words {
                match self {
                    $($shape => Words { when: $when, advice: $advice },)+
                }
            }
        }
    };
}

vocabulary! {
    Denial::Overloaded = Denial::Overloaded =>
        "there are as many connections as `limits.connections` or `limits.connections_per_address` allows, or as many requests in work as `limits.requests`",
        "scale out, or raise the limit with the memory for it; look for clients that keep connections open, and for an upstream that has become slow";
    Denial::RequestTimeout = Denial::RequestTimeout =>
        "the head did not arrive within `limits.header_timeout`, or the body stood still for `limits.body_stall` or came more slowly than `limits.min_rate`",
        "a client or a network that is too slow; raise the limit where that is expected";
    Denial::HeadersTooLarge = Denial::HeadersTooLarge =>
        "the head is larger than `limits.header_bytes`, has more fields than `limits.headers`, or a target longer than `limits.target_bytes`",
        "send less, cookies first of all, or raise the limit";
    Denial::Malformed(_) = Denial::Malformed(Malformation::NotOneHead) =>
        "the head, the `Host` or the framing breaks the grammar of HTTP or has two readings, such as `Content-Length` beside `Transfer-Encoding`; \
         or a body whose chunks are broken",
        "mend the client; nothing is repaired on its behalf";
    Denial::Target(_) = Denial::Target(TargetError::NotOriginForm) =>
        "the target has more than one reading: dot segments, empty segments, encoded slashes or controls, double encoding, `;`, `\\`, \
         characters that a URI cannot have",
        "send the path in its plain form; a value that holds such characters belongs into the query or the body";
    Denial::NoRoute = Denial::NoRoute =>
        "no route has this host and path",
        "compare host, path and trailing slash with the routes; a host with routes of its own never falls back to routes without `hosts`";
    Denial::MethodNotAllowed(_) = Denial::MethodNotAllowed(http::HeaderValue::from_static("GET, HEAD")) =>
        "routes take the path, but not with this method; `Allow` lists those that they take",
        "add the method to the route's `methods` or `actions`";
    Denial::Authentication(Missing) = Denial::Authentication(Missing) =>
        "the route requires a credential and there is none; or an anonymous caller was not allowed by the rules",
        "send a token at one of the places in `identity.credentials`";
    Denial::Authentication(Conflicting) = Denial::Authentication(Conflicting) =>
        "two credentials that differ, two `Authorization` fields, or a credential cookie that stands twice",
        "send one credential; sign out of the other session";
    Denial::Authentication(CrossSite) = Denial::Authentication(CrossSite) =>
        "a cookie authenticates an unsafe method or a WebSocket, and the request comes from another site or does not say from where",
        "add the page's origin to `identity.cookie_origins`, or send the token in `Authorization`";
    Denial::Authentication(Token(TokenError::Malformed)) = Denial::Authentication(Token(TokenError::Malformed)) =>
        "not one `Bearer` token of three base64url parts that hold JSON objects, larger than `limits.token_bytes`, or with a header that asks \
         for what is not done: another algorithm, `crit`, compression",
        "look at what the client sends: an opaque or encrypted token, a repeated claim, white space";
    Denial::Authentication(Token(TokenError::UnknownIssuer)) = Denial::Authentication(Token(TokenError::UnknownIssuer)) =>
        "no provider has the token's `iss`, or the route's `providers` leave that provider out",
        "compare the token's `iss` with the pool ids and issuers of the settings, byte for byte";
    Denial::Authentication(Token(TokenError::UnknownKey { .. }))
        = Denial::Authentication(Token(TokenError::UnknownKey { provider: 0 })) =>
        "keys of the provider are held, and none is named by the token's `kid`, also after a fetch where one was due",
        "many of these after a rotation: look at `cogward_jwks_fetches_total`; otherwise the token is from somebody else";
    Denial::Authentication(Token(TokenError::KeysUnavailable { .. }))
        = Denial::Authentication(Token(TokenError::KeysUnavailable { provider: 0 })) =>
        "no key of the token's provider is held: none was fetched yet, or the last good ones are older than `identity.keys.stale_if_error`",
        "see that the gateway reaches the key server; the log says why the fetch fails";
    Denial::Authentication(Token(TokenError::BadSignature)) = Denial::Authentication(Token(TokenError::BadSignature)) =>
        "the signature does not verify with the key that the token names",
        "the token was changed or forged, or the configured keys are those of another pool";
    Denial::Authentication(Token(TokenError::WrongUse)) = Denial::Authentication(Token(TokenError::WrongUse)) =>
        "`token_use` is not accepted here: an ID token where access tokens are, or the reverse",
        "send the other token, or set `token_use` in the route or the provider";
    Denial::Authentication(Token(TokenError::WrongClient)) = Denial::Authentication(Token(TokenError::WrongClient)) =>
        "the app client (`client_id` of an access token, `aud` of an ID token) or the audience is not configured",
        "add it to the provider's `client_ids` or `audiences`, if it shall have access";
    Denial::Authentication(Token(TokenError::Expired)) = Denial::Authentication(Token(TokenError::Expired)) =>
        "`exp` has passed; there is no tolerance",
        "refresh the token; where fresh ones expire at once, look at the gateway's clock";
    Denial::Authentication(Token(TokenError::NotYetValid)) = Denial::Authentication(Token(TokenError::NotYetValid)) =>
        "`nbf` or `iat` is further ahead than `identity.leeway`",
        "synchronise the clocks";
    Denial::Authentication(Token(TokenError::ClaimsInvalid)) = Denial::Authentication(Token(TokenError::ClaimsInvalid)) =>
        "a required claim is absent or impossible, or the token lives longer than `identity.max_lifetime`",
        "look at the token's `exp`, `iat`, groups and principal claim; raise `identity.max_lifetime` where the pool's lifetime is longer";
    Denial::RateLimited { .. } = Denial::RateLimited { wait: std::num::NonZeroU32::MIN } =>
        "the route's `rate_limit` is used up: for the address and for the route as a whole before the credential is looked at, for a \
         principal or a claim after that",
        "wait as `Retry-After` says; `RateLimit` tells which limit it is. Raise the limit, or count for another key";
    Denial::PreflightRefused = Denial::PreflightRefused =>
        "a CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) asks for an origin, a method or a field that the \
         route's `cors` does not list",
        "add it to the route's `cors`, if pages of that origin shall use the route";
    Denial::AttributeMalformed = Denial::AttributeMalformed =>
        "a query parameter, a header or a value of the body that a rule or the resource needs is repeated or unreadable",
        "send it once, as text; a body as JSON without repeated keys";
    Denial::BodyUnsupported = Denial::BodyUnsupported =>
        "a rule needs the body, and it is not `application/json` or has a `Content-Encoding`",
        "send plain JSON, or take the attribute from elsewhere";
    Denial::BodyTooLarge = Denial::BodyTooLarge =>
        "the body is larger than the route's `body_bytes` or `limits.body_bytes`; or a rule needs it and it is larger than \
         `limits.decision_body_bytes`",
        "send less, or raise the limit";
    Denial::Forbidden(ExplicitDeny) = Denial::Forbidden(ExplicitDeny) =>
        "a deny rule applies; the audit line names it",
        "meant so; else look at that rule";
    Denial::Forbidden(EvaluationError) = Denial::Forbidden(EvaluationError) =>
        "a condition cannot be evaluated: it reads what is absent, stands twice or has another type; the audit line names the rule",
        "ask before reading: `\"level\" in principal.claims && ...`; JSON numbers are doubles";
    Denial::Forbidden(NotOwner) = Denial::Forbidden(NotOwner) =>
        "the owner check of a rule that allows fails; an absent owner, and a machine where the rule does not name machines, never pass it",
        "compare the audit line's `principal` with what stands at its `owner_source`";
    Denial::Forbidden(InsufficientScope) = Denial::Forbidden(InsufficientScope) =>
        "a rule that allows asks for a scope that the token lacks",
        "request the scope when the token is issued";
    Denial::Forbidden(MissingRole) = Denial::Forbidden(MissingRole) =>
        "the principal has none of the roles of a rule that allows",
        "put the user into the group and sign in again: groups stand in the token";
    Denial::Forbidden(NoRule) = Denial::Forbidden(NoRule) =>
        "no rule allows this, and no other reason is nearer",
        "add a rule; denied is what nothing allows";
    Denial::Concealed(_) = Denial::Concealed(NoRule) =>
        "any of the six reasons above, on a route with `on_deny: not_found`; the audit line has the reason, the client sees a path that does not \
         exist",
        "look into the audit line";
    Denial::IdentityNotRepresentable = Denial::IdentityNotRepresentable =>
        "an identity header would have a second reading: a control character, a comma in a group, an object, or more than 8 KiB in all",
        "rename the group, or leave that claim out of `identity_headers`";
    Denial::UpstreamUnreachable = Denial::UpstreamUnreachable =>
        "no server of the upstream took the request, it broke off before it answered, or its answer is no valid HTTP",
        "look at `cogward_upstream_errors_total`; an upstream that closes idle connections early needs a shorter `timeouts.idle`";
    Denial::UpstreamTimeout = Denial::UpstreamTimeout =>
        "the upstream did not connect, read or answer within its `timeouts`",
        "look at the upstream, or raise the time in the upstream's or the route's `timeouts`";
    Denial::Internal = Denial::Internal =>
        "a defect of the gateway",
        "report it, with the log around it";
}

/// The reference page, `docs/errors.md`.
pub fn render_reference() -> String {
    let mut page = String::from(INTRODUCTION);
    let shapes = Denial::every_shape();
    let mut told: Vec<Face> = Vec::new();
    for denial in &shapes {
        let face = denial.face();
        if !told.contains(&face) {
            told.push(face);
        }
    }
    told.sort_by_key(|face| face.status);
    for face in told {
        let _ = writeln!(page, "| {} | `{}` | {} | {} |", face.status, face.code, face.title, fields(&face));
    }
    page.push_str(REASONS);
    for denial in &shapes {
        let (face, words) = (denial.face(), denial.words());
        let reason = if matches!(denial, Denial::Concealed(_)) { "any reason of a 403" } else { denial.code() };
        let reason = if reason.contains(' ') { reason.to_owned() } else { format!("`{reason}`") };
        let _ = writeln!(page, "| {reason} | {} `{}` | {} | {} |", face.status, face.code, words.when, words.advice);
    }
    page
}

/// The header fields that belong to an answer.
fn fields(face: &Face) -> String {
    let challenge = face.challenge.map(|challenge| format!("`WWW-Authenticate: {challenge}`"));
    let retry = face.retry_after.map(|after| match after {
        RetryAfter::Soon => format!("`Retry-After: {after}`"),
        RetryAfter::Seconds(_) => "`Retry-After`, `RateLimit`, `RateLimit-Policy`".to_owned(),
    });
    let allow = (face.status == 405).then(|| "`Allow`".to_owned());
    [challenge, retry, allow].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

const INTRODUCTION: &str = r#"# Errors

Every way in which the gateway answers by itself. This page is rendered from the code; a test compares it. Answers of an upstream pass
unchanged and are not listed here.

## What a client sees

An answer of the gateway is `application/problem+json` (RFC 9457), with `Cache-Control: no-store` and the `X-Request-Id` that also stands in
the audit line and went to the upstream:

```json
{"type":"urn:cogward:problem:not_owner","title":"access is not allowed","status":403,"code":"not_owner","request_id":"0190b6f2"}
```

`code` and `title` are fixed texts: no answer repeats what the request held. gRPC callers get status 200 with `grpc-status` (16 for 401, 7
for 403, 14 for 502 and 503, 4 for 408 and 504, 12 for 404 and 405, 3 for 400 and 415, 8 for 413, 429 and 431, else 13) and the code as
`grpc-message`.

| status | code | title | fields |
|---|---|---|---|
"#;

const REASONS: &str = r"
## What the audit line says

`reason` is finer than `code`: what exactly is wrong with a token is told to operators, not to whoever sent it. The same word is the label
`reason` of `cogward_decisions_total`. Where several rules fail, the first reason in this order is told: `explicit_deny`,
`evaluation_error`, `not_owner`, `insufficient_scope`, `missing_role`, `no_rule`.

Where two rows have one reason, both are about the same thing: `cross_site` is what a page of another site may not do, with a cookie or at
all.

A CORS preflight that the gateway answers with yes is an `allow` with the reason `preflight`: nothing was forwarded. What goes wrong after a
request was allowed (an upstream that fails, a body that grows too large) is an `allow` with that reason beside it.

| reason | answer | when | what to do |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect_file;

    use super::*;
    use crate::policy::DenyReason;

    #[test]
    fn the_errors_page_is_rendered_from_the_vocabulary() {
        expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md")].assert_eq(&render_reference());
    }

    #[test]
    fn each_shape_stands_beside_its_own_words() {
        let all: BTreeSet<&str> = Denial::every_shape().iter().map(|denial| denial.words().when).collect();
        assert_eq!(all.len(), Denial::every_shape().len(), "a sample has the shape of another row");
    }

    #[test]
    fn every_reason_of_the_rules_has_a_row() {
        let codes: Vec<&str> = Denial::every_shape().iter().map(Denial::code).collect();
        for reason in DenyReason::ALL {
            assert!(codes.contains(&reason.code()), "{}", reason.code());
        }
    }

    #[test]
    fn a_code_has_one_status_and_the_face_of_a_denial_has_its_own_code_or_hides_it() {
        for denial in Denial::every_shape() {
            let face = denial.face();
            let hides =
                face.code == "token_invalid" || (face.code == "no_route" && matches!(denial, Denial::Concealed(_)));
            assert!(hides || face.code == denial.code(), "{denial:?}");
            for other in Denial::every_shape() {
                assert!(other.face().code != face.code || other.face() == face, "{denial:?} {other:?}");
            }
        }
    }
}
