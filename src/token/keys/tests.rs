//! JWKS documents, good and bad.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::*;
use crate::token::testing::{b64, keys, with, without};

const RS256: &[Algorithm] = &[Algorithm::RS256];
const MANY: &[Algorithm] = &[Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];

fn parse(entries: &[Value], algorithms: &[Algorithm]) -> Result<(KeySet, Vec<SkippedKey>), KeySetError> {
    KeySet::parse(json!({ "keys": entries }).to_string().as_bytes(), algorithms)
}

fn good() -> Value {
    keys().main.jwk("good")
}

fn bad() -> Value {
    keys().next.jwk("bad")
}

/// An RSA entry with a modulus and exponent of these bytes.
fn rsa(n: &[u8], e: &[u8]) -> Value {
    with(with(bad(), "n", b64(n)), "e", b64(e))
}

#[test]
fn the_keys_of_a_pool_are_held_by_kid() {
    let (set, skipped) = parse(&[keys().main.jwk("b"), keys().next.jwk("a")], RS256).unwrap();
    assert_eq!((set.kids().collect::<Vec<_>>(), set.len(), set.is_empty()), (vec!["a", "b"], 2, false));
    assert_eq!(skipped, []);
    assert!(set.get("a").unwrap().verifies(Algorithm::RS256));
    assert!(!set.get("a").unwrap().verifies(Algorithm::PS256));
    assert!(set.get("c").is_none());
}

fn entries_of_another_kind() -> Vec<(Value, SkipReason)> {
    use SkipReason::*;
    let ec = |name: &str, value: Value| with(keys().p256.jwk("bad"), name, value);
    vec![
        (json!(null), NotAnObject),
        (json!("key"), NotAnObject),
        (json!([]), NotAnObject),
        (with(bad(), "d", "AQAB"), PrivateParts),
        (with(bad(), "p", "AQAB"), PrivateParts),
        (with(bad(), "qi", json!(null)), PrivateParts),
        (json!({"kty": "oct", "kid": "bad", "k": "c2VjcmV0", "alg": "HS256"}), PrivateParts),
        (with(bad(), "use", "enc"), OtherUse),
        (with(bad(), "use", "SIG"), OtherUse),
        (with(bad(), "use", json!(null)), OtherUse),
        (with(bad(), "key_ops", json!([])), OtherUse),
        (with(bad(), "key_ops", json!(["sign", "encrypt"])), OtherUse),
        (with(bad(), "key_ops", "verify"), OtherUse),
        (without(bad(), "kid"), NoKid),
        (with(bad(), "kid", ""), NoKid),
        (with(bad(), "kid", 7), NoKid),
        (with(bad(), "kid", "k".repeat(257)), NoKid),
        (with(bad(), "kid", "k".repeat(400_000)), NoKid),
        (without(bad(), "kty"), OtherType),
        (with(bad(), "kty", "rsa"), OtherType),
        (json!({"kty": "oct", "kid": "bad"}), OtherType),
        (ec("crv", json!("P-521")), OtherType),
        (ec("crv", json!("secp256k1")), OtherType),
        (with(keys().ed.jwk("bad"), "crv", "Ed448"), OtherType),
        (with(keys().ed.jwk("bad"), "crv", "X25519"), OtherType),
        (with(bad(), "alg", "RS384"), OtherAlgorithm),
        (with(bad(), "alg", "RSA-OAEP"), OtherAlgorithm),
        (with(bad(), "alg", "HS256"), OtherAlgorithm),
        (with(bad(), "alg", "none"), OtherAlgorithm),
        (with(bad(), "alg", "ES256"), OtherAlgorithm),
        (with(bad(), "alg", json!(null)), OtherAlgorithm),
        (ec("alg", json!("ES384")), OtherAlgorithm),
    ]
}

