//! Good tokens of each kind, the order of the checks, and what is checked again. The bad ones are in `bad`.

mod bad;

use jsonwebtoken::Algorithm;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::token::{KeySet, TokenUse, testing::*};

fn groups(claims: &Claims) -> Vec<&str> {
    claims.groups().iter().map(|group| &**group).collect()
}

fn scopes(claims: &Claims) -> Vec<&str> {
    claims.scopes().iter().map(|scope| &**scope).collect()
}

#[test]
fn an_access_token_is_a_user() {
    let claims = verify(&token_of(&access())).unwrap();
    assert_eq!((claims.provider(), claims.token_use(), claims.is_machine()), (0, Some(TokenUse::Access), false));
    assert_eq!((claims.id(), claims.username(), claims.client_id()), ("u-1", Some("ada"), Some("client-1")));
    assert_eq!((groups(&claims), scopes(&claims)), (vec!["admin", "user"], vec!["openid", "contacts/read"]));
    assert_eq!(claims.expires(), UnixTime::from_seconds(1_800_003_540));
    assert_eq!(Value::Object(claims.all().clone()), access());
}

#[test]
fn an_id_token_is_a_user_where_id_tokens_are_taken() {
    let claims = verify(&mint_second(&id_token())).unwrap();
    assert_eq!((claims.provider(), claims.token_use(), claims.is_machine()), (1, Some(TokenUse::Id), false));
    assert_eq!((claims.id(), claims.username(), claims.client_id()), ("u-1", Some("ada"), Some("client-9")));
    assert_eq!((groups(&claims), scopes(&claims)), (vec!["admin"], vec![]));
    assert_eq!(claims.get("email"), Some(&json!("ada@example.com")));
}

#[test]
fn a_client_credentials_token_is_a_machine_without_groups() {
    let claims = verify(&token_of(&with(machine(), "cognito:groups", json!(["admin"])))).unwrap();
    assert!(claims.is_machine());
    assert_eq!((claims.id(), claims.username(), claims.client_id()), ("client-2", None, Some("client-2")));
    assert_eq!((groups(&claims), scopes(&claims)), (vec![], vec!["contacts/read", "contacts/write"]));
}

#[test]
fn a_person_is_no_machine() {
    let second = |payload: Value| with(with(payload, "iss", SECOND), "aud", "client-2");
    let rows = [
        ("a username", token_of(&with(machine(), "username", "client-2"))),
        ("another sub", token_of(&with(machine(), "sub", "u-1"))),
        ("an id token", mint_second(&with(second(machine()), "token_use", "id"))),
    ];
    for (name, token) in rows {
        assert!(!verify(&token).unwrap().is_machine(), "{name}");
    }
}

#[test]
fn a_token_of_another_issuer_is_checked_by_audience() {
    let claims = verify(&mint_partner(&partner())).unwrap();
    assert_eq!((claims.provider(), claims.token_use(), claims.is_machine()), (3, None, false));
    assert_eq!((claims.id(), claims.username(), claims.client_id()), ("p-1", Some("eve"), Some("portal")));
    assert_eq!((groups(&claims), scopes(&claims)), (vec!["staff"], vec!["read", "write"]));
}

#[test]
fn a_token_of_another_issuer_may_be_spelled_in_several_ways() {
    let scopes_of = |payload: Value| scopes(&verify(&mint_partner(&payload)).unwrap()).join("+");
    assert_eq!(scopes_of(with(partner(), "scp", "a b")), "a+b");
    assert_eq!(scopes_of(with(partner(), "scope", "c")), "c");
    assert_eq!(scopes_of(without(partner(), "scp")), "");
    let client_of = |payload: Value| verify(&mint_partner(&payload)).unwrap().client_id().map(str::to_owned);
    assert_eq!(client_of(with(partner(), "client_id", "app")).as_deref(), Some("app"));
    assert_eq!(client_of(without(partner(), "azp")), None);
    for aud in [json!("api"), json!("api-2"), json!(["x", "api-2"])] {
        assert!(verify(&mint_partner(&with(partner(), "aud", aud))).is_ok());
    }
}

