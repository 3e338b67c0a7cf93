use super::*;

fn question(text: &str) -> Result<CheckResourcesRequest, String> {
    read(text.as_bytes()).map_err(|fault| fault.message.into_owned())
}

const WHOLE: &str = r#"{
    "requestId": "r", "includeMeta": true,
    "principal": {"id": "u", "policyVersion": "v", "roles": ["a", "b"], "attr": {"x": [1, 2.5, null, {"y": false}]}, "scope": "s"},
    "resources": [{"actions": ["read"], "resource": {"kind": "k", "policyVersion": "w", "id": "1", "attr": {}, "scope": "t"}}],
    "auxData": {"jwt": {"token": "t", "keySetId": "k"}}
}"#;

#[test]
fn every_field_is_read_by_both_of_its_names() {
    let camel = question(WHOLE).unwrap();
    let mut snake = WHOLE.to_owned();
    for (from, to) in [
        ("requestId", "request_id"),
        ("includeMeta", "include_meta"),
        ("policyVersion", "policy_version"),
        ("auxData", "aux_data"),
        ("keySetId", "key_set_id"),
    ] {
        snake = snake.replace(from, to);
    }
    assert_eq!(question(&snake).unwrap(), camel);
    let principal = camel.principal.unwrap();
    assert_eq!((&*principal.id, &*principal.policy_version, &*principal.scope), ("u", "v", "s"));
    assert_eq!(principal.roles, ["a", "b"]);
    let attr = serde_json::to_value(&principal.attr).unwrap();
    assert_eq!(attr, serde_json::json!({"x": [1, 2.5, null, {"y": false}]}));
    let resource = camel.resources[0].resource.as_ref().unwrap();
    assert_eq!((&*resource.kind, &*resource.policy_version, &*resource.id, &*resource.scope), ("k", "w", "1", "t"));
    assert_eq!(camel.aux_data.unwrap().jwt.unwrap(), Jwt { token: "t".into(), key_set_id: "k".into() });
}

