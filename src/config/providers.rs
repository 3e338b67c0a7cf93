//! The list `identity.providers`: whose tokens are accepted, what they must say and where the keys are.
//!
//! The keys that both kinds have (`issuer`, `jwks`, `role_prefix`, `principal_claim`, `roles_claim`) may stand beside `cognito`
//! or `oidc`, or inside it. No two providers share an issuer: the issuer of a token selects the one provider that judges it.

mod cognito;
mod oidc;

use std::time::Duration;

use http::Uri;

use super::{
    KeySource, ProviderSettings,
    headers::claim_name,
    read::{Ids, or, path},
    url::{Site, UrlError},
};
use crate::{
    token::{Issuer, Provider, ProviderId},
    yaml::{Cursor, MapCursor},
};

/// What holds for every provider that does not say otherwise.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) principal_claim: String,
    pub(super) roles_claim: String,
    pub(super) leeway: Duration,
    pub(super) max_lifetime: Duration,
}

/// Reads the list. `shared` is absent when it did not compile itself; the providers are then read for their own problems only.
pub(super) fn providers(at: &Cursor<'_>, shared: Option<&Shared>) -> Option<Vec<ProviderSettings>> {
    let mut ids = Ids::default();
    let mut found: Vec<ProviderSettings> = Vec::new();
    let items = at.list()?;
    for item in &items {
        let Some(provider) = provider(item, &mut ids, shared) else { continue };
        if let Some((other, issuer)) = claimed(&found, &provider) {
            item.error_with_help(
                "C017",
                format!("the issuer `{issuer}` belongs to the provider `{other}` already"),
                "one issuer has one provider; list all clients of a user pool in it",
            );
            continue;
        }
        found.push(provider);
    }
    (found.len() == items.len()).then_some(found)
}

/// The provider among `found`, and the issuer of it, that `new` claims too.
fn claimed(found: &[ProviderSettings], new: &ProviderSettings) -> Option<(ProviderId, String)> {
    // SECURITY: with two judges the laxer one would decide: `one_issuer_never_has_two_providers`.
    found.iter().find_map(|other| {
        let issuer = other.provider.issuers.iter().find(|issuer| new.provider.issuers.contains(issuer))?;
        Some((other.provider.id.clone(), issuer.as_str().to_owned()))
    })
}

fn provider(at: &Cursor<'_>, ids: &mut Ids, shared: Option<&Shared>) -> Option<ProviderSettings> {
    let mut map = at.map()?;
    let id = map.require("id").and_then(|at| ids.read(&at));
    let kinds = (map.take("cognito"), map.take("oidc"));
    let beside = COMMON.map(|key| (key, map.take(key)));
    let read = match kinds {
        (Some(inner), None) => inner.map().and_then(|inner| cognito::provider(Block { beside, inner })),
        (None, Some(inner)) => inner.map().and_then(|inner| oidc::provider(Block { beside, inner })),
        (Some(_), Some(_)) | (None, None) => {
            at.error_with_help(
                "C013",
                "a provider has either `cognito` or `oidc`",
                "write one of them; list a second issuer as a provider of its own",
            );
            None
        }
    };
    map.finish();
    let (read, id, shared) = (read?, id?, shared?);
    Some(ProviderSettings {
        provider: Provider {
            id: ProviderId::new(&id),
            issuers: read.issuers,
            dialect: read.dialect,
            algorithms: read.algorithms,
            principal_claim: read.common.principal_claim.unwrap_or_else(|| shared.principal_claim.clone()),
            roles_claim: read.common.roles_claim.unwrap_or_else(|| shared.roles_claim.clone()),
            role_prefix: read.common.role_prefix,
            leeway: shared.leeway,
            max_lifetime: shared.max_lifetime,
        },
        keys: read.keys,
    })
}

/// The keys that may stand beside the block of a provider or inside it.
pub(super) const COMMON: [&str; 5] = ["issuer", "jwks", "role_prefix", "principal_claim", "roles_claim"];

/// What the block of a provider says.
struct Read {
    issuers: Vec<Issuer>,
    dialect: crate::token::Dialect,
    algorithms: Vec<jsonwebtoken::Algorithm>,
    keys: KeySource,
    common: Common,
}

/// The claims and the prefix of one provider.
struct Common {
    principal_claim: Option<String>,
    roles_claim: Option<String>,
    role_prefix: String,
}

/// The block `cognito` or `oidc` and the map around it.
struct Block<'a> {
    beside: [(&'static str, Option<Cursor<'a>>); 5],
    inner: MapCursor<'a>,
}