#[test]
fn another_issuers_token_is_a_machine_only_where_nothing_speaks_of_a_person() {
    let machine = without(with(partner(), "sub", "portal"), "preferred_username");
    let claims = verify(&mint_partner(&machine)).unwrap();
    assert!(claims.is_machine());
    assert_eq!(groups(&claims), Vec::<&str>::new());
    for name in ["username", "preferred_username", "email", "name"] {
        assert!(!verify(&mint_partner(&with(machine.clone(), name, "x"))).unwrap().is_machine(), "{name}");
    }
    assert!(!verify(&mint_partner(&with(machine, "sub", "p-1"))).unwrap().is_machine());
}

#[test]
fn every_asymmetric_algorithm_verifies_with_a_key_of_its_type() {
    let keys = keys();
    let rows = [
        ("RS256", "rsa", &keys.second),
        ("RS384", "rsa", &keys.second),
        ("RS512", "rsa", &keys.second),
        ("PS256", "rsa", &keys.second),
        ("PS384", "rsa", &keys.second),
        ("PS512", "rsa", &keys.second),
        ("RS256", "rs256", &keys.main),
        ("ES256", "p256", &keys.p256),
        ("ES384", "p384", &keys.p384),
        ("EdDSA", "ed", &keys.ed),
    ];
    for (name, kid, key) in rows {
        let algorithm: Algorithm = name.parse().unwrap();
        let header = json!({"alg": name, "kid": kid}).to_string();
        let token = mint_bytes(key, algorithm, header.as_bytes(), partner().to_string().as_bytes());
        assert_eq!(verify(&token).err(), None, "{name} by {kid}");
    }
}

#[test]
fn what_good_tokens_may_differ_in_does_not_matter() {
    let replication = MAIN.replace("https://cognito-idp", "https://issuer-cognito-idp");
    let rows = [
        ("the other issuer form", with(access(), "iss", replication)),
        ("no groups", without(access(), "cognito:groups")),
        ("an empty list of groups", with(access(), "cognito:groups", json!([]))),
        ("a comma in a group", with(access(), "cognito:groups", json!(["a,b"]))),
        ("no scope", without(access(), "scope")),
        ("the other client", with(access(), "client_id", "client-2")),
        ("an aud beside client_id", with(access(), "aud", "https://api.example")),
        ("nbf now", with(access(), "nbf", NOW.seconds())),
        ("nbf within the leeway", with(access(), "nbf", NOW.seconds() + 5)),
        ("iat within the leeway", with(access(), "iat", NOW.seconds() + 5)),
        ("a life of no length", with(with(access(), "exp", NOW.seconds() + 1), "iat", NOW.seconds() + 1)),
        ("a last second", with(access(), "exp", NOW.seconds() + 1)),
        ("the longest lifetime", with(access(), "exp", 1_799_999_940_u64 + 86_400)),
        ("the longest id", with(access(), "sub", "x".repeat(256))),
        ("an odd but visible id", with(access(), "sub", "~!|<>%2F..")),
        ("CR LF in a username", with(access(), "username", "a\r\nb")),
        ("a nested claim", with(access(), "custom:x", json!({"a": [{"b": null}]}))),
    ];
    for (name, payload) in rows {
        assert_eq!(verify(&token_of(&payload)).err(), None, "{name}");
    }
    let headers = [
        json!({"kid": "main-1", "alg": "RS256", "typ": "JWT"}),
        json!({"kid": "main-1", "alg": "RS256", "typ": "at+jwt"}),
        json!({"kid": "main-1", "alg": "RS256", "x5t": "AAAA", "private": {"a": 1}}),
    ];
    for header in headers {
        assert_eq!(verify(&mint(&header, &access())).err(), None, "{header}");
    }
}