#[test]
fn null_is_the_same_as_nothing() {
    let nulls = r#"{"requestId":null,"includeMeta":null,"principal":null,"resources":null,"auxData":null}"#;
    assert_eq!(question(nulls), Ok(CheckResourcesRequest::default()));
    assert_eq!(question(""), Ok(CheckResourcesRequest::default()));
    assert_eq!(question(" \r\n\t"), Ok(CheckResourcesRequest::default()));
    assert_eq!(question(r#"{"principal":null,"principal":{"id":"u"}}"#).unwrap().principal.unwrap().id, "u");
}

/// What was observed of Cerbos 0.51.0, unless a row says otherwise.
#[test]
fn faults_are_told_as_cerbos_tells_them() {
    let rows = [
        ("null", "proto: syntax error (line 1:1): unexpected token null"),
        ("[]", "proto: syntax error (line 1:1): unexpected token ["),
        ("{", "unexpected EOF"),
        ("{\"a", "unexpected EOF"),
        (r#"{"bogus":1}"#, "proto: (line 1:2): unknown field \"bogus\""),
        (r#"{"bogus":null}"#, "proto: (line 1:2): unknown field \"bogus\""),
        ("\n {\n \"principal\" : {\n  \"bogus\":1}}", "proto: (line 3:3): unknown field \"bogus\""),
        (r#"{"auxData":{"jwts":{}}}"#, "proto: (line 1:13): unknown field \"jwts\""),
        (r#"{"requestId":"a","requestId":"a"}"#, "proto: (line 1:18): duplicate field \"requestId\""),
        (r#"{"requestId":"a","request_id":"a"}"#, "proto: (line 1:18): duplicate field \"request_id\""),
        (r#"{"requestId":"a","\u0072equestId":"a"}"#, "proto: (line 1:18): duplicate field \"requestId\""),
        (r#"{"principal":{"attr":{"a":1,"a":2}}}"#, "proto: (line 1:29): duplicate map key \"a\""),
        (r#"{"principal":{"attr":{"x":{"a":1,"a":2}}}}"#, "proto: (line 1:34): duplicate map key \"a\""),
        (r#"{"requestId":1}"#, "proto: (line 1:14): invalid value for string field requestId: 1"),
        (r#"{"includeMeta":"true"}"#, "proto: (line 1:16): invalid value for bool field includeMeta: \"true\""),
        (r#"{"principal":{"roles":"a"}}"#, "proto: syntax error (line 1:23): unexpected token \"a\""),
        (r#"{"principal":{"roles":[null]}}"#, "proto: (line 1:24): invalid value for string field roles: null"),
        (r#"{"principal":[]}"#, "proto: syntax error (line 1:14): unexpected token ["),
        (r#"{"principal":{"attr":[]}}"#, "proto: syntax error (line 1:22): unexpected token ["),
        (r#"{"principal":{"attr":{"a":1e400}}}"#, "proto: (line 1:27): invalid google.protobuf.Value: 1e400"),
        (r#"{"resources":[null]}"#, "proto: syntax error (line 1:15): unexpected token null"),
        (r#"{"resources":{}}"#, "proto: syntax error (line 1:14): unexpected token {"),
        ("{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (r#"{"requestId":"a",}"#, "invalid character '}' looking for beginning of object key string"),
        (r#"{"requestId":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
        (r#"{"requestId" "x"}"#, "invalid character '\"' after object key"),
        ("{1:2}", "invalid character '1' looking for beginning of object key string"),
        (r#"{"requestId":"a" "b"}"#, "invalid character '\"' after object key:value pair"),
        (r#"{"resources":[1 2]}"#, "invalid character '2' after array element"),
        (r#"{"requestId":01}"#, "invalid character '1' after object key:value pair"),
        (r#"{"requestId":-}"#, "invalid character '}' in numeric literal"),
        (r#"{"requestId":1.}"#, "invalid character '}' after decimal point in numeric literal"),
        (r#"{"requestId":1e}"#, "invalid character '}' in exponent of numeric literal"),
        ("{\"requestId\":\"\n\"}", "invalid character '\\n' in string literal"),
        (r#"{"requestId":"\x"}"#, "invalid character 'x' in string escape code"),
        (r#"{"requestId":"\u00g0"}"#, "invalid character 'g' in \\u hexadecimal character escape"),
        // Cerbos ignores what follows the question.
        ("{}x", "invalid character 'x' after top-level value"),
        ("{} {}", "invalid character '{' after top-level value"),
    ];
    for (text, message) in rows {
        assert_eq!(question(text).unwrap_err(), message, "{text}");
    }
}

#[test]
fn a_name_that_is_not_known_is_refused() {
    for text in [r#"{"Principal":{}}"#, r#"{"principal":{"ID":"u"}}"#, r#"{"resources":[{"x":1}]}"#, r#"{"":1}"#] {
        assert!(question(text).unwrap_err().contains("unknown field"), "{text}");
    }
    assert!(read::<CheckResourceBatchRequest>(br#"{"includeMeta":true}"#).is_err());
    assert!(read::<CheckResourceSetRequest>(br#"{"resources":[]}"#).is_err());
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    assert!(question(r#"{"principal":{"id":"u"},"principal":{"id":"admin"}}"#).is_err());
    assert!(question(r#"{"principal":{"id":"u","id":"admin"}}"#).is_err());
    assert!(read::<CheckResourceSetRequest>(br#"{"resource":{"instances":{"1":{},"1":{}}}}"#).is_err());
}

#[test]
fn half_a_character_is_refused() {
    for escape in [r"\ud800", r"\udc00", r"\ud800x", r"\ud800\n", r"\ud800\ud800", r"\ud800A"] {
        assert!(question(&format!(r#"{{"requestId":"{escape}"}}"#)).is_err(), "{escape}");
    }
    let whole = question(r#"{"requestId":"\ud83d\ude00\u00e9\"\\\/\b\f\n\r\t"}"#).unwrap();
    assert_eq!(whole.request_id, "😀é\"\\/\u{8}\u{c}\n\r\t");
    assert!(read::<CheckResourcesRequest>(b"{\"requestId\":\"\xff\"}").is_err());
}

#[test]
fn a_small_text_that_is_large_in_memory_is_refused() {
    let many = |count: usize| format!(r#"{{"principal":{{"attr":{{"a":[{}]}}}}}}"#, vec!["1"; count].join(","));
    assert!(question(&many(90_000)).is_ok());
    assert!(question(&many(100_000)).is_err());
    let deep =
        |levels: usize| format!(r#"{{"principal":{{"attr":{{"a":{}1{}}}}}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(question(&deep(40)).is_ok());
    assert!(question(&deep(60)).is_err());
    assert!(question(&"[".repeat(1_000_000)).is_err());
}

#[test]
fn an_answer_is_no_mirror_for_megabytes() {
    let long = "x".repeat(1_000_000);
    for text in [format!(r#"{{"{long}":1}}"#), format!(r#"{{"includeMeta":"{long}"}}"#)] {
        assert!(question(&text).unwrap_err().len() < 300);
    }
}

proptest::proptest! {
    #[test]
    fn what_serde_json_reads_is_read_and_nothing_else(text in r#"[\{\}\[\]:,"a-c0-9\\u. eE+-]{0,40}"#) {
        let wrapped = format!(r#"{{"principal":{{"attr":{{"v":{text}}}}}}}"#);
        let ours = question(&wrapped).ok().and_then(|read| serde_json::to_value(read.principal?.attr).ok());
        let theirs = crate::json::object(wrapped.as_bytes()).and_then(|all| all["principal"].get("attr").cloned());
        // A whole number of JSON is a double here: both sides are compared as doubles.
        let as_double = |value: Option<serde_json::Value>| value.map(doubled);
        proptest::prop_assert_eq!(as_double(ours), as_double(theirs.filter(|_| crate::json::object(wrapped.as_bytes()).is_some_and(|all| all.len() == 1 && all["principal"].as_object().is_some_and(|principal| principal.len() == 1)))));
    }
}

fn doubled(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::Number(number) => Json::from(number.as_f64().unwrap()),
        Json::Array(items) => items.into_iter().map(doubled).collect(),
        Json::Object(members) => members.into_iter().map(|(name, value)| (name, doubled(value))).collect(),
        Json::Null | Json::Bool(_) | Json::String(_) => value,
    }
}
