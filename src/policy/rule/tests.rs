//! The sentences of the design about rules, roles, owners and the body, each with a test.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Role, Roles};
use crate::{
    identity::Principal,
    policy::{PolicySet, testing::*},
};

fn nobody() -> Principal {
    Principal::Anonymous
}

/// Routes that may carry warnings: an owner out of the query, a header or the body on a writing method.
fn lenient(routes: &str) -> PolicySet {
    let (set, report) = compile(&[file("r.yaml", &routes_file(routes))]);
    assert!(!report.has_errors(), "{report}");
    set.unwrap()
}

fn lenient_rules(rules: &str) -> PolicySet {
    lenient(&format!("- id: r\n  path: /users/{{owner}}\n  authentication: optional\n  rules: {rules}"))
}

#[test]
fn a_rule_applies_when_all_that_it_states_holds() {
    let set = with_rules(
        r#"[ { id: all, methods: [GET], roles: [a, b], scopes: [contacts/read, openid], owner: { path: owner }, principals: [user], when: 'request.path.endsWith("1")' } ]"#,
    );
    assert_eq!(ask(&set, &user("u-1", &["b"]), "GET /users/u-1"), "allow r/all");
    assert_eq!(ask(&set, &user("u-1", &["b"]), "PUT /users/u-1"), "no_rule", "methods");
    assert_eq!(ask(&set, &user("u-1", &["c"]), "GET /users/u-1"), "missing_role");
    assert_eq!(ask(&set, &user("u-2", &["a"]), "GET /users/u-1"), "not_owner");
    assert_eq!(ask(&set, &user("u-2", &["a"]), "GET /users/u-2"), "no_rule", "when");
}

#[test]
fn roles_are_any_of_and_scopes_all_of() {
    let set = with_rules("[ { id: x, roles: [a, b], scopes: [contacts/read, contacts/write] } ]");
    assert_eq!(ask(&set, &user("u-1", &["b"]), "GET /users/x"), "insufficient_scope");
    let both = user_with(&json!({"scope": "contacts/write contacts/read", "cognito:groups": ["a"]}));
    assert_eq!(ask(&set, &both, "GET /users/x"), "allow r/x");
}

#[test]
fn the_scopes_of_a_machine_count_and_its_groups_do_not() {
    let set = with_rules("[ { id: x, scopes: [contacts/write] }, { id: y, roles: [admin] } ]");
    assert_eq!(ask(&set, &machine(), "GET /users/x"), "allow r/x");
    assert_eq!(ask(&set, &nobody(), "GET /users/x"), "insufficient_scope");
}

#[test]
fn the_role_prefix_of_a_provider_stands_before_its_groups() {
    let principal = Principal::of_claims(&crate::token::testing::id_token());
    assert_eq!(ask(&with_rules("[ { id: x, roles: ['second:admin'] } ]"), &principal, "GET /users/x"), "allow r/x");
    assert_eq!(ask(&with_rules("[ { id: x, roles: [admin] } ]"), &principal, "GET /users/x"), "missing_role");
}

#[test]
fn any_deny_wins_over_any_allow_wherever_it_stands() {
    let set = with_rules("[ { id: yes, roles: [admin] }, { id: no, effect: deny, roles: [banned] } ]");
    assert_eq!(ask(&set, &user("u-1", &["admin"]), "GET /users/x"), "allow r/yes");
    assert_eq!(ask(&set, &user("u-1", &["admin", "banned"]), "GET /users/x"), "explicit_deny");
}

#[test]
fn a_deny_rule_without_roles_applies_to_everyone() {
    let set = with_rules("[ { id: yes, roles: [anyone] }, { id: no, effect: deny, methods: [PUT] } ]");
    for principal in [nobody(), user("u-1", &["admin"]), machine()] {
        assert_eq!(ask(&set, &principal, "PUT /users/x"), "explicit_deny");
        assert_eq!(ask(&set, &principal, "GET /users/x"), "allow r/yes");
    }
}

