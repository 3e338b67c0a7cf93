//! Tokens that must be refused, by class of attack, each with its reason. Unless a row is about the signature, its token is
//! well signed, so that nothing but the check in question can refuse it.

use aws_lc_rs::{encoding::AsDer, hmac, rsa};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::token::{TokenError, testing::*};

/// What is wrong, and the token.
type Row = (String, String);

fn check(rows: Vec<Row>, reason: TokenError) {
    for (name, token) in rows {
        assert_eq!(verify(&token).err(), Some(reason), "{name}");
    }
}

/// Main pool tokens with this claim set to each of these.
fn claim_rows(name: &str, values: impl IntoIterator<Item = Value>) -> Vec<Row> {
    values
        .into_iter()
        .map(|value| {
            let shown: String = value.to_string().chars().take(60).collect();
            (format!("{name}: {shown}"), token_of(&with(access(), name, value)))
        })
        .collect()
}

fn header_rows(name: &str, values: impl IntoIterator<Item = Value>) -> Vec<Row> {
    values
        .into_iter()
        .map(|value| (format!("{name}: {value}"), mint(&with(header(), name, value), &access())))
        .collect()
}

fn signed(header: &[u8], payload: &[u8]) -> String {
    mint_bytes(&keys().main, Algorithm::RS256, header, payload)
}

fn payload_rows(payloads: impl IntoIterator<Item = Vec<u8>>) -> Vec<Row> {
    payloads
        .into_iter()
        .map(|payload| {
            let shown: String = String::from_utf8_lossy(&payload).chars().take(80).collect();
            (shown, signed(header().to_string().as_bytes(), &payload))
        })
        .collect()
}

/// The text of a good payload with these members before its end.
fn payload_and(members: &str) -> Vec<u8> {
    format!("{},{members}}}", access().to_string().trim_end_matches('}')).into_bytes()
}

