//! The sentences of the design about routes, methods and the shipped policies, each with a test.

use http::Method;
use serde_json::json;

use super::{testing::*, *};
use crate::{
    identity::{Authentication, Principal},
    token::TokenUses,
};

pub(crate) mod corpora;
mod properties;
mod reference;

#[test]
fn the_shipped_policies_compile_without_a_warning() {
    let (set, report) = compile(&shipped());
    assert!(report.is_empty(), "{report}");
    assert_eq!(set.unwrap().routes().len(), 4);
}

#[test]
fn the_contact_table_is_decided_as_the_real_cerbos_decides_it() {
    let (set, _) = compile(&shipped());
    let set = set.unwrap();
    let decide = |principal: &Principal, owner: &str| -> Vec<bool> {
        let one = format!("/users/{owner}/contacts/7");
        let all = format!("/users/{owner}/contacts");
        [("GET", &all), ("GET", &one), ("POST", &all), ("PUT", &one), ("PATCH", &one), ("DELETE", &one)]
            .map(|(method, path)| ask(&set, principal, &format!("{method} {path}")).starts_with("allow"))
            .to_vec()
    };
    // list, read, create, update, update, delete
    let all = [true; 6];
    let no_change = [true, true, true, false, false, false];
    let none = [false; 6];
    for owner in ["u-1", "u-2", "U-1", "client-2"] {
        assert_eq!(decide(&user("u-1", &["admin"]), owner), all, "admin, {owner}");
        assert_eq!(decide(&user("u-1", &["other"]), owner), none, "other, {owner}");
        assert_eq!(decide(&user("u-1", &["Admin"]), owner), none, "Admin, {owner}");
        assert_eq!(decide(&user("u-1", &[]), owner), none, "in no group, {owner}");
        assert_eq!(decide(&machine(), owner), none, "a machine, {owner}");
        assert_eq!(decide(&Principal::Anonymous, owner), none, "nobody, {owner}");
    }
    assert_eq!(decide(&user("u-1", &["user"]), "u-1"), all);
    assert_eq!(decide(&user("u-1", &["user"]), "u-2"), no_change);
    assert_eq!(decide(&user("u-1", &["user"]), "U-1"), no_change);
    assert_eq!(decide(&user("u-1", &["user", "admin"]), "u-2"), all);
}

#[test]
fn the_id_of_a_resource_is_a_text_or_a_number_of_the_body() {
    let route = "- id: c\n  path: /c\n  resource: { kind: contact, id: { body: /id }, attributes: { owner: { body: /owner } } }\n  actions: { POST: go }";
    let of = |expr: &str| {
        let rule = format!(
            "- actions: [go]\n  effect: EFFECT_ALLOW\n  roles: [a]\n  condition: {{ match: {{ expr: '{expr}' }} }}"
        );
        let (set, report) = compile(&[file("r.yaml", &routes_file(route)), cerbos_file(&rule)]);
        assert!(!report.has_errors(), "{report}");
        set.unwrap()
    };
    let me = user("u-1", &["a"]);
    let answer = |set: &PolicySet, body| Ask::new("POST /c").body(body).of(set, &me).0;
    let (seven, empty) = (of("R.id == \"7\""), of("R.id == \"\""));
    let allowed = |answer: &str| answer.starts_with("allow");
    for (id, is_seven, is_empty) in [
        (json!("7"), true, false),
        (json!(7), true, false),
        (json!(8), false, false),
        (json!("seven"), false, false),
        (json!(""), false, true),
        (json!(null), false, true),
    ] {
        let body = json!({ "id": id });
        assert_eq!(allowed(&answer(&seven, body.clone())), is_seven, "{id}");
        assert_eq!(allowed(&answer(&empty, body)), is_empty, "{id}");
    }
    assert!(allowed(&answer(&empty, json!({}))), "an absent id is empty");
    for id in [json!(true), json!([7]), json!({"a": 7})] {
        assert_eq!(answer(&seven, json!({ "id": id })), "attribute_malformed", "{id}");
    }
    assert_eq!(ask(&seven, &me, "POST /c"), "needs_body", "the id stands in the body");
    let owner = of("R.attr.owner == P.id");
    assert_eq!(ask(&owner, &me, "POST /c"), "needs_body");
    assert!(allowed(&answer(&owner, json!({"owner": "u-1"}))));
}

