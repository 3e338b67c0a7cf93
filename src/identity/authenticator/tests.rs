//! From a request to its principal: routes, roles, the cookie rule, and the cache.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::*;
use crate::{
    identity::Kind,
    request::{CanonicalPath, Headers, Host, Query},
    token::{ProviderId, TokenUses, testing::*},
};

fn authenticator() -> Authenticator {
    let sources = vec![CredentialSource::Bearer, CredentialSource::Cookie("session".to_owned())];
    Authenticator::new(verifier(), sources, vec!["https://app.example".parse().unwrap()], MAX_BYTES)
}

const REQUIRED: Demands<'static> =
    Demands { authentication: Authentication::Required, accepts: Accepts { token_use: None, providers: None } };

/// Keys and cache of one generation.
struct Generation {
    keys: KeyRing,
    cache: VerifiedTokens,
}

impl Generation {
    fn new() -> Self {
        Self { keys: ring(), cache: VerifiedTokens::new(1000) }
    }

    fn ask(
        &self,
        request: (Method, &[(&str, String)]),
        demands: Demands<'_>,
        now: UnixTime,
    ) -> Result<Authenticated, AuthenticationError> {
        let mut map = HeaderMap::new();
        for (name, value) in request.1 {
            map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let view = RequestView {
            method: &request.0,
            host: &Host::parse(b"api.example").unwrap(),
            path: &CanonicalPath::parse(b"/").unwrap(),
            query: Query::default(),
            headers: Headers::new(&map),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure: true,
            websocket: false,
            client_certificate: None,
        };
        authenticator().authenticate(&view, demands, Held { keys: &self.keys, cache: &self.cache }, now)
    }

    /// Asks with a bearer token.
    fn bearer(&self, token: &str, demands: Demands<'_>, now: UnixTime) -> Result<Authenticated, AuthenticationError> {
        self.ask((Method::GET, &[("authorization", format!("Bearer {token}"))]), demands, now)
    }
}

fn optional() -> Demands<'static> {
    Demands { authentication: Authentication::Optional, ..REQUIRED }
}

fn principal(token: &str) -> Principal {
    Generation::new().bearer(token, REQUIRED, NOW).unwrap().principal
}

fn roles(token: &str) -> Vec<String> {
    principal(token).verified().unwrap().roles().iter().map(ToString::to_string).collect()
}

#[test]
fn a_user_a_machine_and_nobody_are_told_apart() {
    let user = principal(&token_of(&access()));
    assert_eq!((user.kind(), user.id()), (Kind::User, Some("u-1")));
    assert_eq!(user.verified().unwrap().provider(), &ProviderId::new("main"));
    assert_eq!(user.claim("jti"), Some(&json!("j-1")));
    let machine = principal(&token_of(&machine()));
    assert_eq!((machine.kind(), machine.id()), (Kind::Machine, Some("client-2")));
    let nobody = Generation::new().ask((Method::GET, &[]), optional(), NOW).unwrap();
    assert_eq!(
        (nobody.principal.kind(), nobody.principal.id(), nobody.source, nobody.cache_hit),
        (Kind::Anonymous, None, None, None)
    );
}

#[test]
fn roles_are_the_groups_behind_the_prefix() {
    assert_eq!(roles(&token_of(&access())), ["admin", "user"]);
    assert_eq!(roles(&mint_second(&id_token())), ["second:admin"]);
    assert_eq!(roles(&token_of(&without(access(), "cognito:groups"))), Vec::<String>::new());
}

#[test]
fn a_group_cannot_take_a_reserved_name() {
    let groups = json!(["authenticated", "anonymous", "anyone", "Anyone", "user"]);
    assert_eq!(roles(&token_of(&with(access(), "cognito:groups", groups.clone()))), ["Anyone", "user"]);
    assert_eq!(roles(&mint_second(&with(id_token(), "cognito:groups", groups))), ["second:Anyone", "second:user"]);
    // Nor by way of the prefix.
    let mut providers = providers();
    providers[0].role_prefix = "any".to_owned();
    let token = token_of(&with(access(), "cognito:groups", json!(["one", "thing"])));
    let raw = RawToken::parse(token.as_bytes(), MAX_BYTES).unwrap();
    let claims = Verifier::new(providers.clone()).verify(&raw, &ring(), Accepts::default(), NOW).unwrap();
    let verified = Verified::of(claims, &providers[0]);
    assert_eq!(verified.roles().iter().map(|role| &**role).collect::<Vec<_>>(), ["anything"]);
}

#[test]
fn the_groups_of_a_machine_are_ignored() {
    assert_eq!(roles(&token_of(&with(machine(), "cognito:groups", json!(["admin"])))), Vec::<String>::new());
}

