//! The section `identity`: where tokens stand in a request, and what holds for all providers.

use super::{
    Identity, IdentityHeader, KeyTimes,
    bounds::{KEY_MIN_REFETCH, KEY_REFRESH, KEY_STALE, KEY_TIMEOUT, LEEWAY, MAX_LIFETIME, TOKEN_CACHE},
    headers::{self, claim_name},
    providers,
    read::{count, duration, each_once, or},
    url::Site,
};
use crate::{
    identity::{CredentialSource, Origin},
    yaml::{Cursor, MapCursor},
};

/// The claim that names the principal, where neither the provider nor the section says otherwise.
pub(super) const PRINCIPAL_CLAIM: &str = "sub";
/// The claim that lists the groups, likewise.
pub(super) const ROLES_CLAIM: &str = "cognito:groups";

/// Reads the section.
pub(super) fn identity(at: &Cursor<'_>, identity_headers: Option<&[IdentityHeader]>) -> Option<Identity> {
    let mut map = at.map()?;
    let claims = shared_claims(&mut map);
    let providers = map.require("providers");
    let providers = providers.and_then(|at| providers::providers(&at, claims.as_ref()));
    let read = |at: &Cursor<'_>| credentials(at, identity_headers.unwrap_or_default());
    let credentials = or(&mut map, "credentials", || vec![CredentialSource::Bearer], read);
    let cookie_origins = map.take("cookie_origins");
    let cookie_origins = cookie_origins.map_or_else(|| Some(Vec::new()), |at| origins(&at, credentials.as_deref()));
    let keys = key_times(map.take("keys").as_ref());
    let token_cache_entries = token_cache(map.take("token_cache").as_ref());
    map.finish();
    Some(Identity {
        providers: providers?,
        credentials: credentials?,
        cookie_origins: cookie_origins?,
        keys: keys?,
        token_cache_entries: token_cache_entries?,
    })
}

fn shared_claims(map: &mut MapCursor<'_>) -> Option<providers::Shared> {
    let principal_claim = or(map, "principal_claim", || PRINCIPAL_CLAIM.to_owned(), providers::principal_claim);
    let roles_claim = or(map, "roles_claim", || ROLES_CLAIM.to_owned(), claim_name);
    let leeway = duration(map, "leeway", &LEEWAY);
    let max_lifetime = duration(map, "max_lifetime", &MAX_LIFETIME);
    Some(providers::Shared {
        principal_claim: principal_claim?,
        roles_claim: roles_claim?,
        leeway: leeway?,
        max_lifetime: max_lifetime?,
    })
}

fn credentials(at: &Cursor<'_>, identity_headers: &[IdentityHeader]) -> Option<Vec<CredentialSource>> {
    each_once(&at.list()?, |at| credential(at, identity_headers))
}

fn credential(at: &Cursor<'_>, identity_headers: &[IdentityHeader]) -> Option<CredentialSource> {
    if at.node().as_text() == Some("bearer") {
        return Some(CredentialSource::Bearer);
    }
    if at.node().as_map().is_none_or(|entries| entries.len() != 1) {
        at.error_with_help(
            "C021",
            "this names no credential",
            "write `bearer`, `{ cookie: NAME }` or `{ header: NAME }`",
        );
        return None;
    }
    let mut map = at.map()?;
    let source = match (map.take("cookie"), map.take("header")) {
        (Some(cookie), _) => cookie_name(&cookie).map(CredentialSource::Cookie),
        (None, Some(header)) => credential_header(&header, identity_headers),
        (None, None) => None,
    };
    map.finish();
    source
}

/// A cookie name is a token (RFC 6265 section 4.1.1).
fn cookie_name(at: &Cursor<'_>) -> Option<String> {
    let text = at.text()?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.bytes().all(is_token) {
        at.error_with_help(
            "C021",
            format!("`{text}` is not the name of a cookie"),
            "a cookie name has no spaces, quotes, commas, semicolons or `=`",
        );
        return None;
    }
    Some(text.to_owned())
}

fn credential_header(at: &Cursor<'_>, identity_headers: &[IdentityHeader]) -> Option<CredentialSource> {
    let text = at.text()?;
    let name = headers::free_name(at, text)?;
    if headers::is_identity(&name, identity_headers) {
        at.error_with_help(
            "C022",
            format!("the header `{text}` tells upstreams who asks, and is removed from every request"),
            "take the token from another header",
        );
        return None;
    }
    Some(CredentialSource::Header(name))
}

fn origins(at: &Cursor<'_>, credentials: Option<&[CredentialSource]>) -> Option<Vec<Origin>> {
    let items = at.list_or_empty()?;
    let by_cookie = |sources: &[CredentialSource]| sources.iter().any(|s| matches!(s, CredentialSource::Cookie(_)));
    if !items.is_empty() && !credentials.is_none_or(by_cookie) {
        at.warning(
            "C025",
            "these origins change nothing: no cookie is a credential",
            "add `{ cookie: NAME }` to `credentials`, or leave `cookie_origins` out",
        );
    }
    each_once(&items, origin)
}

fn origin(at: &Cursor<'_>) -> Option<Origin> {
    let text = at.text()?;
    match Site::parse(text) {
        // What a site prints is an origin: lower case, and without the scheme's own port.
        Ok(site) => site.to_string().parse().ok(),
        Err(error) => {
            at.error_with_help(
                "C024",
                error.about("origin", text),
                "an origin is a scheme, a host and perhaps a port, such as `https://app.example` or `http://localhost:3000`",
            );
            None
        }
    }
}

fn key_times(at: Option<&Cursor<'_>>) -> Option<KeyTimes> {
    let Some(at) = at else {
        return Some(KeyTimes {
            refresh: KEY_REFRESH.default.duration(),
            min_refetch: KEY_MIN_REFETCH.default.duration(),
            stale_if_error: KEY_STALE.default.duration(),
            timeout: KEY_TIMEOUT.default.duration(),
        });
    };
    let mut map = at.map()?;
    let refresh = duration(&mut map, "refresh", &KEY_REFRESH);
    let min_refetch = duration(&mut map, "min_refetch", &KEY_MIN_REFETCH);
    let stale_if_error = duration(&mut map, "stale_if_error", &KEY_STALE);
    let timeout = duration(&mut map, "timeout", &KEY_TIMEOUT);
    map.finish();
    Some(KeyTimes { refresh: refresh?, min_refetch: min_refetch?, stale_if_error: stale_if_error?, timeout: timeout? })
}

fn token_cache(at: Option<&Cursor<'_>>) -> Option<usize> {
    let Some(at) = at else { return usize::try_from(TOKEN_CACHE.default).ok() };
    let mut map = at.map()?;
    let entries = count(&mut map, "entries", &TOKEN_CACHE);
    map.finish();
    entries
}