#[test]
fn an_allow_rule_without_roles_applies_to_verified_principals_only() {
    let set = with_rules("[ { id: yes, when: request.method == 'GET' } ]");
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /users/x"), "allow r/yes");
    assert_eq!(ask(&set, &machine(), "GET /users/x"), "allow r/yes");
    assert_eq!(ask(&set, &nobody(), "GET /users/x"), "missing_role");
}

#[test]
fn the_gateways_own_roles_are_authenticated_anonymous_and_anyone() {
    let of = |role: &str| with_rules(&format!("[ {{ id: x, roles: [{role}] }} ]"));
    let answers = |role: &str| {
        [nobody(), user("u-1", &[]), machine()].map(|who| ask(&of(role), &who, "GET /users/x").starts_with("allow"))
    };
    assert_eq!(answers("anyone"), [true, true, true]);
    assert_eq!(answers("authenticated"), [false, true, true]);
    assert_eq!(answers("anonymous"), [true, false, false]);
}

#[test]
fn a_group_that_is_called_like_a_role_of_the_gateway_gives_nothing() {
    let set = with_rules("[ { id: x, roles: [anonymous] } ]");
    assert_eq!(ask(&set, &user("u-1", &["anonymous"]), "GET /users/x"), "missing_role");
}

#[test]
fn an_allow_rule_that_errs_grants_nothing() {
    let set = with_rules(r#"[ { id: x, when: 'principal.claims["absent"] == "a"' } ]"#);
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /users/x"), "evaluation_error");
    let set = with_rules(r#"[ { id: x, when: 'principal.claims["absent"] == "a"' }, { id: y, roles: [admin] } ]"#);
    assert_eq!(ask(&set, &user("u-1", &["admin"]), "GET /users/x"), "allow r/y");
}

#[test]
fn a_deny_rule_that_errs_denies() {
    let rules = r#"[ { id: y, roles: [admin] }, { id: x, effect: deny, methods: [PUT], when: 'principal.claims["absent"] == "a"' } ]"#;
    let set = with_rules(rules);
    let (answer, seen) = Ask::new("PUT /users/x").of(&set, &user("u-1", &["admin"]));
    assert_eq!((answer.as_str(), seen.rule.unwrap().as_str()), ("evaluation_error", "r/x"));
    assert_eq!(ask(&set, &user("u-1", &["admin"]), "GET /users/x"), "allow r/y", "it is not about this method");
}

#[test]
fn a_deny_rule_whose_other_checks_fail_is_not_evaluated() {
    let set = with_rules(
        r#"[ { id: y, roles: [admin] }, { id: x, effect: deny, roles: [banned], when: 'principal.claims["absent"] == "a"' } ]"#,
    );
    assert_eq!(ask(&set, &user("u-1", &["admin"]), "GET /users/x"), "allow r/y");
}

#[test]
fn where_several_checks_fail_the_first_reason_in_the_order_is_told() {
    let tail = "roles: [admin], scopes: [none]";
    let of = |rules: &str| ask(&with_rules(rules), &user("u-1", &[]), "GET /users/u-2");
    assert_eq!(of("[ { id: a, roles: [admin], principals: [machine] } ]"), "missing_role");
    assert_eq!(of(&format!("[ {{ id: a, {tail} }} ]")), "insufficient_scope");
    assert_eq!(of(&format!("[ {{ id: a, {tail}, owner: {{ path: owner }} }} ]")), "not_owner");
    assert_eq!(of("[ { id: a, roles: [admin] }, { id: b, owner: { path: owner } } ]"), "not_owner");
    let err = r#"when: 'principal.claims["absent"] == "a"'"#;
    assert_eq!(of(&format!("[ {{ id: a, owner: {{ path: owner }}, {err} }} ]")), "evaluation_error");
    assert_eq!(of(&format!("[ {{ id: a, {err} }}, {{ id: b, effect: deny }} ]")), "explicit_deny");
    assert_eq!(of(&format!("[ {{ id: x, effect: deny, {err} }}, {{ id: b, effect: deny }} ]")), "explicit_deny");
    assert_eq!(of("[ { id: a, methods: [PUT], owner: { path: owner } } ]"), "no_rule", "no rule is about GET");
}

#[test]
fn principals_and_a_false_condition_fail_as_no_rule() {
    let set = with_rules("[ { id: a, roles: [authenticated], principals: [machine] } ]");
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /users/x"), "no_rule");
    assert_eq!(ask(&set, &machine(), "GET /users/x"), "allow r/a");
    let set = with_rules("[ { id: a, roles: [authenticated], principals: [user] } ]");
    assert_eq!(ask(&set, &machine(), "GET /users/x"), "no_rule");
    let set = with_rules("[ { id: a, when: request.method == 'PUT' } ]");
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /users/x"), "no_rule");
}

#[test]
fn a_machine_owns_nothing_unless_the_rule_says_machine() {
    let answer = |kinds: &str| {
        ask(
            &with_rules(&format!("[ {{ id: a, owner: {{ path: owner }}{kinds} }} ]")),
            &machine(),
            "GET /users/client-2",
        )
    };
    assert_eq!(answer(""), "not_owner");
    assert_eq!(answer(", principals: [user]"), "not_owner");
    assert_eq!(answer(", principals: [machine]"), "allow r/a");
    assert_eq!(answer(", principals: [user, machine]"), "allow r/a");
}

#[test]
fn an_owner_may_stand_in_the_path_the_query_a_header_the_host_or_the_body() {
    let route = |owner: &str| lenient_rules(&format!("[ {{ id: a, methods: [GET], owner: {{ {owner} }} }} ]"));
    let me = user("u-1", &[]);
    let get = || Ask::new("GET /users/x");
    assert_eq!(ask(&route("path: owner"), &me, "GET /users/u-1"), "allow r/a");
    assert_eq!(ask(&route("query: o"), &me, "GET /users/x?o=u-1"), "allow r/a");
    assert_eq!(ask(&route("query: o"), &me, "GET /users/x?o=u%2D1"), "allow r/a", "decoded");
    assert_eq!(get().header("x-owner", b"u-1").of(&route("header: X-Owner"), &me).0, "allow r/a");
    assert_eq!(get().host("u-1.example.com").of(&route("host: 0"), &me).0, "allow r/a");
    assert_eq!(get().host("a.u-1.example.com:8443").of(&route("host: 1"), &me).0, "allow r/a");
    assert_eq!(get().body(json!({"a": {"owner": "u-1"}})).of(&route("body: /a/owner"), &me).0, "allow r/a");
    for (owner, line) in [
        ("query: o", "GET /users/u-1"),
        ("query: o", "GET /users/x?O=u-1"),
        ("header: X-Owner", "GET /users/x"),
        ("host: 5", "GET /users/x"),
    ] {
        assert_eq!(ask(&route(owner), &me, line), "not_owner", "{owner}");
    }
}

#[test]
fn empty_is_absent_and_absent_never_equals_anything() {
    let set = with_rules("[ { id: a, methods: [GET], owner: { query: o, equals: 'custom:tenant' } } ]");
    for claims in
        [json!({}), json!({"custom:tenant": ""}), json!({"custom:tenant": null}), json!({"custom:tenant": ["t"]})]
    {
        for line in ["GET /users/x", "GET /users/x?o=", "GET /users/x?o", "GET /users/x?o=t", "GET /users/x?o=null"] {
            assert_eq!(ask(&set, &user_with(&claims), line), "not_owner", "{claims} {line}");
        }
    }
}

#[test]
fn an_owner_equals_the_claim_that_the_rule_names() {
    let set = with_rules("[ { id: a, owner: { path: owner, equals: 'custom:tenant' } } ]");
    let of_tenant = user_with(&json!({"custom:tenant": "t-1"}));
    assert_eq!(ask(&set, &of_tenant, "GET /users/t-1"), "allow r/a");
    assert_eq!(ask(&set, &of_tenant, "GET /users/u-1"), "not_owner");
}

#[test]
fn an_email_that_nobody_confirmed_owns_nothing() {
    let set = with_rules("[ { id: a, owner: { path: owner, equals: email } } ]");
    let answer = |verified: Value| {
        let claims = json!({"email": "a@example.com", "email_verified": verified});
        ask(&set, &user_with(&claims), "GET /users/a@example.com")
    };
    assert_eq!(answer(json!(true)), "allow r/a");
    assert_eq!(answer(json!("true")), "allow r/a");
    assert_eq!(answer(json!(false)), "not_owner");
    assert_eq!(answer(Value::Null), "not_owner");
}

#[test]
fn an_owner_that_is_no_text_is_not_the_owner() {
    let set = lenient_rules("[ { id: a, owner: { body: /owner } } ]");
    let me = user("7", &[]);
    for body in [json!({"owner": 7}), json!({"owner": ["7"]}), json!({"owner": null}), json!({}), json!(["7"])] {
        assert_eq!(Ask::new("PUT /users/x").body(body.clone()).of(&set, &me).0, "not_owner", "{body}");
    }
}

#[test]
fn an_owner_that_stands_twice_is_refused_and_not_picked() {
    let set = with_rules("[ { id: a, methods: [GET], owner: { query: o } }, { id: b, roles: [admin] } ]");
    for line in ["GET /users/x?o=u-1&o=u-2", "GET /users/x?o=u-1&%6F=u-1", "GET /users/x?o=%FF"] {
        assert_eq!(ask(&set, &user("u-1", &["admin"]), line), "attribute_malformed", "{line}");
    }
    assert_eq!(
        ask(&set, &user("u-1", &["admin"]), "PUT /users/x?o=u-1&o=u-2"),
        "allow r/b",
        "no rule for PUT needs it"
    );

    let set = with_rules("[ { id: a, methods: [GET], owner: { header: X-Owner } } ]");
    let twice = Ask::new("GET /users/x").header("x-owner", b"u-1").header("x-owner", b"u-1");
    assert_eq!(twice.of(&set, &user("u-1", &[])).0, "attribute_malformed");
    let unreadable = Ask::new("GET /users/x").header("x-owner", b"\xff");
    assert_eq!(unreadable.of(&set, &user("u-1", &[])).0, "attribute_malformed");
}

#[test]
fn the_body_is_asked_for_only_when_every_other_check_has_passed() {
    let set = lenient_rules("[ { id: a, methods: [PUT], roles: [user], scopes: [openid], owner: { body: /owner } } ]");
    let put = || Ask::new("PUT /users/x");
    assert_eq!(put().of(&set, &user("u-1", &["user"])).0, "needs_body");
    assert_eq!(put().of(&set, &user("u-1", &[])).0, "missing_role", "no body could help");
    assert_eq!(put().of(&set, &nobody()).0, "not_owner");
    assert_eq!(put().of(&set, &machine()).0, "not_owner", "a machine owns nothing, whatever the body says");
    assert_eq!(put().body(json!({"owner": "u-1"})).of(&set, &user("u-1", &["user"])).0, "allow r/a");
    assert_eq!(put().body(json!({"owner": "u-2"})).of(&set, &user("u-1", &["user"])).0, "not_owner");
    assert_eq!(Ask::new("GET /users/x").of(&set, &user("u-1", &["user"])).0, "no_rule");
}

#[test]
fn a_condition_that_is_false_without_the_body_spares_it() {
    let set = lenient_rules("[ { id: a, owner: { body: /owner }, when: request.method == 'PUT' } ]");
    assert_eq!(ask(&set, &user("u-1", &[]), "POST /users/x"), "no_rule");
    assert_eq!(ask(&set, &user("u-1", &[]), "PUT /users/x"), "needs_body");
}

#[test]
fn an_allow_rule_that_errs_whatever_the_body_says_spares_it() {
    let set = lenient_rules(r#"[ { id: a, owner: { body: /owner }, when: 'principal.claims["absent"] == "a"' } ]"#);
    assert_eq!(ask(&set, &user("u-1", &[]), "PUT /users/x"), "evaluation_error");
    let with = Ask::new("PUT /users/x").body(json!({"owner": "u-1"}));
    assert_eq!(with.of(&set, &user("u-1", &[])).0, "evaluation_error");
}

#[test]
fn a_deny_rule_that_errs_waits_for_the_body_that_says_whether_it_applies() {
    let set = lenient_rules(
        r#"[ { id: a, roles: [user] }, { id: b, effect: deny, owner: { body: /owner }, when: 'principal.claims["absent"] == "a"' } ]"#,
    );
    let me = user("u-1", &["user"]);
    assert_eq!(ask(&set, &me, "PUT /users/x"), "needs_body");
    assert_eq!(Ask::new("PUT /users/x").body(json!({"owner": "u-1"})).of(&set, &me).0, "evaluation_error");
    assert_eq!(Ask::new("PUT /users/x").body(json!({"owner": "u-2"})).of(&set, &me).0, "allow r/a");
}

#[test]
fn a_deny_rule_that_errs_denies_before_the_body_of_another_is_read() {
    let errs = r#"effect: deny, when: 'principal.claims["absent"] == "a"'"#;
    let body = "{ id: b, effect: deny, owner: { body: /owner } }";
    for rules in [
        format!("[ {{ id: a, roles: [user] }}, {{ id: x, {errs} }}, {{ id: y, {errs} }}, {body} ]"),
        format!("[ {{ id: a, roles: [user] }}, {body}, {{ id: x, {errs} }}, {{ id: y, {errs} }} ]"),
    ] {
        let (answer, seen) = Ask::new("PUT /users/x").of(&lenient_rules(&rules), &user("u-1", &["user"]));
        assert_eq!((answer.as_str(), seen.rule.unwrap().as_str()), ("evaluation_error", "r/x"), "{rules}");
    }
}

#[test]
fn of_rules_that_fail_alike_the_first_is_told() {
    let of = |rules: &str| Ask::new("GET /users/u-2?o=u-3").of(&lenient_rules(rules), &user("u-1", &[])).1;
    let errs = r#"when: 'principal.claims["absent"] == "a"'"#;
    let rules = format!("[ {{ id: a, roles: [admin] }}, {{ id: x, {errs} }}, {{ id: y, {errs} }} ]");
    assert_eq!(of(&rules).rule.unwrap().as_str(), "r/x");
    let rules = "[ { id: a, roles: [admin] }, { id: x, owner: { path: owner } }, { id: y, owner: { query: o } } ]";
    assert_eq!((of(rules).owner_source, of(rules).rule), (Some("path"), None));
    let rules = "[ { id: y, owner: { query: o } }, { id: x, owner: { path: owner } } ]";
    assert_eq!(of(rules).owner_source, Some("query"));
}

#[test]
fn an_allow_that_needs_no_body_waits_for_a_deny_that_does() {
    let set = lenient_rules(
        "[ { id: yes, roles: [user] }, { id: no, effect: deny, methods: [PUT], owner: { body: /victim } } ]",
    );
    let put = || Ask::new("PUT /users/x");
    let me = user("u-1", &["user"]);
    assert_eq!(put().of(&set, &me).0, "needs_body");
    assert_eq!(put().body(json!({"victim": "u-1"})).of(&set, &me).0, "explicit_deny");
    assert_eq!(put().body(json!({})).of(&set, &me).0, "allow r/yes");
    assert_eq!(put().of(&set, &user("u-1", &[])).0, "missing_role", "denied whatever the body says");
    assert_eq!(Ask::new("GET /users/x").of(&set, &me).0, "allow r/yes");
}

#[test]
fn a_deny_that_needs_no_body_denies_before_it_is_read() {
    let set = lenient_rules("[ { id: yes, owner: { body: /owner } }, { id: no, effect: deny, roles: [banned] } ]");
    assert_eq!(ask(&set, &user("u-1", &["banned"]), "PUT /users/x"), "explicit_deny");
}

#[test]
fn an_owner_rule_beside_one_that_needs_the_body_does_without_it() {
    let set = lenient_rules("[ { id: body, owner: { body: /owner } }, { id: path, owner: { path: owner } } ]");
    assert_eq!(ask(&set, &user("u-1", &[]), "PUT /users/u-1"), "allow r/path");
    assert_eq!(ask(&set, &user("u-1", &[]), "PUT /users/u-2"), "needs_body");
}

#[test]
fn captures_stand_under_path_in_conditions() {
    let set = with_rules("[ { id: a, when: path.owner == principal.id } ]");
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /users/u-1"), "allow r/a");
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /users/u-2"), "no_rule");
}

#[test]
fn reading_a_repeated_query_name_in_a_condition_is_an_evaluation_error() {
    let set = with_rules(r#"[ { id: a, when: 'request.query["o"] == principal.id' } ]"#);
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /users/x?o=u-1"), "allow r/a");
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /users/x?o=u-1&o=u-1"), "evaluation_error");
}

#[test]
fn roles_say_whether_they_name_the_unknown() {
    let any_of = |roles: Vec<Role>| Roles::AnyOf(roles.into());
    for (roles, unknown) in [
        (Roles::Unstated, false),
        (Roles::Verified, false),
        (any_of(vec![Role::Anyone]), true),
        (any_of(vec![Role::Anonymous]), true),
        (any_of(vec![Role::Authenticated]), false),
        (any_of(vec![Role::Group("a".into())]), false),
        (any_of(vec![Role::Group("b".into()), Role::Anyone]), true),
    ] {
        assert_eq!(roles.name_the_unknown(), unknown, "{roles:?}");
    }
}

/// Rules out of which tables are drawn: none needs the body, some err.
const ALLOWS: [&str; 4] = [
    "{ id: a0, roles: [user] }",
    "{ id: a1, owner: { path: owner } }",
    "{ id: a2, scopes: [none] }",
    r#"{ id: a3, when: 'principal.claims["absent"] == "a"' }"#,
];
const DENIES: [&str; 4] = [
    "{ id: d0, effect: deny, roles: [banned] }",
    "{ id: d1, effect: deny, owner: { path: owner } }",
    "{ id: d2, effect: deny, methods: [PUT] }",
    r#"{ id: d3, effect: deny, when: 'principal.claims["absent"] == "a"' }"#,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adding_a_deny_never_turns_a_deny_into_an_allow(
        allows in prop::sample::subsequence(&ALLOWS[..], 1..=4),
        denies in prop::sample::subsequence(&DENIES[..], 0..=4),
        more in prop::sample::select(&DENIES[..]),
        who in 0_usize..4,
        line in prop::sample::select(&["GET /users/u-1", "PUT /users/u-1", "GET /users/u-2"][..]),
    ) {
        let principal = match who {
            0 => user("u-1", &["user"]),
            1 => user("u-1", &["banned", "user"]),
            2 => machine(),
            _ => Principal::Anonymous,
        };
        let rules = |list: &[&str]| with_rules(&format!("[ {} ]", list.join(", ")));
        let mut list: Vec<&str> = allows.iter().chain(&denies).copied().collect();
        let before = ask(&rules(&list), &principal, line);
        if !list.contains(&more) {
            list.push(more);
        }
        let after = ask(&rules(&list), &principal, line);
        prop_assert!(before.starts_with("allow") || !after.starts_with("allow"), "{} became {}", before, after);
        list.reverse();
        let reversed = ask(&rules(&list), &principal, line);
        let outcome = |answer: &str| if answer.starts_with("allow") { "allow".to_owned() } else { answer.to_owned() };
        prop_assert_eq!(outcome(&reversed), outcome(&after), "the order of rules means nothing");
    }
}