#[test]
fn a_key_embedded_in_the_token_is_not_looked_at() {
    let attacker = keys().second.jwk("main-1");
    for (name, value) in [
        ("jwk", attacker),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["AAAA"])),
    ] {
        let header = with(header(), name, value);
        assert_eq!(verify(&mint(&header, &access())).err(), None, "{name}: good signature");
        let forged = mint_bytes(
            &keys().second,
            Algorithm::RS256,
            header.to_string().as_bytes(),
            access().to_string().as_bytes(),
        );
        assert_eq!(verify(&forged).err(), Some(TokenError::BadSignature), "{name}: the attacker's signature");
    }
}

#[test]
fn any_client_is_taken_only_where_the_settings_say_any() {
    let payload = |client: &str| with(with(access(), "iss", SECOND), "client_id", client);
    assert!(verify(&mint_second(&payload("whoever"))).is_ok());
    assert_eq!(verify(&mint_second(&payload(""))).err(), Some(TokenError::WrongClient));
    assert_eq!(verify(&token_of(&with(access(), "client_id", "whoever"))).err(), Some(TokenError::WrongClient));
}

#[test]
fn the_use_that_a_route_states_replaces_the_settings() {
    let (access, id) = (token_of(&access()), token_of(&with(with(access(), "token_use", "id"), "aud", "client-1")));
    let verdict = |token: &str, token_use| verify_for(token, Accepts { token_use, providers: None }).err();
    let wrong = Some(TokenError::WrongUse);
    assert_eq!((verdict(&access, None), verdict(&id, None)), (None, wrong));
    assert_eq!((verdict(&access, Some(TokenUses::Access)), verdict(&id, Some(TokenUses::Access))), (None, wrong));
    assert_eq!((verdict(&access, Some(TokenUses::Id)), verdict(&id, Some(TokenUses::Id))), (wrong, None));
    assert_eq!((verdict(&access, Some(TokenUses::Both)), verdict(&id, Some(TokenUses::Both))), (None, None));
    assert_eq!(verdict(&mint_partner(&partner()), Some(TokenUses::Id)), None, "other issuers have no `token_use`");
}

#[test]
fn a_route_takes_tokens_of_its_providers_only() {
    let (main, second) = (token_of(&access()), mint_second(&id_token()));
    let only = [ProviderId::new("second")];
    let accepts = Accepts { token_use: None, providers: Some(&only) };
    assert_eq!(verify_for(&main, accepts).err(), Some(TokenError::UnknownIssuer));
    assert_eq!(verify_for(&second, accepts).err(), None);
    assert_eq!(
        verify_for(&second, Accepts { token_use: None, providers: Some(&[]) }).err(),
        Some(TokenError::UnknownIssuer)
    );
}

#[test]
fn an_issuer_that_two_providers_use_names_neither() {
    let doubled = Verifier::new([providers(), providers()].concat());
    let token = token_of(&access());
    let raw = RawToken::parse(token.as_bytes(), MAX_BYTES).unwrap();
    let verdict = doubled.verify(&raw, &ring(), Accepts::default(), NOW);
    assert_eq!(verdict.err(), Some(TokenError::UnknownIssuer));
}

#[test]
fn an_unverified_email_is_no_email() {
    let email = |verified: Value| {
        let claims = verify(&mint_second(&with(id_token(), "email_verified", verified))).unwrap();
        assert_eq!(claims.get("email"), claims.all().get("email"));
        claims.get("email").cloned()
    };
    for confirmed in [json!(true), json!("true")] {
        assert_eq!(email(confirmed), Some(json!("ada@example.com")));
    }
    for not in [json!(false), json!("false"), json!("True"), json!(1), json!(null), json!([true]), json!({})] {
        assert_eq!(email(not.clone()), None, "{not}");
    }
    let claims = verify(&mint_second(&without(id_token(), "email_verified"))).unwrap();
    assert_eq!(claims.get("email"), None);
}

#[test]
fn an_unverified_email_is_no_principal_id() {
    let mut providers = providers();
    providers[1].principal_claim = "email".to_owned();
    let verifier = Verifier::new(providers);
    let id = |payload: &Value| {
        let token = mint_second(payload);
        let raw = RawToken::parse(token.as_bytes(), MAX_BYTES).unwrap();
        verifier.verify(&raw, &ring(), Accepts::default(), NOW).map(|claims| claims.id().to_owned())
    };
    assert_eq!(id(&id_token()), Ok("ada@example.com".to_owned()));
    assert_eq!(id(&with(id_token(), "email_verified", false)), Err(TokenError::ClaimsInvalid));
    assert_eq!(id(&without(id_token(), "email_verified")), Err(TokenError::ClaimsInvalid));
}

