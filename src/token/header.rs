//! The header of a token: which key, which algorithm, and nothing else asked for (RFC 7515 section 4).

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde_json::{Map, Value};

use super::SignatureError;

/// Members that ask for what is not done here: extensions that must be understood, detached or compressed payloads,
/// encryption, nested tokens. `jku`, `x5u`, `x5c` and `jwk` are not among them: they are not looked at, so keys come from
/// the settings alone.
const REFUSED: [&str; 5] = ["crit", "b64", "zip", "enc", "cty"];

/// What a header says, once it is acceptable.
pub(super) struct Header<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: &'a str,
}

impl<'a> Header<'a> {
    /// Reads a header whose algorithm must be among `algorithms`.
    pub(super) fn read(members: &'a Map<String, Value>, algorithms: &[Algorithm]) -> Result<Self, SignatureError> {
        let text = |name| members.get(name).map(|value| value.as_str().ok_or(SignatureError::Malformed)).transpose();
        // SECURITY: what is not accepted is refused before any key is asked for: `an_algorithm_that_is_not_accepted_asks_for_no_key`.
        let algorithm = text("alg")?
            .and_then(signature_algorithm)
            .filter(|algorithm| algorithms.contains(algorithm))
            .ok_or(SignatureError::Malformed)?;
        if !matches!(text("typ")?, None | Some("JWT" | "at+jwt")) {
            return Err(SignatureError::Malformed);
        }
        // SECURITY: an extension that is not understood changes what the token means: `a_critical_extension_is_refused`.
        if REFUSED.iter().any(|name| members.contains_key(*name)) {
            return Err(SignatureError::Malformed);
        }
        let kid = text("kid")?.ok_or(SignatureError::Malformed)?;
        Ok(Self { algorithm, kid })
    }
}

/// The signature algorithm of that name (RFC 7518 section 3.1), case-sensitive. `None` for what is never accepted: names
/// that are not known, `none`, and HMAC.
pub fn signature_algorithm(name: &str) -> Option<Algorithm> {
    let algorithm: Algorithm = name.parse().ok()?;
    // SECURITY: a public key must never serve as an HMAC secret:
    // `every_asymmetric_algorithm_has_its_name_and_no_other_name_is_one`.
    (algorithm.family() != AlgorithmFamily::Hmac).then_some(algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asymmetric_algorithm_has_its_name_and_no_other_name_is_one() {
        for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
            assert!(signature_algorithm(name).is_some(), "{name}");
        }
        for name in [
            "", "none", "None", "NONE", "HS256", "HS384", "HS512", "rs256", "RS256 ", "ES512", "ES256K", "RSA-OAEP",
            "dir",
        ] {
            assert_eq!(signature_algorithm(name), None, "{name}");
        }
    }
}
