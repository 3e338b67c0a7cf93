//! The token that a question brings along: verified by a key set of the settings, or the question is refused.
//!
//! Cerbos checks the signature and the times that are there (`exp`, `nbf`, `iat`), and nothing else: whom the token is for is a matter of
//! the policies, which see all claims but those that are null. As Cerbos does, it tells them times as RFC 3339 texts and the audience as a list.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use thiserror::Error;

use super::wire::Jwt;
use crate::{
    json,
    reload::AUX_ALGORITHMS,
    telemetry::rfc3339,
    time::UnixTime,
    token::{KeySet, RawToken, SignatureError, verify_signature},
};

/// Longest token, in bytes.
const LONGEST: usize = 64 * 1024;

/// By what tokens are verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuxKeys<'a> {
    /// The key sets by their names.
    pub(super) sets: &'a BTreeMap<Box<str>, Arc<KeySet>>,
    /// Every token is believed.
    pub(super) unverified: bool,
}

/// Why a token is refused. Operators read it; the caller hears `invalid auxData`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum AuxFault {
    #[error("the token is no JWT")]
    Malformed,
    #[error("no key set has that name, or none is named and there is not exactly one")]
    NoKeySet,
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("a registered claim of the token has an impossible value")]
    ClaimsInvalid,
}

impl<'a> AuxKeys<'a> {
    /// The claims of a genuine token.
    pub(super) fn claims(&self, jwt: &Jwt, now: UnixTime) -> Result<Map<String, Value>, AuxFault> {
        let token = jwt.token.as_bytes();
        let payload = if self.unverified {
            let raw = RawToken::parse(token, LONGEST).map_err(|_| AuxFault::Malformed)?;
            let payload = raw.as_str().split('.').nth(1).ok_or(AuxFault::Malformed)?;
            URL_SAFE_NO_PAD.decode(payload).map_err(|_| AuxFault::Malformed)?
        } else {
            // SECURITY: `a_token_that_no_key_set_signed_is_refused`.
            let keys = self.set(&jwt.key_set_id)?;
            if token.len() > LONGEST {
                return Err(AuxFault::Malformed);
            }
            verify_signature(token, keys, AUX_ALGORITHMS)?
        };
        let claims = json::object(&payload).ok_or(AuxFault::Malformed)?;
        check_times(&claims, now)?;
        told(claims)
    }

    /// The set of that name; without a name the only one.
    fn set(&self, name: &str) -> Result<&'a KeySet, AuxFault> {
        let set = match (name, self.sets.len()) {
            ("", 1) => self.sets.values().next(),
            ("", _) => None,
            (name, _) => self.sets.get(name),
        };
        set.map(|set| &**set).ok_or(AuxFault::NoKeySet)
    }
}

/// Seconds since the epoch of a time claim.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<UnixTime>, AuxFault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=253_402_300_799.0).contains(seconds));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and far below 2^53")]
    let time = seconds.map(|seconds| UnixTime::from_seconds(seconds as u64));
    time.map(Some).ok_or(AuxFault::ClaimsInvalid)
}

fn check_times(claims: &Map<String, Value>, now: UnixTime) -> Result<(), AuxFault> {
    // SECURITY: `a_token_is_refused_outside_of_its_time`.
    if time(claims, "exp")?.is_some_and(|expires| now >= expires) {
        return Err(AuxFault::Expired);
    }
    for name in ["nbf", "iat"] {
        if time(claims, name)?.is_some_and(|begins| now < begins) {
            return Err(AuxFault::NotYetValid);
        }
    }
    Ok(())
}

/// The claims as policies see them.
fn told(mut claims: Map<String, Value>) -> Result<Map<String, Value>, AuxFault> {
    for name in ["exp", "nbf", "iat"] {
        if let Some(time) = time(&claims, name)? {
            claims.insert(name.to_owned(), whole_seconds(time).into());
        }
    }
    for name in ["iss", "sub", "jti"] {
        if claims.get(name).is_some_and(|value| !value.is_string()) {
            return Err(AuxFault::ClaimsInvalid);
        }
    }
    match claims.get_mut("aud") {
        None => {}
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {}
        Some(name @ Value::String(_)) => *name = Value::Array(vec![name.take()]),
        Some(_) => return Err(AuxFault::ClaimsInvalid),
    }
    claims.retain(|_, value| !value.is_null());
    Ok(claims)
}