impl<'a> Block<'a> {
    /// A key of [`COMMON`], from the one place where it stands.
    fn common(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        let beside = self.beside.iter().find(|(name, _)| *name == key).and_then(|(_, at)| at.clone());
        let inside = self.inner.take(key);
        if let (Some(_), Some(inside)) = (&beside, &inside) {
            inside.error_with_help("C014", format!("`{key}` stands beside this block as well"), "keep one of them");
        }
        inside.or(beside)
    }

    fn claims(&mut self) -> Option<Common> {
        let optional = |at: Option<Cursor<'a>>, read: fn(&Cursor<'_>) -> Option<String>| match at {
            Some(at) => read(&at).map(Some),
            None => Some(None),
        };
        let principal_claim = optional(self.common("principal_claim"), principal_claim);
        let roles_claim = optional(self.common("roles_claim"), claim_name);
        let prefix = optional(self.common("role_prefix"), role_prefix);
        Some(Common {
            principal_claim: principal_claim?,
            roles_claim: roles_claim?,
            role_prefix: prefix?.unwrap_or_default(),
        })
    }
}

/// The claim that names the principal, with a warning where its owner may change it.
pub(super) fn principal_claim(at: &Cursor<'_>) -> Option<String> {
    let claim = claim_name(at)?;
    if ["email", "phone_number", "preferred_username", "name", "nickname"].contains(&claim.as_str()) {
        at.warning(
            "C030",
            format!("`{claim}` can change hands: a user who takes over the value takes over what it owns"),
            "prefer `sub`, which is never given to anyone else",
        );
    }
    Some(claim)
}

/// What is put before each group. May be empty; groups are later joined by commas.
fn role_prefix(at: &Cursor<'_>) -> Option<String> {
    let text = match at.node().as_text() {
        Some("") => "",
        Some(_) | None => at.text()?,
    };
    if text.len() > 64 || text.chars().any(|c| c.is_control() || c == ',') {
        at.error_with_help(
            "C020",
            "this cannot be a role prefix",
            "a role prefix has at most 64 bytes, no comma and no control character",
        );
        return None;
    }
    Some(text.to_owned())
}

/// A place of keys as written, and whether plain http is meant.
struct Jwks {
    source: KeySource,
    allow_insecure: bool,
}

/// Reads `jwks: { url, file, allow_insecure }`.
fn jwks(at: &Cursor<'_>) -> Option<Jwks> {
    let mut map = at.map()?;
    let allow_insecure = or(&mut map, "allow_insecure", || false, Cursor::bool);
    let source = match (map.take("url"), map.take("file")) {
        (Some(url), None) => url.text().and_then(|text| key_url(&url, text, allow_insecure.unwrap_or(true))),
        (None, Some(file)) => path(&file).map(KeySource::File),
        (Some(_), Some(_)) | (None, None) => {
            at.error_with_help("C013", "`jwks` has either `url` or `file`", "write one of them");
            None
        }
    };
    map.finish();
    Some(Jwks { source: source?, allow_insecure: allow_insecure? })
}

/// A URL that keys are fetched from.
fn key_url(at: &Cursor<'_>, text: &str, allow_insecure: bool) -> Option<KeySource> {
    let url = secure_url(at, text, allow_insecure)?;
    Some(KeySource::Url(url))
}

/// A value of `iss` that is a URL without query and fragment (OpenID Connect Discovery 1.0 section 3), kept byte for byte.
fn issuer(at: &Cursor<'_>, allow_insecure: bool) -> Option<Issuer> {
    let text = at.text()?;
    secure_url(at, text, allow_insecure)?;
    if text.contains('?') {
        at.error_with_help("C015", UrlError::Query.about("URL", text), URL_HELP);
        return None;
    }
    Some(Issuer::new(text))
}

/// What a URL looks like.
const URL_HELP: &str = "write a URL such as `https://id.example.com/keys.json`";

/// An `https` URL, or an `http` one that stays on this machine or is meant to be insecure.
fn secure_url(at: &Cursor<'_>, text: &str, allow_insecure: bool) -> Option<Uri> {
    let parsed = Site::split(text).and_then(|(site, rest)| match rest.contains('#') {
        true => Err(UrlError::Query),
        false if rest.contains('\\') => Err(UrlError::Characters),
        false => text.parse::<Uri>().map(|uri| (site, uri)).map_err(|_| UrlError::Characters),
    });
    let (site, uri) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            at.error_with_help("C015", error.about("URL", text), URL_HELP);
            return None;
        }
    };
    // SECURITY: whoever answers in plain text chooses the keys: `keys_are_never_fetched_in_plain_text_over_a_network`.
    if !site.tls && !site.is_loopback() && !allow_insecure {
        at.error_with_help(
            "C016",
            format!("`{text}` is plain http to another machine: whoever sits between could forge every token"),
            "use https, or write `allow_insecure: true` in `jwks` where the network is trusted",
        );
        return None;
    }
    Some(uri)
}