#[test]
fn the_first_check_that_fails_is_the_reason() {
    type Fault = (TokenError, fn(&mut Value, &mut Value));
    fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
        *object = with(object.take(), name, value);
    }
    let faults: [Fault; 11] = [
        (TokenError::UnknownIssuer, |_, payload| set(payload, "iss", "https://evil.example")),
        (TokenError::Malformed, |header, _| set(header, "alg", "none")),
        (TokenError::Malformed, |header, _| set(header, "crit", json!(["exp"]))),
        (TokenError::UnknownKey { provider: 0 }, |header, _| set(header, "kid", "unknown")),
        (TokenError::BadSignature, |header, _| set(header, "x-forged", true)),
        (TokenError::WrongUse, |_, payload| set(payload, "token_use", "refresh")),
        (TokenError::WrongClient, |_, payload| set(payload, "client_id", "stranger")),
        (TokenError::Expired, |_, payload| set(payload, "exp", NOW.seconds())),
        (TokenError::NotYetValid, |_, payload| set(payload, "nbf", NOW.seconds() + 60)),
        (TokenError::ClaimsInvalid, |_, payload| set(payload, "iat", "yesterday")),
        (TokenError::ClaimsInvalid, |_, payload| set(payload, "cognito:groups", "admin")),
    ];
    for first in 0..faults.len() {
        let (mut header, mut payload) = (header(), access());
        for (_, fault) in faults.iter().skip(first) {
            fault(&mut header, &mut payload);
        }
        let signer = if header.get("x-forged").is_some() { &keys().second } else { &keys().main };
        let (header, payload) = (header.to_string(), payload.to_string());
        let token = mint_bytes(signer, Algorithm::RS256, header.as_bytes(), payload.as_bytes());
        assert_eq!(verify(&token).err(), Some(faults[first].0), "fault {first}");
    }
}

#[test]
fn a_recheck_says_what_verifying_again_would_say() {
    let ring = ring();
    let verifier = verifier();
    let payload = with(access(), "nbf", NOW.seconds() - 10);
    let tokens = [token_of(&payload), token_of(&machine()), mint_second(&id_token()), mint_partner(&partner())];
    let (main, second) = ([ProviderId::new("main")], [ProviderId::new("second"), ProviderId::new("partner")]);
    for token in &tokens {
        let raw = RawToken::parse(token.as_bytes(), MAX_BYTES).unwrap();
        let claims = verifier.verify(&raw, &ring, Accepts::default(), NOW).unwrap();
        for token_use in [None, Some(TokenUses::Access), Some(TokenUses::Id), Some(TokenUses::Both)] {
            for providers in [None, Some(&main[..]), Some(&second[..])] {
                for now in [0, 1_799_999_930, 1_799_999_985, 1_800_000_000, 1_800_003_539, 1_800_003_540, u64::MAX] {
                    let (accepts, now) = (Accepts { token_use, providers }, UnixTime::from_seconds(now));
                    let again = verifier.recheck(&claims, accepts, now).map(Claims::id);
                    let afresh = verifier.verify(&raw, &ring, accepts, now);
                    assert_eq!(again, afresh.as_ref().map(|claims| claims.id()).map_err(|error| *error));
                }
            }
        }
    }
}

#[test]
fn a_removed_key_stops_verifying() {
    let document = json!({ "keys": [keys().next.jwk("main-2")] }).to_string();
    let (set, _) = KeySet::parse(document.as_bytes(), &[Algorithm::RS256]).unwrap();
    let keys = KeyRing::new(vec![Some(set.into())]);
    let token = token_of(&access());
    let raw = RawToken::parse(token.as_bytes(), MAX_BYTES).unwrap();
    let verdict = verifier().verify(&raw, &keys, Accepts::default(), NOW);
    assert_eq!(verdict.err(), Some(TokenError::UnknownKey { provider: 0 }));
}