#[test]
fn the_contact_table_holds_for_every_kind_of_owner() {
    let route = "- id: c\n  path: /c\n  resource: { kind: contact, attributes: { owner: { body: /owner } } }\n  actions: { PUT: update, POST: create, REPORT: list }";
    let published = "- actions: [read, create]\n  effect: EFFECT_ALLOW\n  roles: [admin, user]\n- actions: [update, delete]\n  effect: EFFECT_ALLOW\n  roles: [admin]\n- actions: [update, delete]\n  effect: EFFECT_ALLOW\n  roles: [user]\n  condition: { match: { expr: request.resource.attr.owner == request.principal.id } }";
    let (set, report) = compile(&[file("r.yaml", &routes_file(route)), cerbos_file(published)]);
    assert!(!report.has_errors(), "{report}");
    let set = set.unwrap();
    let decide = |groups: &[&str], body| Ask::new("PUT /c").body(body).of(&set, &user("u-1", groups)).0;
    for body in [json!({"owner": "u-1"}), json!({"owner": "x"}), json!({}), json!({"owner": null}), json!({"owner": 3})]
    {
        assert_eq!(decide(&["admin"], body), "allow resource.contact.vdefault#rule-002");
    }
    assert_eq!(decide(&["user"], json!({"owner": "u-1"})), "allow resource.contact.vdefault#rule-003");
    for (body, reason) in [
        (json!({"owner": "U-1"}), "no_rule"),
        (json!({"owner": null}), "no_rule"),
        (json!({"owner": 1}), "no_rule"),
        (json!({"owner": ["u-1"]}), "no_rule"),
        (json!({"owner": ""}), "evaluation_error"),
        (json!({}), "evaluation_error"),
    ] {
        assert_eq!(decide(&["user"], body.clone()), reason, "{body}");
    }
    assert_eq!(ask(&set, &user("u-1", &["admin"]), "REPORT /c"), "no_rule", "the published policy names no `list`");
}

