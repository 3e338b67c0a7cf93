use super::*;
use crate::decision_api::cerbos::protojson;

const GOOD: &str =
    r#""principal":{"id":"u","roles":["a"]},"resources":[{"actions":["r"],"resource":{"kind":"k","id":"1"}}]"#;

fn told<M: Ruled + protojson::FromJson>(text: &str) -> String {
    let question: M = protojson::read(text.as_bytes()).unwrap();
    question.validate().err().map_or_else(String::new, |fault| fault.message.into_owned())
}

/// As observed of Cerbos 0.51.0.
#[test]
fn every_breach_is_told_in_the_order_of_the_fields() {
    let all = |principal: &str, resources: &str| format!(r#"{{"principal":{principal},"resources":{resources}}}"#);
    let one = r#"[{"actions":["r"],"resource":{"kind":"k","id":"1"}}]"#;
    let good = r#"{"id":"u","roles":["a"]}"#;
    let rows = [
        (all(good, one), ""),
        ("{}".to_owned(), "validation errors:\n - principal: value is required\n - resources: value is required"),
        (all(good, "[]"), "validation error: resources: value is required"),
        (all(r#"{"id":"u","roles":[]}"#, one), "validation error: principal.roles: value is required"),
        (
            all(r#"{"id":"","roles":["a","a"]}"#, one),
            "validation errors:\n - principal.id: value is required\n - principal.roles: repeated value must contain unique items",
        ),
        (
            all(r#"{"id":"u","roles":["a",""]}"#, one),
            "validation error: principal.roles[1]: value length must be at least 1 characters",
        ),
        (
            all(r#"{"id":"u","roles":["a"],"policyVersion":"a b","scope":"..","attr":{"":1}}"#, one),
            "validation errors:\n - principal.policy_version: value does not match regex pattern `^[\\w]*$`\n - principal.attr[\"\"]: value \
             length must be at least 1 characters\n - principal.scope: value does not match regex pattern \
             `^(^$|\\.|[0-9a-zA-Z][\\w\\-]*(\\.\\w[\\w\\-]*)*)$`",
        ),
        (
            all(good, r#"[{"actions":["a","a"],"resource":{"kind":"","id":""}}]"#),
            "validation errors:\n - resources[0].actions: repeated value must contain unique items\n - resources[0].resource.kind: value is \
             required\n - resources[0].resource.id: value is required",
        ),
        (
            all(good, r#"[{"actions":[""]},{}]"#),
            "validation errors:\n - resources[0].actions[0]: value length must be at least 1 characters\n - resources[0].resource: value is \
             required\n - resources[1].actions: value is required\n - resources[1].resource: value is required",
        ),
        (format!(r#"{{{GOOD},"auxData":{{"jwt":{{}}}}}}"#), "validation error: aux_data.jwt.token: value is required"),
        (format!(r#"{{{GOOD},"auxData":{{}}}}"#), ""),
    ];
    for (text, message) in rows {
        assert_eq!(told::<CheckResourcesRequest>(&text), message, "{text}");
    }
    let set = r#"{"actions":["r","r"],"principal":{"id":"u","roles":["a"]},"resource":{"kind":"","policyVersion":"-","instances":{"1":{"attr":{"":1}}}}}"#;
    assert_eq!(
        told::<CheckResourceSetRequest>(set),
        "validation errors:\n - actions: repeated value must contain unique items\n - resource.kind: value is required\n - \
         resource.policy_version: value does not match regex pattern `^[\\w]*$`"
    );
    assert_eq!(
        told::<CheckResourceSetRequest>("{}"),
        "validation errors:\n - actions: value is required\n - principal: value is required\n - resource: value is required"
    );
    assert_eq!(
        told::<CheckResourceBatchRequest>("{}"),
        "validation errors:\n - principal: value is required\n - resources: value is required"
    );
}

#[test]
fn details_name_the_field_and_the_rule() {
    let question: CheckResourcesRequest =
        protojson::read(br#"{"principal":{"id":"u","roles":["a",""],"attr":{"":1}},"resources":[{"actions":["r"]}]}"#)
            .unwrap();
    let details = question.validate().unwrap_err().details.unwrap();
    let expected = json!({"@type": "type.googleapis.com/buf.validate.Violations", "violations": [
        {"field": {"elements": [
            {"fieldNumber": 3, "fieldName": "principal", "fieldType": "TYPE_MESSAGE"},
            {"fieldNumber": 3, "fieldName": "roles", "fieldType": "TYPE_STRING", "index": "1"}]},
         "rule": {"elements": [
            {"fieldNumber": 18, "fieldName": "repeated", "fieldType": "TYPE_MESSAGE"},
            {"fieldNumber": 4, "fieldName": "items", "fieldType": "TYPE_MESSAGE"},
            {"fieldNumber": 14, "fieldName": "string", "fieldType": "TYPE_MESSAGE"},
            {"fieldNumber": 2, "fieldName": "min_len", "fieldType": "TYPE_UINT64"}]},
         "ruleId": "string.min_len", "message": "value length must be at least 1 characters"},
        {"field": {"elements": [
            {"fieldNumber": 3, "fieldName": "principal", "fieldType": "TYPE_MESSAGE"},
            {"fieldNumber": 4, "fieldName": "attr", "fieldType": "TYPE_MESSAGE", "keyType": "TYPE_STRING",
             "valueType": "TYPE_MESSAGE", "stringKey": ""}]},
         "rule": {"elements": [
            {"fieldNumber": 19, "fieldName": "map", "fieldType": "TYPE_MESSAGE"},
            {"fieldNumber": 4, "fieldName": "keys", "fieldType": "TYPE_MESSAGE"},
            {"fieldNumber": 14, "fieldName": "string", "fieldType": "TYPE_MESSAGE"},
            {"fieldNumber": 2, "fieldName": "min_len", "fieldType": "TYPE_UINT64"}]},
         "ruleId": "string.min_len", "message": "value length must be at least 1 characters", "forKey": true},
        {"field": {"elements": [
            {"fieldNumber": 4, "fieldName": "resources", "fieldType": "TYPE_MESSAGE", "index": "0"},
            {"fieldNumber": 2, "fieldName": "resource", "fieldType": "TYPE_MESSAGE"}]},
         "rule": {"elements": [{"fieldNumber": 25, "fieldName": "required", "fieldType": "TYPE_BOOL"}]},
         "ruleId": "required", "message": "value is required"},
    ]});
    assert_eq!(details, expected);
}

#[test]
fn a_scope_is_words_between_dots() {
    for good in ["", ".", "a", "acme.hr", "a-b.c-", "0.1", "a._b", "a_b"] {
        assert!(is_scope(good), "{good}");
    }
    for bad in ["..", ".a", "a.", "a..b", "-a", "_a", "a.-b", "a b", "é", "a.b\n"] {
        assert!(!is_scope(bad), "{bad}");
    }
}

#[test]
fn a_flood_of_breaches_is_cut_short() {
    let roles = vec!["\"\""; 10_000].join(",");
    let text = format!(r#"{{"principal":{{"id":"u","roles":[{roles}]}}}}"#);
    assert!(told::<CheckResourcesRequest>(&text).len() < 10_000);
}