#[test]
fn an_unverified_email_is_no_claim_of_the_principal() {
    assert_eq!(principal(&mint_second(&id_token())).claim("email"), Some(&json!("ada@example.com")));
    let token = mint_second(&with(id_token(), "email_verified", false));
    assert_eq!(principal(&token).claim("email"), None);
    assert_eq!(Principal::Anonymous.claim("email"), None);
}

#[test]
fn a_route_says_whether_a_credential_must_be_there() {
    let generation = Generation::new();
    let none = Demands { authentication: Authentication::None, ..REQUIRED };
    let ask = |fields: &[(&str, String)], demands| {
        generation
            .ask((Method::GET, fields), demands, NOW)
            .map(|found| found.principal.kind())
            .map_err(AuthenticationError::code)
    };
    let good = [("authorization", format!("Bearer {}", token_of(&access())))];
    let bad = [("authorization", "Bearer x".to_owned())];
    let expired = [("authorization", format!("Bearer {}", token_of(&with(access(), "exp", 1_799_999_999))))];
    let basic = [("authorization", "Basic x".to_owned())];
    let two = [good[0].clone(), good[0].clone()];
    let anonymous = Ok(Kind::Anonymous);
    let rows: [(&[(&str, String)], _, _); 6] = [
        (&[], Err("credential_missing"), anonymous),
        (&basic, Err("credential_missing"), anonymous),
        (&good, Ok(Kind::User), Ok(Kind::User)),
        (&bad, Err("token_malformed"), Err("token_malformed")),
        (&expired, Err("token_expired"), Err("token_expired")),
        (&two, Err("credential_conflict"), Err("credential_conflict")),
    ];
    for (fields, required, optionally) in rows {
        assert_eq!(ask(fields, REQUIRED), required, "{fields:?}");
        assert_eq!(ask(fields, optional()), optionally, "{fields:?}");
        assert_eq!(ask(fields, none), anonymous, "{fields:?}");
    }
}

#[test]
fn the_cookie_rule_applies_where_the_cookie_is_what_authenticates() {
    let token = token_of(&access());
    let cookie = ("cookie", format!("session={token}"));
    let bearer = ("authorization", format!("Bearer {token}"));
    let evil = ("origin", "https://evil.example".to_owned());
    let app = ("origin", "https://app.example".to_owned());
    let generation = Generation::new();
    let ask = |method: Method, fields: &[(&str, String)]| {
        generation.ask((method, fields), optional(), NOW).map(|found| found.source).map_err(AuthenticationError::code)
    };
    let by_cookie = Ok(Some(CredentialSource::Cookie("session".to_owned())));
    assert_eq!(ask(Method::GET, &[cookie.clone(), evil.clone()]), by_cookie);
    assert_eq!(ask(Method::POST, &[cookie.clone(), app.clone()]), by_cookie);
    assert_eq!(ask(Method::POST, &[cookie.clone(), evil.clone()]), Err("cross_site"));
    assert_eq!(ask(Method::POST, std::slice::from_ref(&cookie)), Err("cross_site"));
    assert_eq!(ask(Method::POST, &[bearer.clone(), evil.clone()]), Ok(Some(CredentialSource::Bearer)));
    assert_eq!(ask(Method::POST, &[cookie.clone(), bearer, evil.clone()]), Ok(Some(CredentialSource::Bearer)));
    assert_eq!(ask(Method::POST, &[("cookie", "other=1".to_owned()), evil.clone()]), Ok(None));
    let broken = ("cookie", "session=e30.e30.AAAA".to_owned());
    assert_eq!(ask(Method::POST, &[broken.clone(), evil]), Err("cross_site"));
    assert_eq!(ask(Method::POST, &[broken, app]), Err("unknown_issuer"));
}

#[test]
fn a_second_request_with_the_same_token_is_a_hit() {
    let generation = Generation::new();
    let token = token_of(&access());
    let hits: Vec<_> = (0..3).map(|_| generation.bearer(&token, REQUIRED, NOW).unwrap().cache_hit).collect();
    assert_eq!(hits, [Some(false), Some(true), Some(true)]);
    // By whatever place it comes: the cache knows tokens, not places.
    let cookie = generation.ask((Method::GET, &[("cookie", format!("session={token}"))]), REQUIRED, NOW).unwrap();
    assert_eq!((cookie.cache_hit, cookie.principal.id()), (Some(true), Some("u-1")));
}

