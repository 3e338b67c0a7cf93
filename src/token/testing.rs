//! Keys, providers and tokens for the tests of this room and of `identity`. The keys are made once in a test process, the
//! moment is fixed.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::*;
use crate::time::UnixTime;

pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);
pub(crate) const MAIN: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Main00000";
pub(crate) const SECOND: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Second000";
pub(crate) const COLD: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Cold00000";
pub(crate) const PARTNER: &str = "https://partner.example";
pub(crate) const MAX_BYTES: usize = 8192;

/// A private key of the tests.
pub(crate) enum SigningKey {
    Rsa(KeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

/// The keys of one test process.
pub(crate) struct Keys {
    /// `main-1` of the main pool.
    pub(crate) main: SigningKey,
    /// `main-2` of the main pool.
    pub(crate) next: SigningKey,
    /// `main-1` (!) and `second-1` of the second pool.
    pub(crate) second: SigningKey,
    /// `p256` of the partner.
    pub(crate) p256: SigningKey,
    /// `p384` of the partner.
    pub(crate) p384: SigningKey,
    /// `ed` of the partner.
    pub(crate) ed: SigningKey,
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let rsa = || SigningKey::Rsa(KeyPair::generate(KeySize::Rsa2048).unwrap());
    KEYS.get_or_init(|| Keys {
        main: rsa(),
        next: rsa(),
        second: rsa(),
        p256: SigningKey::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256"),
        p384: SigningKey::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), "P-384"),
        ed: SigningKey::Ed(Ed25519KeyPair::generate().unwrap()),
    })
}

impl SigningKey {
    /// The public half, as an entry of a JWKS document.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let n = b64(public.modulus().big_endian_without_leading_zero());
                let e = b64(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e})
            }
            Self::Ec(pair, curve) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "use": "sig", "crv": curve, "kid": kid, "x": b64(x), "y": b64(y)})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "use": "sig", "crv": "Ed25519", "kid": kid, "x": b64(pair.public_key().as_ref())})
            }
        }
    }

    /// Signs as the algorithm says; for elliptic curves the key says it.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let encoding: &'static dyn aws_lc_rs::signature::RsaEncoding = match format!("{algorithm:?}").as_str() {
                    "RS256" => &RSA_PKCS1_SHA256,
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    other => panic!("an RSA key does not sign {other}"),
                };
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of these very bytes.
pub(crate) fn mint_bytes(key: &SigningKey, algorithm: Algorithm, header: &[u8], payload: &[u8]) -> String {
    let message = format!("{}.{}", b64(header), b64(payload));
    let signature = key.sign(algorithm, message.as_bytes());
    format!("{message}.{}", b64(signature))
}

/// A token of the main pool's first key.
pub(crate) fn mint(header: &Value, payload: &Value) -> String {
    mint_bytes(&keys().main, Algorithm::RS256, header.to_string().as_bytes(), payload.to_string().as_bytes())
}

/// A good token of the main pool with these claims.
pub(crate) fn token_of(payload: &Value) -> String {
    mint(&header(), payload)
}

/// The header of the main pool's tokens.
pub(crate) fn header() -> Value {
    json!({"kid": "main-1", "alg": "RS256"})
}

/// The claims of a good access token of the main pool.
pub(crate) fn access() -> Value {
    json!({
        "iss": MAIN, "sub": "u-1", "username": "ada", "client_id": "client-1", "token_use": "access",
        "scope": "openid contacts/read", "cognito:groups": ["admin", "user"], "version": 2, "jti": "j-1", "origin_jti": "o-1",
        "auth_time": 1_799_999_940, "iat": 1_799_999_940, "exp": 1_800_003_540,
    })
}

/// The claims of a good ID token of the second pool.
pub(crate) fn id_token() -> Value {
    json!({
        "iss": SECOND, "sub": "u-1", "cognito:username": "ada", "aud": "client-9", "token_use": "id",
        "cognito:groups": ["admin"], "email": "ada@example.com", "email_verified": true, "custom:status": "active",
        "iat": 1_799_999_940, "exp": 1_800_003_540,
    })
}

/// The claims of a good client-credentials token of the main pool.
pub(crate) fn machine() -> Value {
    json!({
        "iss": MAIN, "sub": "client-2", "client_id": "client-2", "token_use": "access", "scope": "contacts/read contacts/write",
        "version": 2, "jti": "j-2", "iat": 1_799_999_940, "exp": 1_800_003_540,
    })
}

/// The claims of a good token of the partner.
pub(crate) fn partner() -> Value {
    json!({
        "iss": PARTNER, "sub": "p-1", "aud": ["api", "other"], "azp": "portal", "preferred_username": "eve",
        "groups": ["staff"], "scp": ["read", "write"], "iat": 1_799_999_940, "exp": 1_800_003_540,
    })
}

