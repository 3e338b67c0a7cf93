//! Why a request has no principal.

use thiserror::Error;

use crate::token::TokenError;

/// Why it cannot be said who asks. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthenticationError {
    /// The route requires a credential, and there is none. 401.
    #[error("no credential was presented")]
    Missing,
    /// Two credentials that differ, or one place used twice. 400.
    #[error("more than one credential was presented")]
    Conflicting,
    /// A cookie came with a request that another site may have caused. 403.
    #[error("the cookie may have been sent by another site")]
    CrossSite,
    /// The credential does not hold. 401, or 503 while no keys are held.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl AuthenticationError {
    /// The word for it in audit lines and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "credential_missing",
            Self::Conflicting => "credential_conflict",
            Self::CrossSite => "cross_site",
            Self::Token(error) => error.code(),
        }
    }
}
