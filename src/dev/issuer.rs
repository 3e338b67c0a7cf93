//! A signing key and tokens shaped as Amazon Cognito shapes them.

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use thiserror::Error;

use super::DEMO_POOL;
use crate::{
    time::UnixTime,
    token::{TokenUse, UserPoolId},
};

/// The demo's key cannot be used.
#[derive(Debug, Error)]
pub enum DemoKeyError {
    /// No key could be made.
    #[error("no signing key could be generated")]
    Generate,
    /// The stored key is damaged.
    #[error("the stored signing key is damaged")]
    Damaged,
    /// Signing failed.
    #[error("signing failed")]
    Sign,
}

/// An RSA key that signs the demo's tokens.
#[derive(Debug)]
pub struct DemoKey {
    pair: KeyPair,
    kid: String,
}

impl DemoKey {
    /// A new key of 2,048 bits.
    ///
    /// # Errors
    /// [`DemoKeyError::Generate`].
    pub fn generate() -> Result<Self, DemoKeyError> {
        KeyPair::generate(KeySize::Rsa2048).map(Self::of).map_err(|_| DemoKeyError::Generate)
    }

    /// A key as [`to_pkcs8`](Self::to_pkcs8) wrote it.
    ///
    /// # Errors
    /// [`DemoKeyError::Damaged`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, DemoKeyError> {
        KeyPair::from_pkcs8(der).map(Self::of).map_err(|_| DemoKeyError::Damaged)
    }

    fn of(pair: KeyPair) -> Self {
        let modulus = digest(&SHA256, pair.public_key().modulus().big_endian_without_leading_zero());
        let kid = URL_SAFE_NO_PAD.encode(modulus.as_ref());
        Self { pair, kid }
    }

    /// The key to be stored, PKCS #8 in DER.
    ///
    /// # Errors
    /// [`DemoKeyError::Generate`].
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, DemoKeyError> {
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&self.pair).map_err(|_| DemoKeyError::Generate)?;
        Ok(der.as_ref().to_vec())
    }

    /// The public half as a JWKS document.
    pub fn jwks(&self) -> String {
        let public = self.pair.public_key();
        let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": text(public.modulus().big_endian_without_leading_zero()),
            "e": text(public.exponent().big_endian_without_leading_zero()),
        }] })
        .to_string()
    }

    /// A signed token.
    ///
    /// # Errors
    /// [`DemoKeyError::Sign`].
    pub fn sign(&self, mint: &Mint, now: UnixTime) -> Result<String, DemoKeyError> {
        self.sign_claims(&mint.claims(now))
    }

    /// A signed token that says just this.
    ///
    /// # Errors
    /// [`DemoKeyError::Sign`].
    pub fn sign_claims(&self, claims: &Value) -> Result<String, DemoKeyError> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({ "kid": self.kid, "alg": "RS256" })), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| DemoKeyError::Sign)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// What a token shall say.
#[derive(Clone, Debug)]
pub struct Mint {
    /// `sub`.
    pub sub: String,
    /// `username` or `cognito:username`; absent for a machine.
    pub username: Option<String>,
    /// `cognito:groups`; no claim when empty, as Cognito does it.
    pub groups: Vec<String>,
    /// `scope`, in access tokens.
    pub scopes: Vec<String>,
    /// `token_use`.
    pub token_use: TokenUse,
    /// `client_id` or `aud`.
    pub client: String,
    /// Seconds from now to `exp`; negative for a token that has expired.
    pub expires_in: i64,
}

impl Mint {
    /// The claims, issued at `now`, or an hour before `exp` when that is earlier.
    fn claims(&self, now: UnixTime) -> Value {
        let issuer =
            DEMO_POOL.parse::<UserPoolId>().map(|pool| pool.issuers()[0].as_str().to_owned()).unwrap_or_default();
        let expires = now.seconds().saturating_add_signed(self.expires_in);
        let issued = now.seconds().min(expires.saturating_sub(3600));
        let mut claims = json!({
            "sub": self.sub, "iss": issuer, "exp": expires, "iat": issued, "auth_time": issued,
            "jti": identifier(), "origin_jti": identifier(),
        });
        let mut set = |name: &str, value: Value| {
            if let Value::Object(claims) = &mut claims {
                claims.insert(name.to_owned(), value);
            }
        };
        if !self.groups.is_empty() {
            set("cognito:groups", self.groups.clone().into());
        }
        match self.token_use {
            TokenUse::Access => {
                set("token_use", "access".into());
                set("client_id", self.client.clone().into());
                set("version", 2.into());
                if !self.scopes.is_empty() {
                    set("scope", self.scopes.join(" ").into());
                }
                if let Some(username) = &self.username {
                    set("username", username.clone().into());
                }
            }
            TokenUse::Id => {
                set("token_use", "id".into());
                set("aud", self.client.clone().into());
                if let Some(username) = &self.username {
                    set("cognito:username", username.clone().into());
                    set("email", format!("{username}@example.com").into());
                    set("email_verified", true.into());
                }
            }
        }
        claims
    }
}

/// A random identifier in the shape of a UUID.
fn identifier() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness the token is still unique enough for a demo: its times differ.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}
