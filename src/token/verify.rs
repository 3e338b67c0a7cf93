//! The checks, in their order. The first that fails is the reason; the tests hold the order.

mod read;

use serde_json::{Map, Value};

use super::{
    Claims, KeyRing, Provider, ProviderId, RawToken, TokenError, TokenUses,
    header::Header,
    jws::{self, SignatureError, part},
};
use crate::time::UnixTime;

/// What a route takes, beyond what the settings say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accepts<'a> {
    /// Replaces the `token_use` of every Cognito provider. Other providers have no such claim, and it means nothing to them.
    pub token_use: Option<TokenUses>,
    /// Only tokens of these providers. `None`: of all.
    pub providers: Option<&'a [ProviderId]>,
}

impl Accepts<'_> {
    fn takes(&self, provider: &Provider) -> bool {
        self.providers.is_none_or(|names| names.contains(&provider.id))
    }
}

/// Tells genuine tokens from others. Holds the providers of one generation of settings, and no key.
#[derive(Clone, Debug)]
pub struct Verifier {
    providers: Vec<Provider>,
}

impl Verifier {
    /// A verifier for the tokens of these providers, in the order of the settings.
    pub fn new(providers: Vec<Provider>) -> Self {
        Self { providers }
    }

    /// The providers, in the order of the settings.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// Verifies a token. Nothing else makes [`Claims`].
    ///
    /// # Errors
    /// The first check that fails: shape, issuer, header, key, signature, use, client, times, claims.
    pub fn verify(
        &self,
        token: &RawToken<'_>,
        keys: &KeyRing,
        accepts: Accepts<'_>,
        now: UnixTime,
    ) -> Result<Claims, TokenError> {
        let header = part(token.header()).ok_or(TokenError::Malformed)?;
        let all = part(token.payload()).ok_or(TokenError::Malformed)?;
        let (place, provider) = self.issuer_of(&all)?;
        if !accepts.takes(provider) {
            return Err(TokenError::UnknownIssuer);
        }
        let header = Header::read(&header, &provider.algorithms).map_err(|error| of_provider(error, place))?;
        let set = keys.get(place).ok_or(TokenError::KeysUnavailable { provider: place })?;
        jws::check(token, &header, set).map_err(|error| of_provider(error, place))?;
        // From here on the token is what its issuer signed.
        let token_use = read::token_use(provider, &all, accepts)?;
        let client_id = read::client(provider, token_use, &all)?;
        let expires = read::times(provider, &all, now)?;
        read::Genuine { place, provider, token_use, client_id, expires }.claims(all)
    }

    /// Checks again what depends on the request and not on the token alone: that the route takes its provider and its use, and
    /// the times. For claims that this verifier made earlier.
    ///
    /// # Errors
    /// What [`verify`](Self::verify) would say of the same token now.
    pub fn recheck<'c>(
        &self,
        claims: &'c Claims,
        accepts: Accepts<'_>,
        now: UnixTime,
    ) -> Result<&'c Claims, TokenError> {
        let provider = self.providers.get(claims.provider()).ok_or(TokenError::UnknownIssuer)?;
        if !accepts.takes(provider) {
            return Err(TokenError::UnknownIssuer);
        }
        // SECURITY: a token cached for one route must not open another: `a_cached_token_is_checked_against_each_route`.
        read::token_use(provider, claims.all(), accepts)?;
        // SECURITY: what was in time once need not be now: `a_cached_token_is_refused_from_its_exp_on`.
        read::times(provider, claims.all(), now)?;
        Ok(claims)
    }

    /// The one provider that uses the token's `iss`, which nothing has verified yet.
    fn issuer_of(&self, all: &Map<String, Value>) -> Result<(usize, &Provider), TokenError> {
        let issuer = all.get("iss").and_then(Value::as_str).ok_or(TokenError::UnknownIssuer)?;
        let uses_it = |provider: &Provider| provider.issuers.iter().any(|known| known.as_str() == issuer);
        let mut found = self.providers.iter().enumerate().filter(|(_, provider)| uses_it(provider));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) | (Some(_), Some(_)) => Err(TokenError::UnknownIssuer),
        }
    }
}

fn of_provider(error: SignatureError, place: usize) -> TokenError {
    match error {
        SignatureError::Malformed => TokenError::Malformed,
        SignatureError::UnknownKey => TokenError::UnknownKey { provider: place },
        SignatureError::Bad => TokenError::BadSignature,
    }
}

#[cfg(test)]
mod tests;
