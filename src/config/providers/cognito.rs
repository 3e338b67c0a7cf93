//! A Cognito user pool: issuers and keys follow from its id, unless an emulator says otherwise.

use jsonwebtoken::Algorithm;

use super::{Block, Read, issuer, jwks, key_url};
use crate::{
    config::{
        KeySource,
        read::{each_once, or, word},
    },
    token::{Clients, Dialect, Issuer, TokenUse, TokenUses, UserPoolId},
    yaml::{Cursor, Node},
};

/// Reads `cognito` and the keys beside it.
pub(super) fn provider(mut block: Block<'_>) -> Option<Read> {
    let issuer_at = block.common("issuer");
    let pool_at = match issuer_at {
        Some(_) => block.inner.take("user_pool_id"),
        None => block.inner.require("user_pool_id"),
    };
    let jwks_at = block.common("jwks");
    let jwks = jwks_at.as_ref().map(jwks);
    // Where `jwks` did not compile, what it allows is not known: no second error about the same.
    let allow_insecure = jwks.as_ref().is_some_and(|jwks| jwks.as_ref().is_none_or(|jwks| jwks.allow_insecure));
    let issuers = match &issuer_at {
        Some(at) => pool_name(pool_at.as_ref()).and_then(|()| issuer(at, allow_insecure)).map(|issuer| vec![issuer]),
        None => pool_at.and_then(|at| at.parse::<UserPoolId>("C018", POOL_HELP)).map(|pool| pool.issuers().into()),
    };
    let clients = block.inner.require("client_ids").and_then(|at| clients(&at));
    let token_use = or(&mut block.inner, "token_use", || TokenUses::Access, token_uses);
    let common = block.claims();
    let keys = match jwks {
        Some(jwks) => jwks.map(|jwks| jwks.source),
        None => issuers.as_deref().and_then(|issuers| published_keys(issuer_at.as_ref(), &block, issuers)),
    };
    block.inner.finish();
    Some(Read {
        issuers: issuers?,
        dialect: Dialect::Cognito { clients: clients?, token_use: token_use? },
        algorithms: vec![Algorithm::RS256],
        keys: keys?,
        common: common?,
    })
}

/// What a pool id looks like.
const POOL_HELP: &str = "copy the id of the user pool, such as `eu-west-1_a1B2c3D4e`";

/// Where Cognito publishes the keys of the first of these issuers; emulators do the same.
fn published_keys(at: Option<&Cursor<'_>>, block: &Block<'_>, issuers: &[Issuer]) -> Option<KeySource> {
    let issuer = issuers.first()?.as_str().trim_end_matches('/');
    key_url(at.unwrap_or(block.inner.here()), &format!("{issuer}/.well-known/jwks.json"), false)
}

/// Beside an `issuer` the pool id selects nothing, but what stands there must be one, in the form of AWS or of an emulator.
fn pool_name(at: Option<&Cursor<'_>>) -> Option<()> {
    let Some(at) = at else { return Some(()) };
    let text = at.text()?;
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !text.split_once('_').is_some_and(|(region, name)| word(region) && word(name)) {
        at.error_with_help("C018", format!("`{text}` is not a user pool id"), POOL_HELP);
        return None;
    }
    Some(())
}

/// Reads `client_ids`: a list, or the word `any`.
fn clients(at: &Cursor<'_>) -> Option<Clients> {
    // SECURITY: only the file can open a pool to all its clients: `a_variable_cannot_accept_every_client`.
    if *at.node() == Node::Text("any".into()) {
        return Some(Clients::Any);
    }
    if at.node().as_list().is_some() {
        return each_once(&at.list()?, client).map(Clients::OneOf);
    }
    at.error_with_help(
        "C019",
        "`client_ids` is a list of app client ids, or the word `any`",
        "`any` accepts the tokens of every app client of the pool, and must be written out in this file",
    );
    None
}

fn client(at: &Cursor<'_>) -> Option<String> {
    let text = at.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'.');
    if text == "any" {
        at.error_with_help(
            "C019",
            "`any` is not a client id",
            "write `client_ids: any` to accept every app client of the pool",
        );
        return None;
    }
    if text.len() > 128 || !text.bytes().all(plain) {
        at.error_with_help(
            "C019",
            format!("`{text}` is not an app client id"),
            "copy the id of the app client from the user pool",
        );
        return None;
    }
    Some(text.to_owned())
}

fn token_uses(at: &Cursor<'_>) -> Option<TokenUses> {
    let uses = each_once(&at.list()?, |at| word(at, &[("access", TokenUse::Access), ("id", TokenUse::Id)]))?;
    Some(match (uses.contains(&TokenUse::Access), uses.contains(&TokenUse::Id)) {
        (true, true) => TokenUses::Both,
        (false, true) => TokenUses::Id,
        (true, false) | (false, false) => TokenUses::Access,
    })
}