fn shapes() -> Vec<Row> {
    let good = token_of(&access());
    let [header, payload, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    [
        String::new(),
        ".".into(),
        "..".into(),
        ".".repeat(8000),
        header.into(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        signed(crate::token::testing::header().to_string().as_bytes(), b""),
        format!(".{payload}.{signature}"),
        format!("{signature}.{payload}.{header}"),
        format!("{good}.{signature}"),
        format!("{good}.{payload}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}=="),
        format!("{header}=.{payload}.{signature}"),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}\0"),
        format!("{good}AAA"),
        format!("\"{good}\""),
        format!("{header} . {payload} . {signature}"),
        good.replace('.', ","),
        good.replace('.', "%2E"),
        json!({"protected": header, "payload": payload, "signature": signature}).to_string(),
        format!("{header}.{}.{signature}", "A".repeat(64 * 1024)),
        token_of(&with(access(), "cognito:groups", json!(vec!["g".repeat(60); 1000]))),
    ]
    .into_iter()
    .map(|token| (token.chars().take(60).collect(), token))
    .collect()
}

fn json_readings() -> Vec<Row> {
    let duplicates = [
        r#""exp":9999999999"#,
        r#""sub":"root""#,
        r#""cognito:groups":["root"]"#,
        r#""iss":"https://evil.example""#,
        r#""token_use":"access""#,
        r#""client_id":"client-1""#,
        r#""s\u0075b":"root""#,
        r#""\u0065xp":9999999999"#,
        r#""x":{"a":1,"a":2}"#,
        r#""x":[[{"a":1,"\u0061":2}]]"#,
    ];
    let good = access().to_string();
    let broken: Vec<Vec<u8>> = vec![
        b"[]".to_vec(),
        format!("[{good}]").into_bytes(),
        json!(good).to_string().into_bytes(),
        b"null".to_vec(),
        b"1".to_vec(),
        b"true".to_vec(),
        format!("\u{feff}{good}").into_bytes(),
        format!("{good}{good}").into_bytes(),
        format!("{good}x").into_bytes(),
        format!("{good}\0").into_bytes(),
        format!("{good},").into_bytes(),
        good.trim_end_matches('}').into(),
        good.replace(':', "=").into_bytes(),
        good.replace('"', "'").into_bytes(),
        payload_and("\"x\":\"\u{1}\""),
        payload_and(r#""x":"\ud800""#),
        payload_and(r#""x":1e400"#),
        payload_and(r#""x":NaN"#),
        payload_and(r#""x":0x10"#),
        payload_and(r#""x":01"#),
        payload_and("/* */\"x\":1"),
        payload_and(&format!("\"x\":{}{}", "[".repeat(100), "]".repeat(100))),
        payload_and(&format!("\"x\":{}", "[".repeat(5000))),
        [b"\xff\xfe", good.as_bytes()].concat(),
        [good.trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat(),
        [good.trim_end_matches('}').as_bytes(), b",\"x\":\"\xc0\xaf\"}"].concat(),
        [good.trim_end_matches('}').as_bytes(), b",\"\xed\xa0\x80\":1}"].concat(),
        good.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        format!("{{{}}}", (0..2000).map(|_| "\"\":1").collect::<Vec<_>>().join(",")).into_bytes(),
    ];
    let payloads = duplicates.into_iter().map(payload_and).chain(broken.into_iter().filter(|bytes| !bytes.is_empty()));
    payload_rows(payloads).into_iter().chain(ambiguous_headers()).collect()
}

fn ambiguous_headers() -> Vec<Row> {
    let headers: [&[u8]; 12] = [
        br#"{"kid":"main-1","alg":"RS256","alg":"RS256"}"#,
        br#"{"kid":"main-1","alg":"none","\u0061lg":"RS256"}"#,
        br#"{"kid":"main-1","kid":"main-2","alg":"RS256"}"#,
        br#"{"kid":"main-1","alg":"RS256","jwk":{"a":1,"a":2}}"#,
        br#"[{"kid":"main-1","alg":"RS256"}]"#,
        br#""RS256""#,
        b"null",
        b"{\"kid\":\"main-1\",\"alg\":\"RS256\",\"x\":\"\xff\"}",
        b"\xef\xbb\xbf{\"kid\":\"main-1\",\"alg\":\"RS256\"}",
        br#"{"kid":"main-1","alg":"RS256"}}"#,
        br#"{"kid":"main-1","alg":"RS256""#,
        br#"{}"#,
    ];
    let payload = access().to_string();
    headers
        .into_iter()
        .map(|header| (String::from_utf8_lossy(header).into_owned(), signed(header, payload.as_bytes())))
        .collect()
}

/// Tokens whose header names another algorithm, each with the best signature that an attacker could have.
fn algorithms() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let message = |algorithm: &Value| {
        format!("{}.{}", b64(with(header(), "alg", algorithm.clone()).to_string()), b64(access().to_string()))
    };
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let message = message(&json!(name));
        let good = keys().main.sign(Algorithm::RS256, message.as_bytes());
        rows.push((format!("alg {name:?}, no signature"), format!("{message}.")));
        rows.push((format!("alg {name:?}, some signature"), format!("{message}.AAAA")));
        rows.push((format!("alg {name:?}, a good signature"), format!("{message}.{}", b64(good))));
    }
    let jwk = keys().main.jwk("main-1");
    let SigningKey::Rsa(pair) = &keys().main else { panic!("the main key is an RSA key") };
    let spki =
        AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(aws_lc_rs::signature::KeyPair::public_key(pair))
            .unwrap();
    let pkcs1: &rsa::PublicKey = aws_lc_rs::signature::KeyPair::public_key(pair);
    let body = STANDARD.encode(spki.as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let secrets: [(&str, Vec<u8>); 8] = [
        ("PEM", pem.clone().into_bytes()),
        ("PEM without its last line end", pem.trim_end().into()),
        ("base64 of the DER", body.into_bytes()),
        ("DER", spki.as_ref().to_vec()),
        ("PKCS1", pkcs1.as_ref().to_vec()),
        ("n", jwk["n"].as_str().unwrap().into()),
        ("the JWK", jwk.to_string().into_bytes()),
        ("nothing", Vec::new()),
    ];
    for (what, secret) in &secrets {
        for (name, algorithm) in
            [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
        {
            let message = message(&json!(name));
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
            rows.push((format!("{name} keyed with {what}"), format!("{message}.{}", b64(tag))));
        }
    }
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        let message = message(&json!(format!("{algorithm:?}")));
        let signature = keys().main.sign(algorithm, message.as_bytes());
        rows.push((format!("{algorithm:?}, well signed"), format!("{message}.{}", b64(signature))));
    }
    for name in ["rs256", "RS256 ", "Rs256", "RS256\0", "ES256", "EdDSA", "ES256K", "RSA-OAEP", "dir", "A128KW"] {
        rows.extend(header_rows("alg", [json!(name)]));
    }
    rows.extend(header_rows("alg", [json!(null), json!(["RS256"]), json!({"a": "RS256"}), json!(256), json!(true)]));
    rows.push(("no alg".into(), mint(&without(header(), "alg"), &access())));
    rows
}

/// Tokens that name a key of another type or of another declared algorithm.
fn keys_of_another_type() -> Vec<Row> {
    let rows = [
        ("RS256", "p256", Algorithm::RS256, &keys().second),
        ("ES256", "rsa", Algorithm::ES256, &keys().p256),
        ("ES256", "p384", Algorithm::ES256, &keys().p256),
        ("ES384", "p256", Algorithm::ES384, &keys().p384),
        ("EdDSA", "rsa", Algorithm::EdDSA, &keys().ed),
        ("RS256", "ed", Algorithm::RS256, &keys().second),
        ("RS384", "rs256", Algorithm::RS384, &keys().main),
        ("PS256", "rs256", Algorithm::PS256, &keys().main),
    ];
    rows.into_iter()
        .map(|(name, kid, algorithm, key)| {
            let header = json!({"alg": name, "kid": kid}).to_string();
            (
                format!("{name} by {kid}"),
                mint_bytes(key, algorithm, header.as_bytes(), partner().to_string().as_bytes()),
            )
        })
        .collect()
}

fn extensions() -> Vec<Row> {
    let mut rows =
        header_rows("crit", [json!(["exp"]), json!([]), json!(["b64"]), json!("exp"), json!(null), json!(["unknown"])]);
    rows.extend(header_rows("b64", [json!(false), json!(true), json!(null)]));
    rows.extend(header_rows("zip", [json!("DEF"), json!(null)]));
    rows.extend(header_rows("enc", [json!("A128GCM"), json!(null)]));
    rows.extend(header_rows("cty", [json!("JWT"), json!("jwt"), json!(null)]));
    let types =
        ["", "jwt", "JWE", "JOSE", "dpop+jwt", "JWT ", "application/at+jwt", "logout+jwt"].map(|typ| json!(typ));
    rows.extend(header_rows("typ", types.into_iter().chain([json!(null), json!(["JWT"]), json!(1)])));
    let both = with(with(header(), "b64", false), "crit", json!(["b64"]));
    rows.push(("b64 and crit".into(), mint(&both, &access())));
    rows
}

fn kids_of_no_text() -> Vec<Row> {
    let mut rows =
        header_rows("kid", [json!(null), json!(1), json!(["main-1"]), json!({"kid": "main-1"}), json!(true)]);
    rows.push(("no kid".into(), mint(&without(header(), "kid"), &access())));
    rows
}

fn unknown_kids() -> Vec<Row> {
    let kids = [
        "",
        "main-3",
        "MAIN-1",
        "main-1 ",
        " main-1",
        "main-1\0",
        "main-1/../main-1",
        "../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "https://evil.example/keys",
        "second-1",
        "rsa",
        "*",
        "main-",
        "ma\u{131}n-1",
        "${jndi:ldap://evil}",
    ];
    let long = "k".repeat(3000);
    header_rows("kid", kids.into_iter().chain([long.as_str()]).map(|kid| json!(kid)))
}

fn signatures() -> Vec<Row> {
    let good = token_of(&access());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = token_of(&with(access(), "jti", "other"));
    let (_, others) = other.rsplit_once('.').unwrap();
    let forged = |kid: &str| {
        let header = with(header(), "kid", kid).to_string();
        mint_bytes(&keys().second, Algorithm::RS256, header.as_bytes(), access().to_string().as_bytes())
    };
    let swapped =
        format!("{}.{}.{signature}", b64(header().to_string()), b64(with(access(), "sub", "root").to_string()));
    let mut rows = vec![
        ("the other pool's key of the same kid".to_owned(), forged("main-1")),
        ("another key".to_owned(), forged("main-2")),
        ("the pool's other key".to_owned(), mint(&with(header(), "kid", "main-2"), &access())),
        ("another token's signature".to_owned(), format!("{message}.{others}")),
        ("another payload".to_owned(), swapped),
        ("another header".to_owned(), {
            let (_, rest) = good.split_once('.').unwrap();
            format!("{}.{rest}", b64(with(header(), "typ", "JWT").to_string()))
        }),
        ("zeros".to_owned(), format!("{message}.{}", b64([0; 256]))),
        ("ones".to_owned(), format!("{message}.{}", b64([0xff; 256]))),
        ("one".to_owned(), format!("{message}.{}", b64([vec![0; 255], vec![1]].concat()))),
        ("too short".to_owned(), format!("{message}.AAAA")),
        (
            "cut".to_owned(),
            format!("{message}.{}", b64(&keys().main.sign(Algorithm::RS256, message.as_bytes())[..255])),
        ),
        ("one byte more".to_owned(), {
            let long = [keys().main.sign(Algorithm::RS256, message.as_bytes()), vec![0]].concat();
            format!("{message}.{}", b64(long))
        }),
        ("another padding".to_owned(), {
            format!("{message}.{}", b64(keys().main.sign(Algorithm::PS256, message.as_bytes())))
        }),
        ("another digest".to_owned(), {
            format!("{message}.{}", b64(keys().main.sign(Algorithm::RS384, message.as_bytes())))
        }),
    ];
    for place in [0, 100, 255] {
        let mut signature = keys().main.sign(Algorithm::RS256, message.as_bytes());
        signature[place] ^= 1;
        rows.push((format!("a bit of byte {place}"), format!("{message}.{}", b64(signature))));
    }
    let message = format!("{}.{}", b64(r#"{"alg":"ES256","kid":"p256"}"#), b64(partner().to_string()));
    for (name, signature) in [("zeros", [0; 64]), ("ones", [0xff; 64])] {
        rows.push((format!("ECDSA {name}"), format!("{message}.{}", b64(signature))));
    }
    rows
}

fn issuers() -> Vec<Row> {
    let mut values: Vec<Value> = [
        format!("{MAIN}/"),
        MAIN.to_uppercase(),
        MAIN.replace("https", "http"),
        MAIN.replace("https", "HTTPS"),
        MAIN.replace("https://", ""),
        format!("{MAIN}#"),
        format!("{MAIN}?"),
        format!(" {MAIN}"),
        format!("{MAIN} "),
        format!("{MAIN}\0"),
        format!("{MAIN}x"),
        MAIN.trim_end_matches('0').to_owned(),
        MAIN.replace("Main", "main"),
        MAIN.replace("Main00000", "Other0000"),
        MAIN.replace("eu-west-1.", "us-east-1."),
        MAIN.replace(".com/", ".com.evil.example/"),
        format!("https://evil.example/{MAIN}"),
        "https://user@cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Main00000".to_owned(),
        "eu-west-1_Main00000".to_owned(),
        "main".to_owned(),
        String::new(),
        "https://evil.example".to_owned(),
        format!("{PARTNER}/"),
    ]
    .map(Value::String)
    .to_vec();
    values.extend([json!(null), json!([MAIN]), json!([MAIN, PARTNER]), json!({"a": MAIN}), json!(1), json!(true)]);
    let mut rows = claim_rows("iss", values);
    rows.push(("no iss".into(), token_of(&without(access(), "iss"))));
    rows.push(("header and payload swapped".into(), {
        signed(access().to_string().as_bytes(), header().to_string().as_bytes())
    }));
    rows.push(("upper-case name".into(), token_of(&without(with(access(), "ISS", MAIN), "iss"))));
    rows
}

fn uses() -> Vec<Row> {
    let mut values = ["id", "refresh", "", "ACCESS", "Access", "access ", " access", "access\0", "access,id"]
        .map(|word| json!(word))
        .to_vec();
    values.extend([json!(null), json!(["access"]), json!({"access": 1}), json!(1), json!(true)]);
    let mut rows = claim_rows("token_use", values);
    rows.push(("none".into(), token_of(&without(access(), "token_use"))));
    rows
}

fn clients() -> Vec<Row> {
    let mut values =
        ["", "client-3", "CLIENT-1", "client-1 ", " client-1", "client-1\0", "client", "client-1,client-2", "any", "*"]
            .map(|id| json!(id))
            .to_vec();
    values.extend([json!(null), json!(["client-1"]), json!({"a": "client-1"}), json!(1), json!(true)]);
    let mut rows = claim_rows("client_id", values);
    rows.push(("none".into(), token_of(&without(access(), "client_id"))));
    rows.push(("aud instead".into(), token_of(&with(without(access(), "client_id"), "aud", "client-1"))));
    for aud in [json!(["client-9"]), json!(null), json!(1), json!("")] {
        rows.push((format!("id token, aud {aud}"), mint_second(&with(id_token(), "aud", aud))));
    }
    rows.push((
        "id token, client_id instead".into(),
        mint_second(&with(without(id_token(), "aud"), "client_id", "client-9")),
    ));
    let audiences = [
        json!(""),
        json!("API"),
        json!("api "),
        json!("apis"),
        json!("portal"),
        json!([]),
        json!(["other"]),
        json!([["api"]]),
        json!(["api", 1]),
        json!(["api", null]),
        json!({"api": 1}),
        json!(null),
        json!(1),
    ];
    for aud in audiences {
        rows.push((format!("oidc, aud {aud}"), mint_partner(&with(partner(), "aud", aud))));
    }
    rows.push(("oidc, none".into(), mint_partner(&without(partner(), "aud"))));
    rows
}

fn expired() -> Vec<Row> {
    let now = NOW.seconds();
    claim_rows("exp", [now, now - 1, now - 4, now - 59, now - 61, now - 86_400, 1, 0].map(|time| json!(time)))
}

fn early() -> Vec<Row> {
    let now = NOW.seconds();
    let mut rows = claim_rows("nbf", [now + 6, now + 60, now + 3000, 253_402_300_799].map(|time| json!(time)));
    rows.extend(claim_rows("iat", [now + 6, now + 60, now + 3000, now + 3540].map(|time| json!(time))));
    rows
}

/// Values that no time claim may have.
fn no_times() -> Vec<Value> {
    let texts = [
        "-1",
        "-9223372036854775808",
        "1800003540.0",
        "1800003540.5",
        "1.80000354e9",
        "1e308",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "253402300800",
        "-0",
        "\"1800003540\"",
        "\"\"",
        "null",
        "true",
        "[1800003540]",
        "{\"a\":1800003540}",
    ];
    texts.map(|text| serde_json::from_str(text).unwrap()).to_vec()
}

fn impossible_claims() -> Vec<Row> {
    let now = NOW.seconds();
    let mut rows = Vec::new();
    for name in ["exp", "nbf", "iat"] {
        rows.extend(claim_rows(name, no_times()));
    }
    rows.push(("no exp".into(), token_of(&without(access(), "exp"))));
    rows.push(("no iat".into(), token_of(&without(access(), "iat"))));
    rows.extend(claim_rows("exp", [1_799_999_940 + 86_401, now + 90_000, 253_402_300_799].map(|time| json!(time))));
    rows.extend(claim_rows("iat", [json!(0), json!(now - 86_400)]));
    rows.push(("iat after exp".into(), token_of(&with(with(access(), "exp", now + 1), "iat", now + 4))));
    rows.extend(impossible_names());
    rows
}

fn impossible_names() -> Vec<Row> {
    let mut rows = Vec::new();
    let ids = [
        json!(""),
        json!(null),
        json!(1),
        json!(["u-1"]),
        json!({"a": "u-1"}),
        json!(true),
        json!("u 1"),
        json!("u-1\r\nx: y"),
        json!("u-1\0"),
        json!("\u{202e}u-1"),
        json!("u-\u{e9}"),
        json!("u-1\t"),
        json!("u-1\u{7f}"),
        json!(" u-1"),
        json!("x".repeat(257)),
        json!("x".repeat(5000)),
    ];
    rows.extend(claim_rows("sub", ids));
    rows.push(("no sub".into(), token_of(&without(access(), "sub"))));
    let groups = [
        json!("admin"),
        json!("admin,user"),
        json!({"admin": true}),
        json!(1),
        json!(null),
        json!(true),
        json!([1]),
        json!([null]),
        json!([["admin"]]),
        json!(["admin", {"a": 1}]),
        json!(["admin", true]),
        json!(["admin\r\nx: y"]),
        json!(["admin\0"]),
        json!(["ad\tmin"]),
        json!(["ad\u{7f}min"]),
        json!(["ad\u{85}min"]),
    ];
    rows.extend(claim_rows("cognito:groups", groups));
    rows.extend(claim_rows("scope", [json!(["a"]), json!(null), json!(1), json!({}), json!("a\r\nb"), json!("a\0")]));
    rows.extend(claim_rows("username", [json!(null), json!(1), json!(["ada"]), json!({})]));
    for (name, value) in [
        ("groups", json!("staff")),
        ("groups", json!([1])),
        ("scp", json!([1])),
        ("scp", json!({"a": 1})),
        ("scp", json!(["a\n"])),
        ("scope", json!(["a"])),
        ("azp", json!(1)),
        ("client_id", json!(["portal"])),
        ("preferred_username", json!(1)),
    ] {
        rows.push((format!("oidc, {name}: {value}"), mint_partner(&with(partner(), name, value))));
    }
    rows
}

#[test]
fn a_token_that_is_not_three_base64url_parts_of_objects_is_refused() {
    check(shapes(), TokenError::Malformed);
}

#[test]
fn a_token_that_readers_could_read_in_two_ways_is_refused() {
    check(json_readings(), TokenError::Malformed);
}

#[test]
fn a_token_is_refused_in_every_spelling_but_its_own() {
    let good = token_of(&access());
    assert_eq!(verify(&good).err(), None);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let own = good.chars().last().unwrap();
    for other in alphabet.chars().filter(|other| *other != own) {
        let spelled = format!("{}{other}", good.strip_suffix(own).unwrap());
        assert!(verify(&spelled).is_err(), "{other}");
    }
}

#[test]
fn a_token_with_any_character_changed_is_refused() {
    let good = token_of(&access());
    for place in 0..good.len() {
        let mut token = good.clone().into_bytes();
        token[place] = if token[place] == b'A' { b'B' } else { b'A' };
        assert!(verify(&String::from_utf8(token).unwrap()).is_err(), "character {place}");
    }
    for length in 0..good.len() {
        assert!(verify(good.get(..length).unwrap()).is_err(), "cut to {length}");
    }
}

#[test]
fn a_token_with_another_algorithm_is_refused() {
    check(algorithms(), TokenError::Malformed);
    check(keys_of_another_type(), TokenError::Malformed);
}

#[test]
fn a_critical_extension_is_refused() {
    check(extensions(), TokenError::Malformed);
}

#[test]
fn a_token_whose_kid_is_no_text_is_refused() {
    check(kids_of_no_text(), TokenError::Malformed);
}

#[test]
fn a_token_of_an_unknown_key_is_refused() {
    check(unknown_kids(), TokenError::UnknownKey { provider: 0 });
}

#[test]
fn a_forged_signature_is_refused() {
    check(signatures(), TokenError::BadSignature);
}

#[test]
fn a_token_of_an_issuer_that_is_almost_ours_is_refused() {
    check(issuers(), TokenError::UnknownIssuer);
}

#[test]
fn a_token_of_another_use_is_refused() {
    check(uses(), TokenError::WrongUse);
}

#[test]
fn a_token_for_another_client_is_refused() {
    check(clients(), TokenError::WrongClient);
}

#[test]
fn an_expired_token_is_refused() {
    check(expired(), TokenError::Expired);
}

#[test]
fn a_token_that_is_not_valid_yet_is_refused() {
    check(early(), TokenError::NotYetValid);
}

#[test]
fn claims_of_impossible_value_are_refused() {
    check(impossible_claims(), TokenError::ClaimsInvalid);
}

#[test]
fn the_table_holds_at_least_400_bad_tokens() {
    let classes = [
        shapes(),
        json_readings(),
        algorithms(),
        keys_of_another_type(),
        extensions(),
        kids_of_no_text(),
        unknown_kids(),
        signatures(),
        issuers(),
        uses(),
        clients(),
        expired(),
        early(),
        impossible_claims(),
    ];
    let tokens: std::collections::HashSet<String> = classes.into_iter().flatten().map(|(_, token)| token).collect();
    assert!(tokens.len() >= 400, "{}", tokens.len());
}
