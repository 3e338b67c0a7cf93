//! Keys made on the spot, and tokens signed with them.
//!
//! They verify in the generation of one trial and nowhere else: no key of a provider is held beside them, and none of them leaves this room.

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaEncoding,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::time::UnixTime;
use crate::token::{Algorithm, Clients, Dialect, KeySet, Provider, TokenUse};

/// A key for the tokens of one provider.
pub(super) struct Signer {
    pair: Pair,
    algorithm: &'static str,
    keys: Arc<KeySet>,
}

enum Pair {
    Rsa(rsa::KeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

/// The name of every key of a trial.
const KID: &str = "cogward-test";

/// A token lives so long, or as long as its provider lets one live.
const LIFETIME: u64 = 3600;

/// The client of tokens where the settings accept any.
const CLIENT: &str = "test";

/// No key could be made, or it does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoSignature;

impl Signer {
    /// A key of an algorithm that the provider accepts.
    pub(super) fn new(provider: &Provider) -> Result<Self, NoSignature> {
        let algorithm = *provider.algorithms.first().ok_or(NoSignature)?;
        let (pair, name) = Pair::new(algorithm)?;
        let document = json!({ "keys": [pair.jwk(name)] }).to_string();
        let (keys, _) = KeySet::parse(document.as_bytes(), &provider.algorithms).map_err(|_| NoSignature)?;
        Ok(Self { pair, algorithm: name, keys: Arc::new(keys) })
    }

    /// The public half.
    pub(super) fn keys(&self) -> &Arc<KeySet> {
        &self.keys
    }

    /// A signed token of `provider` that says `claims`, and what every token must say beside. A claim that is null is left out.
    pub(super) fn mint(
        &self,
        provider: &Provider,
        claims: &Map<String, Value>,
        now: UnixTime,
    ) -> Result<String, NoSignature> {
        let mut all = usual(provider, claims, now);
        all.extend(claims.iter().map(|(name, value)| (name.clone(), value.clone())));
        all.retain(|_, value| !value.is_null());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({ "kid": KID, "alg": self.algorithm })), part(&Value::Object(all)));
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes())?)))
    }
}

/// The claims without which no token of the provider verifies, but for those that say who asks.
fn usual(provider: &Provider, said: &Map<String, Value>, now: UnixTime) -> Map<String, Value> {
    let life = LIFETIME.min(provider.max_lifetime.as_secs());
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    if let Some(issuer) = provider.issuers.first() {
        put("iss", issuer.as_str().into());
    }
    put("iat", now.seconds().into());
    put("exp", now.plus(life).seconds().into());
    match &provider.dialect {
        Dialect::Cognito { clients, token_use } => {
            let usual = if token_use.contains(TokenUse::Access) { "access" } else { "id" };
            let token_use = said.get("token_use").and_then(Value::as_str).unwrap_or(usual);
            let client = match clients {
                Clients::Any => CLIENT,
                Clients::OneOf(clients) => clients.first().map_or(CLIENT, String::as_str),
            };
            put("token_use", token_use.into());
            put(if token_use == "id" { "aud" } else { "client_id" }, client.into());
        }
        Dialect::Oidc { audiences } => put("aud", audiences.first().cloned().into()),
    }
    all
}

impl Pair {
    fn new(algorithm: Algorithm) -> Result<(Self, &'static str), NoSignature> {
        let rsa = |encoding: &'static dyn RsaEncoding| {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(|_| NoSignature)?;
            Ok::<_, NoSignature>(Self::Rsa(pair, encoding))
        };
        Ok(match algorithm {
            Algorithm::RS256 => (rsa(&RSA_PKCS1_SHA256)?, "RS256"),
            Algorithm::RS384 => (rsa(&RSA_PKCS1_SHA384)?, "RS384"),
            Algorithm::RS512 => (rsa(&RSA_PKCS1_SHA512)?, "RS512"),
            Algorithm::PS256 => (rsa(&RSA_PSS_SHA256)?, "PS256"),
            Algorithm::PS384 => (rsa(&RSA_PSS_SHA384)?, "PS384"),
            Algorithm::PS512 => (rsa(&RSA_PSS_SHA512)?, "PS512"),
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| NoSignature)?;
                (Self::Ec(pair, "P-256"), "ES256")
            }
            Algorithm::ES384 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map_err(|_| NoSignature)?;
                (Self::Ec(pair, "P-384"), "ES384")
            }
            Algorithm::EdDSA => (Self::Ed(Ed25519KeyPair::generate().map_err(|_| NoSignature)?), "EdDSA"),
            // Secrets sign for whoever can verify; the settings take none of these.
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 | _ => return Err(NoSignature),
        })
    }

    /// The public half, as an entry of a JWKS document.
    fn jwk(&self, algorithm: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut entry = match self {
            Self::Rsa(pair, _) => {
                let public = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": text(public.modulus().big_endian_without_leading_zero()),
                    "e": text(public.exponent().big_endian_without_leading_zero()),
                })
            }
            Self::Ec(pair, curve) => {
                // An uncompressed point: a mark, then both halves.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at_checked(point.len() / 2).unwrap_or_default();
                json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) })
            }
            Self::Ed(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) }),
        };
        if let Some(members) = entry.as_object_mut() {
            members.extend(
                [("use", "sig"), ("alg", algorithm), ("kid", KID)].map(|(name, value)| (name.to_owned(), value.into())),
            );
        }
        entry
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoSignature> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map_err(|_| NoSignature)?;
                Ok(signature)
            }
            Self::Ec(pair, _) => Ok(pair.sign(&random, message).map_err(|_| NoSignature)?.as_ref().to_vec()),
            Self::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}