fn entries_that_are_no_key() -> Vec<(Value, SkipReason)> {
    use SkipReason::*;
    let big = |bytes: usize| [vec![0xC1; bytes - 1], vec![1]].concat();
    let e = [1, 0, 1];
    let ec = |name: &str, value: Value| with(keys().p256.jwk("bad"), name, value);
    vec![
        (rsa(&big(128), &e), TooShort),
        (rsa(&[vec![0x7F], big(255)].concat(), &e), TooShort),
        (rsa(&[vec![0; 200], big(200)].concat(), &e), TooShort),
        (rsa(&[], &e), TooShort),
        (rsa(&[0; 256], &e), TooShort),
        (rsa(&big(1025), &e), NotAKey),
        (rsa(&[0xC2; 256], &e), NotAKey),
        (rsa(&big(256), &[1]), NotAKey),
        (rsa(&big(256), &[0]), NotAKey),
        (rsa(&big(256), &[]), NotAKey),
        (rsa(&big(256), &[2]), NotAKey),
        (rsa(&big(256), &[1, 0, 0]), NotAKey),
        (rsa(&big(256), &[1, 0, 0, 0, 1]), NotAKey),
        (without(bad(), "n"), NotAKey),
        (without(bad(), "e"), NotAKey),
        (with(bad(), "n", "not base64!"), NotAKey),
        (with(bad(), "n", 7), NotAKey),
        (with(bad(), "e", "AQAB="), NotAKey),
        (ec("x", json!("AAAA")), NotAKey),
        (ec("x", json!(b64([7; 32]))), NotAKey),
        (ec("y", json!(b64([0; 33]))), NotAKey),
        (ec("crv", json!("P-384")), NotAKey),
        (with(keys().ed.jwk("bad"), "x", b64([1; 31])), NotAKey),
    ]
}

#[test]
fn an_entry_that_cannot_verify_is_left_out_with_its_reason() {
    let rows = entries_of_another_kind().into_iter().chain(entries_that_are_no_key());
    for (entry, reason) in rows {
        let shown: String = entry.to_string().chars().take(200).collect();
        let (set, skipped) = parse(&[good(), entry], MANY).unwrap();
        assert_eq!(set.kids().collect::<Vec<_>>(), ["good"], "{shown}");
        assert_eq!(skipped.iter().map(|key| (key.place, key.reason)).collect::<Vec<_>>(), [(1, reason)], "{shown}");
    }
}

#[test]
fn an_entry_may_leave_out_what_is_optional() {
    let rows = [
        (without(good(), "alg"), vec![Algorithm::RS256, Algorithm::PS256]),
        (without(good(), "use"), vec![Algorithm::RS256]),
        (with(good(), "key_ops", json!(["verify"])), vec![Algorithm::RS256]),
        (with(good(), "x5c", json!(["AAAA"])), vec![Algorithm::RS256]),
        (with(good(), "e", "Aw"), vec![Algorithm::RS256]),
        (keys().p256.jwk("good"), vec![Algorithm::ES256]),
        (keys().p384.jwk("good"), vec![Algorithm::ES384]),
        (keys().ed.jwk("good"), vec![Algorithm::EdDSA]),
    ];
    for (entry, verifies) in rows {
        let (set, skipped) = parse(std::slice::from_ref(&entry), MANY).unwrap();
        let key = set.get("good").unwrap();
        let found: Vec<Algorithm> = MANY.iter().copied().filter(|one| key.verifies(*one)).collect();
        assert_eq!((found, skipped), (verifies, vec![]), "{entry}");
    }
}

#[test]
fn hmac_is_not_accepted_even_where_the_settings_say_so() {
    let symmetric = json!({"kty": "oct", "kid": "bad", "alg": "HS256"});
    let verdict = parse(&[symmetric, with(bad(), "alg", "HS256")], &[Algorithm::HS256]);
    assert!(matches!(verdict, Err(KeySetError::NoUsableKey { skipped }) if skipped.len() == 2));
}

#[test]
fn two_keys_of_one_kid_are_both_left_out() {
    let (set, skipped) = parse(&[bad(), good(), keys().second.jwk("bad"), bad()], RS256).unwrap();
    assert_eq!(set.kids().collect::<Vec<_>>(), ["good"]);
    let places: Vec<_> = skipped.iter().map(|key| (key.place, key.kid.as_deref(), key.reason)).collect();
    assert_eq!(places, [0, 2, 3].map(|place| (place, Some("bad"), SkipReason::DuplicateKid)));
    let alone = parse(&[bad(), bad()], RS256);
    assert!(matches!(alone, Err(KeySetError::NoUsableKey { skipped }) if skipped.len() == 2));
}