#[test]
fn a_cached_token_is_refused_from_its_exp_on() {
    let generation = Generation::new();
    for number in 0..50 {
        let claims = with(with(access(), "exp", NOW.seconds() + 2), "jti", format!("j-{number}"));
        let token = token_of(&claims);
        let at = |seconds: u64| generation.bearer(&token, REQUIRED, NOW.plus(seconds)).map(|found| found.cache_hit);
        assert_eq!((at(0), at(1)), (Ok(Some(false)), Ok(Some(true))));
        for late in [2, 3, 60, 86_400] {
            assert_eq!(at(late), Err(AuthenticationError::Token(TokenError::Expired)));
        }
    }
}

#[test]
fn a_clock_that_steps_back_opens_nothing() {
    let generation = Generation::new();
    let token = token_of(&with(with(access(), "iat", NOW.seconds()), "exp", NOW.seconds() + 60));
    let at = |seconds: u64| {
        let now = UnixTime::from_seconds(seconds);
        generation.bearer(&token, REQUIRED, now).map(|found| found.cache_hit).map_err(AuthenticationError::code)
    };
    assert_eq!(at(NOW.seconds()), Ok(Some(false)));
    assert_eq!(at(NOW.seconds() + 60), Err("token_expired"));
    // Back within its life it is what it was; before its birth it is not valid yet, however far the clock steps.
    assert_eq!(at(NOW.seconds() + 59), Ok(Some(true)));
    for early in [NOW.seconds() - 6, NOW.seconds() - 86_400, 1, 0] {
        assert_eq!(at(early), Err("token_not_yet_valid"), "{early}");
    }
    for late in [NOW.seconds() + 61, UnixTime::MAX.seconds(), u64::MAX] {
        assert_eq!(at(late), Err("token_expired"), "{late}");
    }
    assert_eq!(at(NOW.seconds()), Ok(Some(true)));
}

#[test]
fn tokens_whose_claims_are_large_in_memory_do_not_fill_it() {
    let generation = Generation { keys: ring(), cache: VerifiedTokens::new(100) };
    let small = json!([{"a": 1}]);
    let token =
        |number: usize, claims: &[Value]| token_of(&with(with(access(), "jti", format!("j-{number}")), "x", claims));
    for number in 0..100 {
        let token = token(number, &vec![small[0].clone(); 300]);
        assert!(token.len() < MAX_BYTES);
        generation.bearer(&token, REQUIRED, NOW).unwrap();
    }
    // About 200 KB each, of 400 KiB in all.
    assert!(generation.cache.len() <= 3, "{}", generation.cache.len());
    let common = Generation { keys: ring(), cache: VerifiedTokens::new(100) };
    for number in 0..100 {
        common.bearer(&token(number, &[]), REQUIRED, NOW).unwrap();
    }
    assert!(common.cache.len() >= 90, "{}", common.cache.len());
}

#[test]
fn the_memory_of_a_principal_counts_each_place_that_holds_a_group() {
    let of = |groups: &[&str]| {
        let principal = principal(&token_of(&with(access(), "cognito:groups", groups.to_vec())));
        principal.verified().unwrap().memory()
    };
    let one = of(&["aaaa"]);
    assert_eq!(of(&["aaaaaa"]), one + 3 * 2, "a role, a group and a claim");
    let pointer = size_of::<Box<str>>();
    assert_eq!(of(&["aaaa", "aaaa"]), one + (pointer + 4) + (pointer + 20) + (2 * size_of::<Value>() + 20));
    let least = size_of::<Verified>() + size_of::<crate::token::Claims>();
    assert!((least..least + 4000).contains(&one), "{one}");
}

#[test]
fn a_cached_token_is_checked_against_each_route() {
    let generation = Generation::new();
    let (main, second) = (token_of(&access()), mint_second(&id_token()));
    for token in [&main, &second] {
        generation.bearer(token, REQUIRED, NOW).unwrap();
    }
    let (only_second, only_main) = ([ProviderId::new("second")], [ProviderId::new("main")]);
    let on = |token: &str, token_use, providers| {
        let demands = Demands { accepts: Accepts { token_use, providers }, ..REQUIRED };
        generation.bearer(token, demands, NOW).map(|found| found.cache_hit).map_err(AuthenticationError::code)
    };
    assert_eq!(on(&main, None, Some(&only_main)), Ok(Some(true)));
    assert_eq!(on(&main, None, Some(&only_second)), Err("unknown_issuer"));
    assert_eq!(on(&second, None, Some(&only_main)), Err("unknown_issuer"));
    assert_eq!(on(&main, Some(TokenUses::Id), None), Err("wrong_use"));
    assert_eq!(on(&second, Some(TokenUses::Access), None), Err("wrong_use"));
    assert_eq!(on(&second, Some(TokenUses::Id), Some(&only_second)), Ok(Some(true)));
}

