//! Any other OpenID Connect issuer: everything that Cognito implies is written out.

use jsonwebtoken::Algorithm;

use super::{Block, Read, issuer, jwks};
use crate::{
    config::read::{each_once, or},
    token::Dialect,
    yaml::Cursor,
};

/// The accepted algorithms. What is missing here is missing on purpose: `none` and the `HS` family.
pub(in crate::config) const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// Reads `oidc` and the keys beside it.
pub(super) fn provider(mut block: Block<'_>) -> Option<Read> {
    let jwks_at = block.common("jwks");
    let jwks = match &jwks_at {
        Some(at) => jwks(at),
        None => missing(&block, "jwks"),
    };
    let allow_insecure = jwks.as_ref().is_none_or(|jwks| jwks.allow_insecure);
    let issuer = match block.common("issuer") {
        Some(at) => issuer(&at, allow_insecure),
        None => missing(&block, "issuer"),
    };
    let audiences = block.inner.require("audiences").and_then(|at| each_once(&at.list()?, audience));
    let read = |at: &Cursor<'_>| each_once(&at.list()?, algorithm);
    let algorithms = or(&mut block.inner, "algorithms", || vec![Algorithm::RS256], read);
    let common = block.claims();
    block.inner.finish();
    Some(Read {
        issuers: vec![issuer?],
        dialect: Dialect::Oidc { audiences: audiences? },
        algorithms: algorithms?,
        keys: jwks?.source,
        common: common?,
    })
}

fn missing<T>(block: &Block<'_>, key: &str) -> Option<T> {
    block.inner.here().error_with_help("Y005", format!("`{key}` is missing"), format!("add `{key}` here"));
    None
}

fn audience(at: &Cursor<'_>) -> Option<String> {
    at.text().map(str::to_owned)
}

fn algorithm(at: &Cursor<'_>) -> Option<Algorithm> {
    let text = at.text()?;
    let found = ALGORITHMS.iter().find(|(name, _)| *name == text).map(|(_, algorithm)| *algorithm);
    if found.is_none() {
        let known = ALGORITHMS.map(|(name, _)| name).join(", ");
        // SECURITY: whoever can verify an HS token can sign one: `none_and_shared_secret_algorithms_are_refused`.
        let message = if text.eq_ignore_ascii_case("none") || text.starts_with("HS") {
            format!("`{text}` is never accepted: anyone could sign with it")
        } else {
            format!("`{text}` is not a signature algorithm that is known here")
        };
        at.error_with_help("C031", message, format!("accepted are: {known}"));
    }
    found
}