#[test]
fn a_route_without_methods_takes_the_usual_ones_and_405_tells_them() {
    let set = with_rules("[ { id: x, roles: [anyone] } ]");
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert_eq!(ask(&set, &Principal::Anonymous, &format!("{method} /users/a")), "allow r/x");
    }
    for method in ["PROPFIND", "TRACE", "CONNECT"] {
        let answer = ask(&set, &Principal::Anonymous, &format!("{method} /users/a"));
        assert_eq!(answer, "405 GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
}

#[test]
fn get_implies_head_in_rules_and_actions() {
    let set = with_rules("[ { id: reads, methods: [GET], roles: [anyone] } ]");
    assert_eq!(ask(&set, &Principal::Anonymous, "HEAD /users/a"), "allow r/reads");
    assert_eq!(ask(&set, &Principal::Anonymous, "PUT /users/a"), "no_rule");

    let (set, _) = compile(&shipped());
    let answer = ask(&set.unwrap(), &user("u-1", &["user"]), "HEAD /users/u-1/contacts/7");
    assert_eq!(answer, "allow resource.contact.vdefault#read-and-create");
}

#[test]
fn with_actions_their_keys_are_the_methods() {
    let (set, _) = compile(&shipped());
    let set = set.unwrap();
    assert_eq!(ask(&set, &user("u-1", &["admin"]), "POST /users/u-1/contacts/7"), "405 GET, HEAD, PUT, PATCH, DELETE");
    assert_eq!(ask(&set, &user("u-1", &["admin"]), "OPTIONS /users/u-1/contacts"), "405 GET, HEAD, POST");
}

#[test]
fn disjoint_methods_at_one_host_and_path_are_two_routes() {
    let set = policies(
        "- { id: a, path: '/x/{one}', methods: [GET], rules: [ { id: x, roles: [anyone] } ] }\n- { id: b, path: '/x/{two}', methods: [PUT], rules: [ { id: x, owner: { path: two } } ] }",
    );
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /x/1"), "allow a/x");
    assert_eq!(ask(&set, &user("u-1", &[]), "PUT /x/u-1"), "allow b/x");
    assert_eq!(ask(&set, &user("u-1", &[]), "POST /x/1"), "405 GET, HEAD, PUT");
}

#[test]
fn the_path_is_chosen_before_the_method() {
    let set = policies(
        "- { id: a, path: '/x/{one}', methods: [PUT], rules: [ { id: x, roles: [anyone] } ] }\n- { id: b, path: /x/me, methods: [GET], rules: [ { id: x, roles: [anyone] } ] }",
    );
    assert_eq!(ask(&set, &Principal::Anonymous, "PUT /x/me"), "405 GET, HEAD");
}

#[test]
fn hosts_compare_in_lower_case_and_without_the_port() {
    let set = policies(
        "- { id: a, path: /x, hosts: [API.example.com], rules: [ { id: x, roles: [anyone] } ] }\n- { id: b, path: /y, rules: [ { id: x, roles: [anyone] } ] }",
    );
    let at = |host: &str, line: &str| Ask::new(line).host(host).of(&set, &Principal::Anonymous).0;
    assert_eq!(at("api.EXAMPLE.com:8443", "GET /x"), "allow a/x");
    assert_eq!(at("api.example.com", "GET /y"), "no_route");
    assert_eq!(at("other.example.com", "GET /y"), "allow b/x");
}

#[test]
fn captures_compare_decoded_and_only_once() {
    let set = with_rules("[ { id: own, owner: { path: owner } } ]");
    let principal = user("a@b", &[]);
    assert_eq!(ask(&set, &principal, "GET /users/a@b"), "allow r/own");
    assert_eq!(ask(&set, &principal, "GET /users/a%40b"), "allow r/own");
    assert_eq!(ask(&set, &user("a%40b", &[]), "GET /users/a%40b"), "not_owner");
}

#[test]
fn the_keys_of_a_route_become_typed_fields() {
    let set = policies(
        "- id: r\n  path: /api/v1/{rest..}\n  hosts: ['*.example.com']\n  authentication: none\n  on_deny: not_found\n  token_use: [id]\n  strip_prefix: /api\n  providers: [main]\n  timeouts: { read: 2m, stream_idle: 500ms }\n  streams: { end_at_expiry: true, expiry_grace: 5s }\n  body_bytes: 64KiB\n  request_headers: { set: { X-Api: two }, remove: [X-Debug] }\n  response_headers: { remove: [Server] }\n  rules: [ { id: x, roles: [anyone] } ]",
    );
    let route = &set.routes()[0];
    assert_eq!((&*route.id, route.upstream), ("r", 0));
    assert_eq!((route.authentication, route.on_deny), (Authentication::None, OnDeny::NotFound));
    assert_eq!((route.token_use, route.body_bytes), (Some(TokenUses::Id), Some(65_536)));
    assert_eq!(route.strip_prefix.as_ref().unwrap().as_str(), "/api");
    assert_eq!(route.timeouts.read, Some(std::time::Duration::from_secs(120)));
    assert_eq!((route.timeouts.connect, route.timeouts.stream_idle.unwrap().as_millis()), (None, 500));
    assert_eq!((route.streams.end_at_expiry, route.streams.expiry_grace.unwrap().as_secs()), (Some(true), 5));
    assert_eq!(route.request_headers.set[0].0, "x-api");
    assert_eq!(route.request_headers.remove[0], "x-debug");
    assert_eq!(route.response_headers.remove[0], "server");
    assert!(route.methods.contains(&Method::OPTIONS));
}

#[test]
fn authentication_is_required_unless_a_rule_names_those_without_a_token() {
    let of = |rules: &str| policies(&format!("- id: r\n  path: /x\n  rules: {rules}")).routes()[0].authentication;
    assert_eq!(of("[ { id: x, roles: [user] } ]"), Authentication::Required);
    assert_eq!(of("[ { id: x, roles: [authenticated] }, { id: y, effect: deny } ]"), Authentication::Required);
    assert_eq!(of("[ { id: x, roles: [anyone] } ]"), Authentication::Optional);
    assert_eq!(of("[ { id: x, roles: [user, anonymous] } ]"), Authentication::Optional);
    let written = "- id: r\n  path: /x\n  authentication: required\n  rules: [ { id: x, roles: [anyone] } ]";
    assert_eq!(policies(written).routes()[0].authentication, Authentication::Required);
}

#[test]
fn a_resource_rule_for_the_anonymous_makes_the_credential_optional() {
    let route = "- id: c\n  path: /c\n  resource: { kind: contact }\n  actions: { GET: read }";
    for (role, expected) in [("anonymous", Authentication::Optional), ("'*'", Authentication::Required)] {
        let rules = format!("- actions: [read]\n  effect: EFFECT_ALLOW\n  roles: [{role}]");
        let (set, report) = compile(&[file("r.yaml", &routes_file(route)), cerbos_file(&rules)]);
        assert!(report.is_empty(), "{report}");
        assert_eq!(set.unwrap().routes()[0].authentication, expected, "{role}");
    }
}

#[test]
fn the_audit_line_learns_the_route_the_rule_and_where_the_owner_stood() {
    let (set, _) = compile(&shipped());
    let set = set.unwrap();
    let found = |line: &str, principal: &Principal| {
        let (_, seen) = Ask::new(line).of(&set, principal);
        (seen.route.unwrap().to_string(), seen.rule.map(|rule| rule.to_string()), seen.owner_source)
    };
    let user = user("u-1", &["user"]);
    let contact = "contact".to_owned();
    let rule = Some("resource.contact.vdefault#owners-change".to_owned());
    assert_eq!(found("PUT /users/u-1/contacts/7", &user), (contact.clone(), rule, Some("path")));
    assert_eq!(found("PUT /users/u-2/contacts/7", &user), (contact, None, Some("path")));
    let profile = "profile".to_owned();
    assert_eq!(found("PUT /users/u-2/profile", &user), (profile.clone(), None, Some("path")));
    let suspended = user_with(&json!({"custom:status": "suspended"}));
    let rule = Some("profile/no-suspended".to_owned());
    assert_eq!(found("GET /users/u-1/profile", &suspended), (profile, rule, None));
}