#[test]
fn a_refused_token_is_never_cached() {
    let generation = Generation::new();
    let forged = mint_bytes(
        &keys().second,
        jsonwebtoken::Algorithm::RS256,
        header().to_string().as_bytes(),
        access().to_string().as_bytes(),
    );
    let refused = [
        forged,
        token_of(&with(access(), "exp", 1_799_999_999)),
        token_of(&with(access(), "nbf", 1_800_000_060)),
        token_of(&with(access(), "client_id", "stranger")),
        token_of(&with(access(), "token_use", "id")),
        token_of(&with(access(), "sub", "")),
        "e30.e30.AAAA".to_owned(),
    ];
    for token in &refused {
        for _ in 0..2 {
            assert!(generation.bearer(token, REQUIRED, NOW).is_err(), "{token}");
        }
    }
    assert!(generation.cache.is_empty());
}

#[test]
fn a_flood_of_bad_tokens_evicts_no_good_one() {
    let generation = Generation { keys: ring(), cache: VerifiedTokens::new(1) };
    let good = token_of(&access());
    generation.bearer(&good, REQUIRED, NOW).unwrap();
    for number in 0..1000 {
        let header = b64(json!({"alg": "RS256", "kid": format!("k{number}")}).to_string());
        let bad = format!("{header}.{}.AAAA", b64(access().to_string()));
        let verdict = generation.bearer(&bad, REQUIRED, NOW).map(|found| found.cache_hit);
        assert_eq!(verdict, Err(AuthenticationError::Token(TokenError::UnknownKey { provider: 0 })));
    }
    assert_eq!(generation.bearer(&good, REQUIRED, NOW).unwrap().cache_hit, Some(true));
}

#[test]
fn a_new_signature_under_a_cached_payload_is_no_hit() {
    let generation = Generation::new();
    let good = token_of(&access());
    generation.bearer(&good, REQUIRED, NOW).unwrap();
    let (message, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{message}.{}", b64([7; 256]));
    let verdict = generation.bearer(&forged, REQUIRED, NOW).map(|found| found.cache_hit);
    assert_eq!(verdict, Err(AuthenticationError::Token(TokenError::BadSignature)));
}

#[test]
fn asking_again_after_keys_arrived_succeeds() {
    let token = token_of(&access());
    let cold = Generation { keys: KeyRing::default(), cache: VerifiedTokens::new(1000) };
    for _ in 0..2 {
        let verdict = cold.bearer(&token, REQUIRED, NOW).map(|found| found.cache_hit);
        assert_eq!(verdict, Err(AuthenticationError::Token(TokenError::KeysUnavailable { provider: 0 })));
    }
    assert_eq!(Generation::new().bearer(&token, REQUIRED, NOW).unwrap().cache_hit, Some(false));
}

#[test]
fn tokens_of_one_subject_are_never_mixed_up() {
    let generation = Generation::new();
    let tokens: Vec<(String, Value)> = (0..40)
        .map(|number| {
            let claims = with(access(), "cognito:groups", json!([format!("g{number}")]));
            (token_of(&claims), claims)
        })
        .collect();
    for _ in 0..2 {
        for (token, claims) in &tokens {
            let found = generation.bearer(token, REQUIRED, NOW).unwrap().principal;
            assert_eq!(&Value::Object(found.verified().unwrap().claims().all().clone()), claims);
        }
    }
}

#[test]
fn debug_shows_nothing_of_the_token_or_its_claims() {
    let generation = Generation::new();
    let token = token_of(&with(access(), "sub", "very-private"));
    let found = generation.bearer(&token, REQUIRED, NOW).unwrap();
    let shown = format!("{found:?} {:?}", Held { keys: &generation.keys, cache: &generation.cache });
    assert!(!shown.contains("eyJ") && !shown.contains("very-private"), "{shown}");
}

#[test]
fn every_error_has_its_word() {
    let rows = [
        (AuthenticationError::Missing, "credential_missing"),
        (AuthenticationError::Conflicting, "credential_conflict"),
        (AuthenticationError::CrossSite, "cross_site"),
        (TokenError::Malformed.into(), "token_malformed"),
        (TokenError::UnknownIssuer.into(), "unknown_issuer"),
        (TokenError::UnknownKey { provider: 0 }.into(), "unknown_key"),
        (TokenError::KeysUnavailable { provider: 0 }.into(), "keys_unavailable"),
        (TokenError::BadSignature.into(), "bad_signature"),
        (TokenError::WrongUse.into(), "wrong_use"),
        (TokenError::WrongClient.into(), "wrong_client"),
        (TokenError::Expired.into(), "token_expired"),
        (TokenError::NotYetValid.into(), "token_not_yet_valid"),
        (TokenError::ClaimsInvalid.into(), "claims_invalid"),
    ];
    for (error, word) in rows {
        assert_eq!(error.code(), word);
    }
}
