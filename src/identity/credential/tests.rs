//! Where a token is found, and where it is not.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const A: &str = "e30.e30.AAAA";
const B: &str = "e30.e30.BBBB";

type Fields = Vec<(&'static str, Vec<u8>)>;
type FieldSlice<'a> = &'a [(&'a str, &'a [u8])];

fn header_map(fields: &[(&str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
    }
    map
}

fn all_sources() -> Vec<CredentialSource> {
    vec![
        CredentialSource::Cookie("session".to_owned()),
        CredentialSource::Bearer,
        CredentialSource::Header(HeaderName::from_static("x-token")),
    ]
}

/// What is found: `absent`, `conflict`, `malformed`, or the source and the token.
fn find(fields: &[(&str, &[u8])], sources: &[CredentialSource]) -> String {
    match Credential::find(Headers::new(&header_map(fields)), sources, 100) {
        Err(error) => error.code().to_owned(),
        Ok(Credential::Absent) => "absent".to_owned(),
        Ok(Credential::Conflicting) => "conflict".to_owned(),
        Ok(Credential::Presented { token, source }) => {
            let place = match source {
                CredentialSource::Bearer => "bearer",
                CredentialSource::Cookie(name) => name,
                CredentialSource::Header(name) => name.as_str(),
            };
            format!("{place} {}", token.as_str())
        }
    }
}

#[test]
fn a_bearer_token_stands_after_exactly_one_space() {
    let rows = [
        ("Bearer e30.e30.AAAA", "bearer e30.e30.AAAA"),
        ("bearer e30.e30.AAAA", "bearer e30.e30.AAAA"),
        ("BEARER e30.e30.AAAA", "bearer e30.e30.AAAA"),
        ("bEaReR e30.e30.AAAA", "bearer e30.e30.AAAA"),
        ("Bearer", "token_malformed"),
        ("Bearer ", "token_malformed"),
        ("Bearer  e30.e30.AAAA", "token_malformed"),
        ("Bearer\te30.e30.AAAA", "token_malformed"),
        ("Bearer \te30.e30.AAAA", "token_malformed"),
        ("Bearer: e30.e30.AAAA", "token_malformed"),
        ("Bearer:e30.e30.AAAA", "token_malformed"),
        ("Bearer=e30.e30.AAAA", "token_malformed"),
        ("Bearer,e30.e30.AAAA", "token_malformed"),
        ("Bearer e30.e30.AAAA ", "token_malformed"),
        ("Bearer e30.e30.AAAA,", "token_malformed"),
        ("Bearer e30.e30.AAAA, Bearer e30.e30.AAAA", "token_malformed"),
        ("Bearer Bearer e30.e30.AAAA", "token_malformed"),
        ("Bearer \"e30.e30.AAAA\"", "token_malformed"),
        ("Bearer token=e30.e30.AAAA", "token_malformed"),
        ("Bearer opaque", "token_malformed"),
        ("Bearer e30.e30", "token_malformed"),
        ("Basic e30.e30.AAAA", "absent"),
        ("Basic Bearer e30.e30.AAAA", "absent"),
        ("DPoP e30.e30.AAAA", "absent"),
        ("Bearer2 e30.e30.AAAA", "absent"),
        ("Bearer-x e30.e30.AAAA", "absent"),
        ("Bear e30.e30.AAAA", "absent"),
        ("e30.e30.AAAA", "absent"),
        ("", "absent"),
    ];
    for (value, expected) in rows {
        assert_eq!(find(&[("authorization", value.as_bytes())], &[CredentialSource::Bearer]), expected, "{value:?}");
    }
    assert_eq!(
        find(&[("authorization", b"Bearer e30.e30.AA\xff\xff")], &[CredentialSource::Bearer]),
        "token_malformed"
    );
    assert_eq!(find(&[], &[CredentialSource::Bearer]), "absent");
}

#[test]
fn a_cookie_is_found_by_its_exact_name() {
    let rows = [
        ("session=e30.e30.AAAA", "session e30.e30.AAAA"),
        ("a=1; session=e30.e30.AAAA; b=2", "session e30.e30.AAAA"),
        ("a=1;session=e30.e30.AAAA;b=2", "session e30.e30.AAAA"),
        ("a=1;  session=e30.e30.AAAA ;", "session e30.e30.AAAA"),
        ("a=session=e30.e30.AAAA", "absent"),
        ("Session=e30.e30.AAAA", "absent"),
        ("xsession=e30.e30.AAAA", "absent"),
        ("session2=e30.e30.AAAA", "absent"),
        ("__Host-session=e30.e30.AAAA", "absent"),
        ("session", "absent"),
        ("session; a=1", "absent"),
        ("a=1, session=e30.e30.AAAA", "absent"),
        ("", "absent"),
        ("session=", "token_malformed"),
        ("session=\"e30.e30.AAAA\"", "token_malformed"),
        ("session==e30.e30.AAAA", "token_malformed"),
        ("session=e30.e30.AAAA, a=1", "token_malformed"),
        ("session=%65%33%30.e30.AAAA", "token_malformed"),
        ("session=e30.e30.AAAA; session=e30.e30.AAAA", "conflict"),
        ("session=e30.e30.AAAA; session=e30.e30.BBBB", "conflict"),
        ("session=e30.e30.AAAA; session=", "conflict"),
        ("session=e30.e30.AAAA; session =e30.e30.BBBB", "conflict"),
    ];
    for (value, expected) in rows {
        let sources = [CredentialSource::Cookie("session".to_owned())];
        assert_eq!(find(&[("cookie", value.as_bytes())], &sources), expected, "{value:?}");
    }
}

#[test]
fn two_credentials_that_differ_conflict() {
    let bearer = |token: &str| format!("Bearer {token}").into_bytes();
    let cookie = |token: &str| format!("session={token}").into_bytes();
    let (a, b) = (bearer(A), bearer(B));
    let rows: Vec<(&str, Fields)> = vec![
        ("two Authorization fields", vec![("authorization", a.clone()), ("authorization", b.clone())]),
        ("two equal Authorization fields", vec![("authorization", a.clone()), ("authorization", a.clone())]),
        ("another scheme beside", vec![("authorization", b"Basic x".to_vec()), ("authorization", a.clone())]),
        ("two Cookie fields", vec![("cookie", cookie(A)), ("cookie", cookie(B))]),
        ("two equal cookies in two fields", vec![("cookie", cookie(A)), ("cookie", cookie(A))]),
        ("two named fields", vec![("x-token", A.into()), ("x-token", B.into())]),
        ("two equal named fields", vec![("x-token", A.into()), ("x-token", A.into())]),
        ("bearer and cookie", vec![("authorization", a.clone()), ("cookie", cookie(B))]),
        ("bearer and named field", vec![("authorization", a.clone()), ("x-token", B.into())]),
        ("cookie and named field", vec![("cookie", cookie(A)), ("x-token", B.into())]),
        (
            "two agree and one does not",
            vec![("authorization", a.clone()), ("cookie", cookie(A)), ("x-token", B.into())],
        ),
        ("a malformed one beside a good one", vec![("authorization", b"Bearer x".to_vec()), ("cookie", cookie(A))]),
        (
            "a misspelled one beside the same",
            vec![("authorization", b"Bearer  e30.e30.AAAA".to_vec()), ("x-token", A.into())],
        ),
        ("an empty one beside a good one", vec![("x-token", vec![]), ("authorization", a)]),
    ];
    for (name, fields) in rows {
        let fields: Vec<(&str, &[u8])> = fields.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        assert_eq!(find(&fields, &all_sources()), "conflict", "{name}");
    }
}

#[test]
fn the_same_token_in_several_places_is_one_and_a_cookie_is_its_last_place() {
    let (bearer, cookie): (&[u8], &[u8]) = (b"Bearer e30.e30.AAAA", b"session=e30.e30.AAAA");
    let rows: [(FieldSlice<'_>, &str); 5] = [
        (&[("authorization", bearer), ("cookie", cookie)], "bearer e30.e30.AAAA"),
        (&[("x-token", A.as_bytes()), ("cookie", cookie)], "x-token e30.e30.AAAA"),
        (&[("authorization", bearer), ("cookie", cookie), ("x-token", A.as_bytes())], "bearer e30.e30.AAAA"),
        (&[("authorization", b"Basic x"), ("cookie", cookie)], "session e30.e30.AAAA"),
        (&[("cookie", cookie)], "session e30.e30.AAAA"),
    ];
    for (fields, expected) in rows {
        assert_eq!(find(fields, &all_sources()), expected);
    }
    let first_bearer: Vec<_> = all_sources().into_iter().rev().collect();
    assert_eq!(find(&[("authorization", bearer), ("cookie", cookie)], &first_bearer), "bearer e30.e30.AAAA");
}

#[test]
fn a_place_that_is_not_configured_is_not_looked_at() {
    let fields: [(&str, &[u8]); 4] = [
        ("authorization", b"Bearer e30.e30.AAAA"),
        ("authorization", b"Bearer e30.e30.BBBB"),
        ("cookie", b"session=e30.e30.AAAA"),
        ("x-token", b"e30.e30.BBBB"),
    ];
    assert_eq!(find(&fields, &[]), "absent");
    assert_eq!(find(&fields, &[CredentialSource::Cookie("other".to_owned())]), "absent");
    assert_eq!(find(&fields, &all_sources()[..1]), "session e30.e30.AAAA");
    assert_eq!(find(&fields, &all_sources()[2..]), "x-token e30.e30.BBBB");
}

#[test]
fn a_named_field_holds_the_bare_token() {
    for (value, expected) in
        [(A, "x-token e30.e30.AAAA"), ("Bearer e30.e30.AAAA", "token_malformed"), ("", "token_malformed")]
    {
        assert_eq!(find(&[("x-token", value.as_bytes())], &all_sources()), expected);
    }
}

#[test]
fn a_token_over_the_limit_is_malformed_wherever_it_stands() {
    let long = format!("e30.e30.{}", "AAAA".repeat(24));
    let rows = [("authorization", format!("Bearer {long}")), ("cookie", format!("session={long}")), ("x-token", long)];
    for (name, value) in rows {
        assert_eq!(find(&[(name, value.as_bytes())], &all_sources()), "token_malformed");
    }
}

#[test]
fn what_is_no_credential_is_not_taken_out_with_it() {
    let left = |source: &CredentialSource, fields: &[(&'static str, &str)]| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let map = header_map(&fields);
        source
            .take_out(Headers::new(&map))
            .map(|(name, rest)| (name, rest.map(|rest| rest.to_str().unwrap().to_owned())))
    };
    let bearer = CredentialSource::Bearer;
    assert_eq!(left(&bearer, &[("authorization", "bEARER a.b.c")]), Some((header::AUTHORIZATION, None)));
    for other in ["Basic eDp5", "Bearers a.b.c", "Bearer-x a"] {
        assert_eq!(left(&bearer, &[("authorization", other)]), None, "{other}");
    }
    let cookie = CredentialSource::Cookie("session".to_owned());
    let cookies = |fields: &[&str]| left(&cookie, &fields.iter().map(|value| ("cookie", *value)).collect::<Vec<_>>());
    assert_eq!(cookies(&["a=1; session=x; b=2"]), Some((header::COOKIE, Some("a=1; b=2".to_owned()))));
    assert_eq!(
        cookies(&["session=x", " session = y;sessions=z"]),
        Some((header::COOKIE, Some("sessions=z".to_owned())))
    );
    assert_eq!(cookies(&["session"]), Some((header::COOKIE, None)), "without a value it is still its name");
    assert_eq!(cookies(&[]), None);
    let named = CredentialSource::Header(HeaderName::from_static("x-token"));
    assert_eq!(left(&named, &[("x-token", "t")]), Some((HeaderName::from_static("x-token"), None)));
    assert_eq!(left(&named, &[("x-tokens", "t")]), None);
}
