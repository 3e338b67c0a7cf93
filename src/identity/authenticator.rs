//! From a request to its principal.

use std::sync::Arc;

use super::{AuthenticationError, Credential, CredentialSource, Origin, Principal, Verified, origin};
use crate::{
    request::RequestView,
    time::UnixTime,
    token::{Accepts, KeyRing, RawToken, TokenCache, TokenError, Verifier},
};

/// Does a route look at credentials?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// A request without a credential is 401.
    Required,
    /// A request without a credential is anonymous; one that is presented must verify.
    Optional,
    /// Credentials are not looked at: everybody is anonymous.
    None,
}

/// What a route asks of the caller.
#[derive(Clone, Copy, Debug)]
pub struct Demands<'a> {
    /// Must there be a credential?
    pub authentication: Authentication,
    /// Which tokens will do.
    pub accepts: Accepts<'a>,
}

/// The principals of verified tokens. Lives and dies with one generation of keys and settings.
pub type VerifiedTokens = TokenCache<Arc<Verified>>;

/// What is held beside the settings. Keys and cache belong together: a cache that was filled under other keys, or for another
/// [`Authenticator`], must not be passed.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The keys of every provider.
    pub keys: &'a KeyRing,
    /// The tokens that verified with them.
    pub cache: &'a VerifiedTokens,
}

/// Who asks, and how that was found.
#[derive(Debug)]
pub struct Authenticated {
    /// Who asks.
    pub principal: Principal,
    /// Where the token stood that authenticated; `None` when anonymous. A copy of the same token may stand in another of the
    /// configured places.
    pub source: Option<CredentialSource>,
    /// Whether the token was in the cache; `None` when there was none to look up.
    pub cache_hit: Option<bool>,
}

impl Authenticated {
    fn anonymous() -> Self {
        Self { principal: Principal::Anonymous, source: None, cache_hit: None }
    }
}

/// Tells who asks, by the settings of one generation.
#[derive(Clone, Debug)]
pub struct Authenticator {
    verifier: Verifier,
    sources: Vec<CredentialSource>,
    cookie_origins: Vec<Origin>,
    max_token_bytes: usize,
}

impl Authenticator {
    /// `sources` are all looked at, each time. `cookie_origins` are the pages, besides the gateway's own, whose unsafe
    /// requests a cookie may authenticate.
    pub fn new(
        verifier: Verifier,
        sources: Vec<CredentialSource>,
        cookie_origins: Vec<Origin>,
        max_token_bytes: usize,
    ) -> Self {
        Self { verifier, sources, cookie_origins, max_token_bytes }
    }

    /// The verifier that it asks.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Tells who asks. Has no effect but that a token which verifies is remembered in `held.cache`, so the caller may ask
    /// again with newer keys (and their cache) after [`TokenError::UnknownKey`] or [`TokenError::KeysUnavailable`].
    ///
    /// # Errors
    /// [`AuthenticationError`]. A credential that is presented and fails is never the same as none.
    pub fn authenticate(
        &self,
        view: &RequestView<'_>,
        demands: Demands<'_>,
        held: Held<'_>,
        now: UnixTime,
    ) -> Result<Authenticated, AuthenticationError> {
        if demands.authentication == Authentication::None {
            return Ok(Authenticated::anonymous());
        }
        let (token, source) = match Credential::find(view.headers, &self.sources, self.max_token_bytes)? {
            Credential::Presented { token, source } => (token, source),
            Credential::Conflicting => return Err(AuthenticationError::Conflicting),
            Credential::Absent if demands.authentication == Authentication::Optional => {
                return Ok(Authenticated::anonymous());
            }
            Credential::Absent => return Err(AuthenticationError::Missing),
        };
        // SECURITY: browsers send cookies for any page that asks: `the_cookie_rule_applies_where_the_cookie_is_what_authenticates`.
        if source.is_cookie() && !origin::may_use_cookie(view, &self.cookie_origins) {
            return Err(AuthenticationError::CrossSite);
        }
        let (verified, hit) = self.verified(&token, demands.accepts, held, now)?;
        Ok(Authenticated { principal: Principal::of(verified), source: Some(source.clone()), cache_hit: Some(hit) })
    }

    /// The principal of a token, and whether the cache knew it.
    fn verified(
        &self,
        token: &RawToken<'_>,
        accepts: Accepts<'_>,
        held: Held<'_>,
        now: UnixTime,
    ) -> Result<(Arc<Verified>, bool), TokenError> {
        if let Some(verified) = held.cache.get(token) {
            self.verifier.recheck(verified.claims(), accepts, now)?;
            return Ok((verified, true));
        }
        let claims = self.verifier.verify(token, held.keys, accepts, now)?;
        let provider = self.verifier.providers().get(claims.provider()).ok_or(TokenError::UnknownIssuer)?;
        let verified = Arc::new(Verified::of(claims, provider));
        held.cache.insert(token, Arc::clone(&verified), verified.memory());
        Ok((verified, false))
    }
}

#[cfg(test)]
mod tests;