#[test]
fn no_key_held_is_not_the_same_as_an_unknown_key() {
    let cold = token_of(&with(access(), "iss", COLD));
    assert_eq!(verify(&cold).err(), Some(TokenError::KeysUnavailable { provider: 2 }));
    let raw = RawToken::parse(cold.as_bytes(), MAX_BYTES).unwrap();
    let verdict = verifier().verify(&raw, &KeyRing::default(), Accepts::default(), NOW);
    assert_eq!(verdict.err(), Some(TokenError::KeysUnavailable { provider: 2 }));
}

#[test]
fn an_algorithm_that_is_not_accepted_asks_for_no_key() {
    let token = |issuer: &str, algorithm: &str| {
        let header = json!({"alg": algorithm, "kid": "unknown"}).to_string();
        format!("{}.{}.AAAA", b64(header), b64(with(access(), "iss", issuer).to_string()))
    };
    for algorithm in ["none", "HS256", "RS384", "PS256", "ES256", "EdDSA"] {
        assert_eq!(verify(&token(MAIN, algorithm)).err(), Some(TokenError::Malformed), "{algorithm}");
        assert_eq!(verify(&token(COLD, algorithm)).err(), Some(TokenError::Malformed), "{algorithm}");
    }
    assert_eq!(verify(&token(MAIN, "RS256")).err(), Some(TokenError::UnknownKey { provider: 0 }));
}

#[test]
fn an_algorithm_that_is_not_accepted_is_refused_even_where_the_key_could_verify_it() {
    let providers = providers();
    let set = key_set(&[without(keys().main.jwk("main-1"), "alg")], &providers[3].algorithms);
    let header = json!({"alg": "PS256", "kid": "main-1"}).to_string();
    let token = mint_bytes(&keys().main, Algorithm::PS256, header.as_bytes(), access().to_string().as_bytes());
    let raw = RawToken::parse(token.as_bytes(), MAX_BYTES).unwrap();
    let verdict = verifier().verify(&raw, &KeyRing::new(vec![Some(set)]), Accepts::default(), NOW);
    assert_eq!(verdict.err(), Some(TokenError::Malformed));
}

/// Some JSON value, of the kinds that claims have and others.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (NOW.seconds() - 100_000..NOW.seconds() + 100_000).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}|[a-z]{1,8}|client-[12]|access|id".prop_map(Value::from),
        prop::collection::vec("[a-z\\n]{0,4}", 0..4).prop_map(Value::from),
        Just(json!({"a": [1]})),
    ]
}

proptest! {
    #[test]
    fn whatever_is_accepted_keeps_the_promises_of_claims(
        changes in prop::collection::vec((0_usize..14, any_value()), 0..3),
        kind in 0_usize..3,
    ) {
        let names = [
            "sub", "username", "client_id", "token_use", "scope", "cognito:groups", "groups", "iat", "exp", "nbf", "email", "azp", "aud",
            "scp",
        ];
        let payload = changes.into_iter().fold([access(), machine(), partner()][kind].clone(), |payload, (name, value)| {
            with(payload, names[name], value)
        });
        let token = if kind == 2 { mint_partner(&payload) } else { token_of(&payload) };
        if let Ok(claims) = verify(&token) {
            prop_assert!((1..=256).contains(&claims.id().len()) && claims.id().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(claims.expires() > NOW && claims.expires() <= NOW.plus(86_400 + 5));
            let words = claims.groups().iter().chain(claims.scopes());
            prop_assert!(words.into_iter().all(|word| !word.contains(char::is_control)));
            prop_assert!(!claims.is_machine() || claims.groups().is_empty() && claims.client_id() == Some(claims.id()));
            prop_assert!(claims.get("email").is_none());
        }
    }
}

#[test]
fn debug_shows_no_claim() {
    let claims = verify(&token_of(&access())).unwrap();
    assert_eq!(format!("{claims:?}"), "Claims { provider: 0, .. }");
}
