//! One entry of a JWKS document (RFC 7517 section 4, RFC 7518 section 6, RFC 8037).

mod roca;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde_json::{Map, Value};

use super::SkipReason;
use crate::token::signature_algorithm;

/// Members that only a private or symmetric key has.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// Longest `kid`.
const MAX_KID: usize = 256;

/// What an RSA key may verify.
const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// A public key, and what it may verify.
#[derive(Clone)]
pub(in crate::token) struct Key {
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl Key {
    /// May it verify signatures of that algorithm?
    pub(in crate::token) fn verifies(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    pub(in crate::token) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let same_bytes = match (self.decoding.kind(), other.decoding.kind()) {
            (DecodingKeyKind::SecretOrDer(one), DecodingKeyKind::SecretOrDer(two)) => one == two,
            (DecodingKeyKind::RsaModulusExponent { n, e }, DecodingKeyKind::RsaModulusExponent { n: n2, e: e2 }) => {
                n == n2 && e == e2
            }
            (DecodingKeyKind::SecretOrDer(_), DecodingKeyKind::RsaModulusExponent { .. })
            | (DecodingKeyKind::RsaModulusExponent { .. }, DecodingKeyKind::SecretOrDer(_)) => false,
        };
        same_bytes && self.algorithms == other.algorithms && self.decoding.family() == other.decoding.family()
    }
}

/// The `kid` of an entry, if it has a usable one.
pub(super) fn kid(entry: &Value) -> Option<Box<str>> {
    let kid = entry.get("kid")?.as_str()?;
    (1..=MAX_KID).contains(&kid.len()).then(|| kid.into())
}

/// Reads one entry: its `kid` and its key.
pub(super) fn read(entry: &Value, accepted: &[Algorithm]) -> Result<(Box<str>, Key), SkipReason> {
    let members = entry.as_object().ok_or(SkipReason::NotAnObject)?;
    if PRIVATE.iter().any(|name| members.contains_key(*name)) {
        return Err(SkipReason::PrivateParts);
    }
    if !is_for_verifying(members) {
        return Err(SkipReason::OtherUse);
    }
    let kid = kid(entry).ok_or(SkipReason::NoKid)?;
    let (possible, decoding) = match text(members, "kty") {
        Some("RSA") => rsa(members)?,
        Some("EC") => ec(members)?,
        Some("OKP") => okp(members)?,
        _ => return Err(SkipReason::OtherType),
    };
    let mut algorithms: Vec<Algorithm> = possible.iter().copied().filter(|one| accepted.contains(one)).collect();
    if let Some(declared) = members.get("alg") {
        let declared = declared.as_str().and_then(signature_algorithm);
        algorithms.retain(|one| Some(*one) == declared);
    }
    if algorithms.is_empty() { Err(SkipReason::OtherAlgorithm) } else { Ok((kid, Key { algorithms, decoding })) }
}

/// `use` and `key_ops`, where present, must allow verifying.
fn is_for_verifying(members: &Map<String, Value>) -> bool {
    let is = |value: &Value, word| value.as_str() == Some(word);
    members.get("use").is_none_or(|value| is(value, "sig"))
        && members.get("key_ops").is_none_or(|value| {
            value.as_array().is_some_and(|operations| operations.iter().any(|operation| is(operation, "verify")))
        })
}

/// An RSA key: an odd modulus of 2048 to 8192 bits, an odd exponent of at least 3 and at most 32 bits.
fn rsa(members: &Map<String, Value>) -> Result<(&'static [Algorithm], DecodingKey), SkipReason> {
    let (modulus, exponent) = (number(members, "n")?, number(members, "e")?);
    let bits = bit_length(&modulus);
    if bits < 2048 {
        return Err(SkipReason::TooShort);
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    let good_exponent = is_odd(&exponent) && (2..=32).contains(&bit_length(&exponent));
    if bits > 8192 || !is_odd(&modulus) || !good_exponent {
        return Err(SkipReason::NotAKey);
    }
    // SECURITY: whoever computes the private key signs as the issuer: `a_key_of_the_roca_form_is_left_out`.
    if roca::has_the_form(&modulus) {
        return Err(SkipReason::Weak);
    }
    Ok((&RSA, DecodingKey::from_rsa_raw_components(&modulus, &exponent)))
}

/// A point on P-256 or P-384; the curve fixes the algorithm.
fn ec(members: &Map<String, Value>) -> Result<(&'static [Algorithm], DecodingKey), SkipReason> {
    let (width, curve, algorithms): (usize, _, &[Algorithm]) = match text(members, "crv") {
        Some("P-256") => (32, &ECDSA_P256_SHA256_FIXED, &[Algorithm::ES256]),
        Some("P-384") => (48, &ECDSA_P384_SHA384_FIXED, &[Algorithm::ES384]),
        _ => return Err(SkipReason::OtherType),
    };
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    if x.len() != width || y.len() != width || ParsedPublicKey::new(curve, &point).is_err() {
        return Err(SkipReason::NotAKey);
    }
    Ok((algorithms, DecodingKey::from_ec_der(&point)))
}

/// An Ed25519 key.
fn okp(members: &Map<String, Value>) -> Result<(&'static [Algorithm], DecodingKey), SkipReason> {
    if text(members, "crv") != Some("Ed25519") {
        return Err(SkipReason::OtherType);
    }
    let x = bytes(members, "x")?;
    if x.len() == 32 { Ok((&[Algorithm::EdDSA], DecodingKey::from_ed_der(&x))) } else { Err(SkipReason::NotAKey) }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, SkipReason> {
    text(members, name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(SkipReason::NotAKey)
}

/// A big-endian number. Leading zero bytes, which some encoders put there (RFC 7518 section 6.3.1.1), are taken off.
fn number(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, SkipReason> {
    let bytes = bytes(members, name)?;
    Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn bit_length(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros() as usize);
    (number.len() * 8).saturating_sub(unused)
}