/// `base` with one claim more, or another.
pub(crate) fn with(mut base: Value, name: &str, value: impl Into<Value>) -> Value {
    base.as_object_mut().unwrap().insert(name.to_owned(), value.into());
    base
}

/// `base` without one claim.
pub(crate) fn without(mut base: Value, name: &str) -> Value {
    base.as_object_mut().unwrap().remove(name).unwrap();
    base
}

fn cognito(name: &str, pool: &str, clients: Clients, token_use: TokenUses) -> Provider {
    let pool: UserPoolId = pool.parse().unwrap();
    Provider {
        id: ProviderId::new(name),
        issuers: pool.issuers().to_vec(),
        dialect: Dialect::Cognito { clients, token_use },
        algorithms: vec![Algorithm::RS256],
        principal_claim: "sub".to_owned(),
        roles_claim: "cognito:groups".to_owned(),
        role_prefix: String::new(),
        leeway: Duration::from_secs(5),
        max_lifetime: Duration::from_secs(24 * 3600),
    }
}

/// `main` (access tokens of two clients), `second` (both uses, any client, its own prefix), `cold` (no keys yet) and
/// `partner` (not Cognito).
pub(crate) fn providers() -> Vec<Provider> {
    let clients = Clients::OneOf(vec!["client-1".to_owned(), "client-2".to_owned()]);
    let main = cognito("main", "eu-west-1_Main00000", clients.clone(), TokenUses::Access);
    let second = cognito("second", "eu-west-1_Second000", Clients::Any, TokenUses::Both);
    let cold = cognito("cold", "eu-west-1_Cold00000", clients, TokenUses::Access);
    let partner = Provider {
        id: ProviderId::new("partner"),
        issuers: vec![Issuer::new(PARTNER)],
        dialect: Dialect::Oidc { audiences: vec!["api".to_owned(), "api-2".to_owned()] },
        algorithms: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
            .map(|name| signature_algorithm(name).unwrap())
            .to_vec(),
        roles_claim: "groups".to_owned(),
        ..main.clone()
    };
    vec![main, Provider { role_prefix: "second:".to_owned(), ..second }, cold, partner]
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(providers())
}

/// A key set of these entries.
pub(crate) fn key_set(entries: &[Value], algorithms: &[Algorithm]) -> Arc<KeySet> {
    let document = json!({ "keys": entries }).to_string();
    let (set, skipped) = KeySet::parse(document.as_bytes(), algorithms).unwrap();
    assert_eq!(skipped, []);
    Arc::new(set)
}

/// The keys of [`providers`].
pub(crate) fn ring() -> KeyRing {
    let keys = keys();
    let providers = providers();
    let main = key_set(&[keys.main.jwk("main-1"), keys.next.jwk("main-2")], &providers[0].algorithms);
    let second = key_set(&[keys.second.jwk("second-1"), keys.second.jwk("main-1")], &providers[1].algorithms);
    // Its RSA key does not say an algorithm, and so may verify all of them.
    let any_rsa = without(keys.second.jwk("rsa"), "alg");
    let partner = [any_rsa, keys.main.jwk("rs256"), keys.p256.jwk("p256"), keys.p384.jwk("p384"), keys.ed.jwk("ed")];
    KeyRing::new(vec![Some(main), Some(second), None, Some(key_set(&partner, &providers[3].algorithms))])
}

/// A token of the second pool.
pub(crate) fn mint_second(payload: &Value) -> String {
    let header = json!({"kid": "second-1", "alg": "RS256"}).to_string();
    mint_bytes(&keys().second, Algorithm::RS256, header.as_bytes(), payload.to_string().as_bytes())
}

/// A token of the partner's RSA key.
pub(crate) fn mint_partner(payload: &Value) -> String {
    let header = json!({"kid": "rsa", "alg": "RS256", "typ": "at+jwt"}).to_string();
    mint_bytes(&keys().second, Algorithm::RS256, header.as_bytes(), payload.to_string().as_bytes())
}

/// Parses and verifies, by [`verifier`], [`ring`] and [`NOW`].
pub(crate) fn verify(token: &str) -> Result<Claims, TokenError> {
    verify_for(token, Accepts::default())
}

/// [`verify`] for a route.
pub(crate) fn verify_for(token: &str, accepts: Accepts<'_>) -> Result<Claims, TokenError> {
    verify_up_to(MAX_BYTES, token, accepts)
}

/// [`verify_for`], with another limit for the size of a token.
pub(crate) fn verify_up_to(most: usize, token: &str, accepts: Accepts<'_>) -> Result<Claims, TokenError> {
    static RING: OnceLock<KeyRing> = OnceLock::new();
    let raw = RawToken::parse(token.as_bytes(), most)?;
    verifier().verify(&raw, RING.get_or_init(ring), accepts, NOW)
}
