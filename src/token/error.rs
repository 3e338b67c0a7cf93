//! Why a token is not accepted.

use thiserror::Error;

/// The first check that a token failed. Closed; the client hears one and the same text for all but [`KeysUnavailable`](Self::KeysUnavailable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not three base64url parts of JSON objects, too long, or a header that asks for what is not done.
    #[error("the token is malformed")]
    Malformed,
    /// No provider has that `iss`, or the route does not take that provider.
    #[error("the token's issuer is not a provider")]
    UnknownIssuer,
    /// The provider holds keys, and none by that `kid`. The number is the provider's place in the settings.
    #[error("the token's key is unknown")]
    UnknownKey {
        /// The provider's place in the settings.
        provider: usize,
    },
    /// The provider holds no key at all yet.
    #[error("no key of the token's provider is held")]
    KeysUnavailable {
        /// The provider's place in the settings.
        provider: usize,
    },
    /// The signature does not verify.
    #[error("the signature does not verify")]
    BadSignature,
    /// `token_use` is not accepted here.
    #[error("the token has another use")]
    WrongUse,
    /// The client or audience is not accepted.
    #[error("the token is for another client")]
    WrongClient,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// A required claim is absent or has an impossible value.
    #[error("the token's claims are not acceptable")]
    ClaimsInvalid,
}

impl TokenError {
    /// The word for it in audit lines and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey { .. } => "unknown_key",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::BadSignature => "bad_signature",
            Self::WrongUse => "wrong_use",
            Self::WrongClient => "wrong_client",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::ClaimsInvalid => "claims_invalid",
        }
    }
}
