//! The signature of a compact JWS (RFC 7515), whatever it covers. The step that the verifier takes, by itself.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{KeySet, RawToken, header::Header};
use crate::json;

/// Why a text is not what a key of the set signed. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// No compact JWS, or its header names an algorithm that is not accepted or not the key's, or asks for what is not done.
    #[error("the text is no compact JWS with an acceptable header")]
    Malformed,
    /// No key of the set has that `kid`.
    #[error("the key is unknown")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Bad,
}

/// Verifies a compact JWS by the key of the set that its `kid` names, and gives the bytes that were signed. `algorithms` are those that
/// are accepted; the key pins one of them where it has an `alg`.
///
/// This is how the signature of a token is checked: [`Verifier::verify`](super::Verifier::verify) takes the same step between reading the
/// issuer and reading the claims. What was signed need not be JSON here, so vectors for JWS libraries can be put to it. A text that verifies
/// proves nothing about a caller: no claim is looked at.
///
/// ```
/// use cogward::token::{Algorithm, KeySet, SignatureError, verify_signature};
///
/// # fn check(jwks: &[u8], jws: &[u8]) -> Option<Vec<u8>> {
/// let (keys, _left_out) = KeySet::parse(jwks, &[Algorithm::RS256]).ok()?;
/// verify_signature(jws, &keys, &[Algorithm::RS256]).ok()
/// # }
/// # assert_eq!(check(b"{}", b"e30.e30.e30"), None);
/// ```
///
/// # Errors
/// [`SignatureError`].
pub fn verify_signature(jws: &[u8], keys: &KeySet, algorithms: &[Algorithm]) -> Result<Vec<u8>, SignatureError> {
    let raw = RawToken::parse(jws, jws.len()).map_err(|_| SignatureError::Malformed)?;
    let header = part(raw.header()).ok_or(SignatureError::Malformed)?;
    check(&raw, &Header::read(&header, algorithms)?, keys)?;
    URL_SAFE_NO_PAD.decode(raw.payload()).map_err(|_| SignatureError::Malformed)
}

/// One part of a token as a JSON object.
pub(super) fn part(base64url: &str) -> Option<Map<String, Value>> {
    json::object(&URL_SAFE_NO_PAD.decode(base64url).ok()?)
}

/// Finds the key that the header names and has it verify the signature.
pub(super) fn check(token: &RawToken<'_>, header: &Header<'_>, keys: &KeySet) -> Result<(), SignatureError> {
    let key = keys.get(header.kid).ok_or(SignatureError::UnknownKey)?;
    // SECURITY: the key says what it may verify, not the token: `a_token_with_another_algorithm_is_refused`.
    if !key.verifies(header.algorithm) {
        return Err(SignatureError::Malformed);
    }
    let message = token.message().as_bytes();
    match jsonwebtoken::crypto::verify(token.signature(), message, key.decoding(), header.algorithm) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(SignatureError::Bad),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::token::testing::{b64, header, key_set, keys, mint_bytes, with, without};

    const RS256: &[Algorithm] = &[Algorithm::RS256];

    fn sign(header: &Value, payload: &[u8]) -> String {
        mint_bytes(&keys().main, Algorithm::RS256, header.to_string().as_bytes(), payload)
    }

    fn verdict(jws: &str) -> Result<Vec<u8>, SignatureError> {
        verify_signature(jws.as_bytes(), &key_set(&[keys().main.jwk("main-1")], RS256), RS256)
    }

    #[test]
    fn whatever_was_signed_is_given_back() {
        for payload in [&b""[..], b"a", b"foo", &[0; 20], &[0xff; 32], b"{}"] {
            assert_eq!(verdict(&sign(&header(), payload)), Ok(payload.to_vec()));
        }
    }

    #[test]
    fn what_no_key_of_the_set_signed_is_refused() {
        use SignatureError::{Bad, Malformed, UnknownKey};
        let good = sign(&header(), b"foo");
        let (message, signature) = good.rsplit_once('.').unwrap();
        let (head, payload) = message.split_once('.').unwrap();
        let json = json!({"protected": head, "payload": payload, "signature": signature}).to_string();
        let forged = mint_bytes(&keys().second, Algorithm::RS256, header().to_string().as_bytes(), b"foo");
        let other = mint_bytes(&keys().main, Algorithm::PS256, br#"{"alg":"PS256","kid":"main-1"}"#, b"foo");
        let rows = [
            (String::new(), Malformed),
            (message.to_owned(), Malformed),
            (format!("{message}."), Malformed),
            (format!("{head}.{signature}"), Malformed),
            (format!("{payload}.{signature}"), Malformed),
            (format!(".{payload}.{signature}"), Malformed),
            (format!("{good}="), Malformed),
            (format!(" {good}"), Malformed),
            (json, Malformed),
            (format!("{}.{payload}.", b64(r#"{"alg":"none","kid":"main-1"}"#)), Malformed),
            (sign(&with(header(), "crit", json!(["exp"])), b"foo"), Malformed),
            (sign(&with(header(), "alg", "PS256"), b"foo"), Malformed),
            (sign(&without(header(), "kid"), b"foo"), Malformed),
            (other, Malformed),
            (sign(&with(header(), "kid", "main-2"), b"foo"), UnknownKey),
            (format!("{head}..{signature}"), Bad),
            (format!("{head}.{}.{signature}", b64("fop")), Bad),
            (format!("{head}.{payload}.{}", b64([0; 256])), Bad),
            (format!("{head}.{payload}.{}", b64("short")), Bad),
            (forged, Bad),
        ];
        for (jws, reason) in rows {
            assert_eq!(verdict(&jws), Err(reason), "{jws}");
        }
    }
}