#[test]
fn a_document_that_is_no_key_set_is_an_error() {
    let rows = [
        "",
        "<html>not found</html>",
        "null",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        r#"{"keys":[]"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"Keys":[]}"#,
        r#"{"keys":[]} {"keys":[]}"#,
    ];
    for row in rows {
        assert_eq!(KeySet::parse(row.as_bytes(), RS256).err(), Some(KeySetError::NotAKeySet), "{row}");
    }
    let twice = format!("{{\"keys\":[{}]}}", good().to_string().replacen('{', "{\"kid\":\"other\",", 1));
    assert_eq!(KeySet::parse(twice.as_bytes(), RS256).err(), Some(KeySetError::NotAKeySet));
    assert_eq!(parse(&[], RS256).err(), Some(KeySetError::NoUsableKey { skipped: vec![] }));
}

#[test]
fn a_document_over_the_limits_is_an_error() {
    let padded = |bytes: usize| {
        let text = json!({ "keys": [good()] }).to_string();
        format!("{text}{}", " ".repeat(bytes - text.len()))
    };
    assert!(KeySet::parse(padded(512 * 1024).as_bytes(), RS256).is_ok());
    assert_eq!(KeySet::parse(padded(512 * 1024 + 1).as_bytes(), RS256).err(), Some(KeySetError::TooLarge));
    let many = |count: usize| (0..count).map(|n| with(good(), "kid", format!("k{n}"))).collect::<Vec<_>>();
    assert_eq!(parse(&many(64), RS256).unwrap().0.len(), 64);
    assert_eq!(parse(&many(65), RS256).err(), Some(KeySetError::TooManyKeys));
}

#[test]
fn sets_are_equal_when_they_verify_the_same() {
    let of = |entries: &[Value]| parse(entries, MANY).unwrap().0;
    let (a, b) = (keys().main.jwk("a"), keys().p256.jwk("b"));
    let set = of(&[a.clone(), b.clone()]);
    assert_eq!(set, of(&[b.clone(), a.clone()]), "another order");
    assert_eq!(set, of(&[a.clone(), with(b.clone(), "x5t", "AAAA"), json!({"kty": "oct"})]), "what does not matter");
    let padded = b64([vec![0], base64_of(&a, "n")].concat());
    assert_eq!(set, of(&[with(a.clone(), "n", padded), b.clone()]), "a leading zero byte");
    let others = [
        of(std::slice::from_ref(&a)),
        of(&[with(a.clone(), "kid", "c"), b.clone()]),
        of(&[keys().next.jwk("a"), b.clone()]),
        of(&[without(a.clone(), "alg"), b.clone()]),
        of(&[with(a.clone(), "e", "Aw"), b]),
        of(&[a, keys().ed.jwk("b")]),
    ];
    for (place, other) in others.iter().enumerate() {
        assert_ne!(&set, other, "{place}");
    }
}

fn base64_of(entry: &Value, name: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(entry[name].as_str().unwrap()).unwrap()
}

#[test]
fn a_log_line_about_a_skipped_key_is_one_line() {
    let (_, skipped) =
        parse(&[good(), with(with(bad(), "kid", "a\n\u{1b}[31m"), "use", "enc"), json!(1)], RS256).unwrap();
    let lines: Vec<String> = skipped.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [r#"keys[1] (kid "a\n\u{1b}[31m"): it is not meant for verifying signatures"#, "keys[2]: it is not an object"]
    );
}

#[test]
fn a_ring_has_keys_only_in_the_places_that_hold_some() {
    let set = Arc::new(parse(&[good()], RS256).unwrap().0);
    let ring = KeyRing::new(vec![None, Some(Arc::clone(&set))]);
    assert_eq!((ring.get(0), ring.get(1), ring.get(2)), (None, Some(&set), None));
}
