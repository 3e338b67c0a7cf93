//! Whose tokens are accepted, and what they must say.

use std::{fmt, sync::Arc, time::Duration};

use jsonwebtoken::Algorithm;

use super::Issuer;

/// The name of a provider in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(Arc<str>);

impl ProviderId {
    /// A name as the settings give it.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `token_use` of a Cognito token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// An access token.
    Access,
    /// An ID token.
    Id,
}

/// A set of token uses, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUses {
    /// Access tokens only.
    Access,
    /// ID tokens only.
    Id,
    /// Both.
    Both,
}

impl TokenUses {
    /// Is that use in the set?
    pub fn contains(self, token_use: TokenUse) -> bool {
        match (self, token_use) {
            (Self::Both, _) | (Self::Access, TokenUse::Access) | (Self::Id, TokenUse::Id) => true,
            (Self::Access, TokenUse::Id) | (Self::Id, TokenUse::Access) => false,
        }
    }
}

/// The app clients whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Every client of the pool; the settings must spell it out as `any`.
    Any,
    /// Only these.
    OneOf(Vec<String>),
}

/// How the tokens of a provider tell what they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Amazon Cognito: `token_use`, and `client_id` (access) or `aud` (ID).
    Cognito {
        /// Accepted app clients.
        clients: Clients,
        /// Accepted uses, where a route does not say otherwise.
        token_use: TokenUses,
    },
    /// Any other OpenID Connect issuer: `aud` holds one of these.
    Oidc {
        /// Accepted audiences, at least one.
        audiences: Vec<String>,
    },
}

/// One issuer of tokens, and what its tokens must say.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in the settings.
    pub id: ProviderId,
    /// The `iss` values that it uses, unique across providers. A Cognito pool has two forms.
    pub issuers: Vec<Issuer>,
    /// Cognito or plain OpenID Connect.
    pub dialect: Dialect,
    /// Accepted signature algorithms, asymmetric only.
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the principal.
    pub principal_claim: String,
    /// The claim that lists the groups.
    pub roles_claim: String,
    /// Put before every group name.
    pub role_prefix: String,
    /// Tolerance for `nbf` and `iat`; `exp` is exact.
    pub leeway: Duration,
    /// Longest accepted `exp - iat`.
    pub max_lifetime: Duration,
}