/// RFC 3339, in UTC.
fn whole_seconds(time: UnixTime) -> String {
    let text = rfc3339(std::time::Duration::from_secs(time.seconds()));
    text.replace(".000Z", "Z")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::token::{
        Algorithm,
        testing::{b64, key_set, keys, mint_bytes},
    };

    const NOW: u64 = 1_700_000_000;

    fn token(claims: &Value) -> String {
        let header = json!({"alg": "RS256", "kid": "main-1", "typ": "JWT"});
        mint_bytes(&keys().main, Algorithm::RS256, header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    type Sets = BTreeMap<Box<str>, Arc<KeySet>>;

    fn held() -> Sets {
        BTreeMap::from([("main".into(), key_set(&[keys().main.jwk("main-1")], AUX_ALGORITHMS))])
    }

    fn ask(sets: &Sets, token: &str, set: &str) -> Result<Map<String, Value>, AuxFault> {
        let jwt = Jwt { token: token.to_owned(), key_set_id: set.to_owned() };
        AuxKeys { sets, unverified: false }.claims(&jwt, UnixTime::from_seconds(NOW))
    }

    fn believe(token: &str) -> Result<Map<String, Value>, AuxFault> {
        let jwt = Jwt { token: token.to_owned(), key_set_id: "nowhere".to_owned() };
        AuxKeys { sets: &Sets::new(), unverified: true }.claims(&jwt, UnixTime::from_seconds(NOW))
    }

    #[test]
    fn the_claims_of_a_genuine_token_are_told_as_cerbos_tells_them() {
        let claims =
            json!({"sub": "u", "aud": "api", "exp": NOW + 1, "iat": NOW, "nbf": 0, "x": {"y": [1, null]}, "z": null});
        let told = ask(&held(), &token(&claims), "main").unwrap();
        let expected = json!({
            "sub": "u", "aud": ["api"], "exp": "2023-11-14T22:13:21Z", "iat": "2023-11-14T22:13:20Z",
            "nbf": "1970-01-01T00:00:00Z", "x": {"y": [1, null]},
        });
        assert_eq!(Value::Object(told), expected);
        assert!(ask(&held(), &token(&json!({"a": 1})), "").is_ok());
    }

    #[test]
    fn a_token_that_no_key_set_signed_is_refused() {
        let good = token(&json!({"sub": "u"}));
        let header = json!({"alg": "RS256", "kid": "main-1"});
        let forged = mint_bytes(&keys().second, Algorithm::RS256, header.to_string().as_bytes(), b"{}");
        let none = format!("{}.{}.", b64(r#"{"alg":"none","kid":"main-1"}"#), b64("{}"));
        assert_eq!(ask(&held(), &forged, "main"), Err(AuxFault::Signature(SignatureError::Bad)));
        assert_eq!(ask(&held(), &none, "main"), Err(AuxFault::Signature(SignatureError::Malformed)));
        assert_eq!(ask(&held(), &good, "other"), Err(AuxFault::NoKeySet));
        assert_eq!(ask(&Sets::new(), &good, ""), Err(AuxFault::NoKeySet));
        let mut two = held();
        two.insert("second".into(), key_set(&[keys().second.jwk("second-1")], AUX_ALGORITHMS));
        assert_eq!(ask(&two, &good, ""), Err(AuxFault::NoKeySet));
        assert_eq!(ask(&two, &good, "second"), Err(AuxFault::Signature(SignatureError::UnknownKey)));
        assert!(ask(&two, &good, "main").is_ok());
        for broken in ["", "x", "a.b.c", "e30.e30", &"a".repeat(LONGEST + 1)] {
            assert!(ask(&held(), broken, "main").is_err(), "{broken:.20}");
        }
    }

    #[test]
    fn a_token_is_refused_outside_of_its_time() {
        let rows = [
            (json!({"exp": NOW}), AuxFault::Expired),
            (json!({"exp": 0}), AuxFault::Expired),
            (json!({"nbf": NOW + 1}), AuxFault::NotYetValid),
            (json!({"iat": NOW + 1}), AuxFault::NotYetValid),
            (json!({"exp": "soon"}), AuxFault::ClaimsInvalid),
            (json!({"exp": null}), AuxFault::ClaimsInvalid),
            (json!({"nbf": -1}), AuxFault::ClaimsInvalid),
            (json!({"iat": 1e300}), AuxFault::ClaimsInvalid),
            (json!({"aud": 1}), AuxFault::ClaimsInvalid),
            (json!({"sub": 1}), AuxFault::ClaimsInvalid),
            (json!({"sub": null}), AuxFault::ClaimsInvalid),
        ];
        for (claims, fault) in rows {
            assert_eq!(ask(&held(), &token(&claims), "main"), Err(fault), "{claims}");
            assert_eq!(believe(&token(&claims)), Err(fault), "{claims}");
        }
    }

    #[test]
    fn without_verification_any_signature_is_believed() {
        let forged = mint_bytes(&keys().second, Algorithm::RS256, br#"{"alg":"RS256","kid":"x"}"#, br#"{"sub":"u"}"#);
        assert_eq!(Value::Object(believe(&forged).unwrap()), json!({"sub": "u"}));
        assert_eq!(believe("a.b"), Err(AuxFault::Malformed));
    }
}
