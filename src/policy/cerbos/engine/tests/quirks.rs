//! What is easy to get wrong, and where the profiles differ. Each answer of 0.51 was seen on the real one.
//!
//! In the tables the strict answer stands first; `!` marks what the audit line will tell.

use std::sync::Arc;

use super::*;
use crate::policy::condition::{Condition, ConditionTree, Environment};

fn check(policies: impl Fn() -> Policies, rows: &[(Ask, [&str; 2])]) {
    for (place, (ask, expected)) in rows.iter().enumerate() {
        assert_eq!(both(&policies, ask), *expected, "row {place}");
    }
}

#[test]
fn q1_roles_are_independent_and_deny_wins_within_a_role_only() {
    let policies = || {
        resources(vec![policy(
            "r",
            vec![deny(&["x"], &["a"]), allow(&["x"], &["a", "b"]), deny(&["y"], &["*"]), allow(&["y"], &["b"])],
        )])
    };
    check(
        policies,
        &[
            (ask(&["a"], &["x"]), ["deny"; 2]),
            (ask(&["b"], &["x"]), ["allow"; 2]),
            (ask(&["a", "b"], &["x"]), ["allow"; 2]),
            (ask(&["b", "a"], &["x"]), ["allow"; 2]),
            (ask(&["a", "b"], &["y"]), ["deny"; 2]),
        ],
    );
}

#[test]
fn q2_a_deny_that_errs_is_skipped_by_0_51_and_denies_in_the_strict_reading() {
    let policies =
        || resources(vec![policy("r", vec![deny(&["x"], &["a"]).when("R.attr.missing == 1"), allow(&["x"], &["a"])])]);
    check(
        policies,
        &[
            (ask(&["a"], &["x"]), ["deny!", "allow!"]),
            (ask(&["a"], &["x"]).about(json!({"missing": 1})), ["deny"; 2]),
            (ask(&["a"], &["x"]).about(json!({"missing": 2})), ["allow"; 2]),
        ],
    );
}

#[test]
fn q3_none_of_an_error_is_true_for_0_51() {
    let policies = || {
        resources(vec![policy(
            "r",
            vec![
                allow(&["x"], &["a"]).when("none:R.attr.missing == 1"),
                allow(&["y"], &["a"]).when("!(R.attr.missing == 1)"),
            ],
        )])
    };
    check(
        policies,
        &[
            (ask(&["a"], &["x"]), ["deny!", "allow!"]),
            (ask(&["a"], &["y"]), ["deny"; 2]),
            (ask(&["a"], &["x"]).about(json!({"missing": 2})), ["allow"; 2]),
        ],
    );
}

#[test]
fn q4_a_variable_that_errs_is_null_for_0_51() {
    let policies = || {
        let rules = vec![
            allow(&["null"], &["a"]).when("V.bad == null"),
            allow(&["other"], &["a"]).when("V.bad != \"a\""),
            allow(&["has"], &["a"]).when("has(V.bad)"),
        ];
        resources(vec![policy("r", rules).with_variables(&[("bad", "R.attr.missing")])])
    };
    check(
        policies,
        &[
            (ask(&["a"], &["null"]), ["deny!", "allow!"]),
            (ask(&["a"], &["other"]), ["deny!", "allow!"]),
            (ask(&["a"], &["has"]), ["deny"; 2]),
            (ask(&["a"], &["has"]).about(json!({"missing": 1})), ["allow"; 2]),
        ],
    );
}

#[test]
fn q5_numbers_are_doubles() {
    let policies = || {
        resources(vec![policy(
            "r",
            vec![
                allow(&["equal"], &["a"]).when("R.attr.n == 1"),
                allow(&["in"], &["a"]).when("R.attr.n in [1, 2]"),
                allow(&["int"], &["a"]).when("R.attr.n + 1 == 2"),
                allow(&["double"], &["a"]).when("R.attr.n + 1.0 == 2.0"),
            ],
        )])
    };
    let one = |action| ask(&["a"], &[action]).about(json!({"n": 1}));
    check(
        policies,
        &[
            (one("equal"), ["allow"; 2]),
            (one("in"), ["allow"; 2]),
            (one("int"), ["deny"; 2]),
            (one("double"), ["allow"; 2]),
        ],
    );
}

#[test]
fn q6_what_is_no_boolean_is_false() {
    let policies =
        || resources(vec![policy("r", vec![allow(&["x"], &["a"]).when("R.attr.name"), allow(&["y"], &["a"])])]);
    check(policies, &[(ask(&["a"], &["x"]).about(json!({"name": "n"})), ["deny"; 2])]);
}

#[test]
fn q7_a_scope_of_another_resource_is_not_one_of_this() {
    let policies = || {
        resources(vec![
            policy("r", vec![allow(&["x"], &["a"])]),
            policy("other", vec![allow(&["x"], &["a"])]),
            policy("other", vec![]).at("acme"),
            policy("other", vec![]).at("acme.hr"),
        ])
    };
    check(
        policies,
        &[
            (ask(&["a"], &["x"]), ["allow"; 2]),
            (ask(&["a"], &["x"]).at("acme.hr"), ["deny!", "allow!"]),
            (ask(&["a"], &["x"]).at("acme.zz"), ["deny"; 2]),
        ],
    );
    let of_0_51 = engine(policies(), Profile::Cerbos051);
    let output = ask(&["a"], &["x"]).at("acme.hr").of(&of_0_51);
    assert_eq!(told(&output), ("resource.r.vdefault/acme.hr", ""), "a policy that does not exist");
    assert_eq!(told(&ask(&["a"], &["x"]).at("acme.zz").of(&of_0_51)), ("NO_MATCH", ""));
}

#[test]
fn q8_principal_policies_are_looked_up_by_the_version_of_the_resource() {
    let policies = || {
        let mut of_one = principal("u", &[("r", "x", Effect::Deny)]);
        of_one.envelope.version = "1".into();
        Policies {
            resources: vec![
                policy("r", vec![allow(&["x"], &["a"])]),
                policy("r", vec![allow(&["x"], &["a"])]).of_version("1"),
            ],
            principals: vec![of_one, principal("u", &[])],
            ..Policies::default()
        }
    };
    let versions = |principal, resource| Ask { versions: [principal, resource], ..ask(&["a"], &["x"]) };
    check(
        policies,
        &[
            (versions("1", "default"), ["allow"; 2]),
            (versions("default", "1"), ["deny"; 2]),
            (versions("", ""), ["allow"; 2]),
        ],
    );
    let output = versions("default", "1").of(&engine(policies(), Profile::Cerbos051));
    assert_eq!(told(&output).0, "principal.u.vdefault");
}

#[test]
fn q9_permissions_belong_to_their_policy() {
    let policies = |with_other: bool| {
        let mut all = vec![
            policy("r", vec![allow(&["both"], &["a"])]),
            policy("r", vec![allow(&["both", "only_child"], &["a"])]).at("x").with_consent(),
        ];
        if with_other {
            all.extend([policy("d", vec![]), policy("d", vec![allow(&["go"], &["a"])]).at("x")]);
        }
        resources(all)
    };
    let child = |action| ask(&["a"], &[action]).at("x");
    check(|| policies(false), &[(child("both"), ["allow"; 2]), (child("only_child"), ["deny"; 2])]);
    check(|| policies(true), &[(child("both"), ["allow"; 2]), (child("only_child"), ["deny!", "allow!"])]);
}

#[test]
fn q10_names_of_roles_have_no_wildcards() {
    let policies = || resources(vec![policy("r", vec![allow(&["x"], &["team:*"])])]);
    check(policies, &[(ask(&["team:x"], &["x"]), ["deny"; 2]), (ask(&["team:*"], &["x"]), ["allow"; 2])]);
}

#[test]
fn q11_a_pattern_without_a_star_is_a_name_for_0_51() {
    let policies = || resources(vec![policy("r", vec![allow(&["x*", "ns:*", "{m,n}", "v?ew", "{p,q}*"], &["a"])])]);
    let one = |action| ask(&["a"], &[action]);
    check(
        policies,
        &[
            (one("xy"), ["allow"; 2]),
            (one("x:1"), ["deny"; 2]),
            (one("ns:a"), ["allow"; 2]),
            (one("ns:a:b"), ["deny"; 2]),
            (one("px"), ["allow"; 2]),
            (one("m"), ["allow!", "deny!"]),
            (one("view"), ["allow!", "deny!"]),
            (one("{m,n}"), ["deny!", "allow!"]),
            (ask(&["a"], &["m", "{m,n}"]), ["allow", "allow"]),
        ],
    );
}

#[test]
fn q12_outputs_are_values_of_the_protocol() {
    for (expression, expected) in [
        ("9007199254740993", Some(json!("9007199254740993"))),
        ("duration(\"90s\")", Some(json!("90s"))),
        ("b\"ab\"", Some(json!("YWI="))),
        ("5u", Some(json!(5))),
        ("null", Some(json!(null))),
        ("{1: \"a\"}", Some(json!("<failed to convert evaluation to protobuf value>"))),
        ("[hierarchy(\"a.b\")]", Some(json!("<failed to convert evaluation to protobuf value>"))),
        ("type(1)", Some(json!("<failed to convert evaluation to protobuf value>"))),
        ("R.attr.missing", None),
    ] {
        for profile in [Profile::Strict, Profile::Cerbos051] {
            let rule = allow(&["x"], &["a"]).puts_out(expression, "R.id");
            let answer = ask(&["a"], &["x"]).of(&engine(resources(vec![policy("r", vec![rule])]), profile));
            let source = "resource.r.vdefault#rule-001".into();
            assert_eq!(
                answer.outputs,
                [Output { source, action: "x".into(), value: expected.clone() }],
                "{expression}"
            );
        }
    }
}

#[test]
fn q13_derived_roles_of_the_scope_that_was_asked_last_stay_visible_in_0_51() {
    let policies = || {
        let root = policy("r", vec![deny(&["y"], &["~of_root"])]).derives("of_root", &["b"], "true");
        let child = policy(
            "r",
            vec![
                allow(&["x"], &["~of_child"]).when("\"of_root\" in runtime.effectiveDerivedRoles"),
                allow(&["x"], &["b"]).when("\"of_root\" in runtime.effectiveDerivedRoles"),
            ],
        );
        resources(vec![root, child.derives("of_child", &["a"], "true").at("s")])
    };
    check(
        policies,
        &[(ask(&["b", "a"], &["x"]).at("s"), ["deny!", "allow!"]), (ask(&["a"], &["x"]).at("s"), ["deny"; 2])],
    );
    for profile in [Profile::Strict, Profile::Cerbos051] {
        let output = ask(&["a", "b"], &["x"]).at("s").of(&engine(policies(), profile));
        let mut roles = output.effective_derived_roles;
        roles.sort();
        assert_eq!(*roles, *texts(&["of_child", "of_root"]), "those of every scope that was asked");
    }
}

#[test]
fn q14_a_principal_without_roles_is_allowed_nothing() {
    let policies = || Policies {
        resources: vec![policy("r", vec![allow(&["x"], &["*"])])],
        principals: vec![],
        ..Policies::default()
    };
    check(policies, &[(ask(&[], &["x"]), ["deny"; 2]), (ask(&["any"], &["x"]), ["allow"; 2])]);
}

#[test]
fn q15_sets_of_three_and_more_tell_whole_numbers_from_others_in_0_51() {
    for (text, expected) in [
        ("hasIntersection(R.attr.l, [1, 2])", ["allow"; 2]),
        ("hasIntersection(R.attr.l, [1, 2, 3, 4])", ["allow", "deny"]),
        ("isSubset(R.attr.l, [1, 2, 3, 4])", ["allow", "deny"]),
        ("R.attr.l[0] in [1, 2, 3, 4]", ["allow"; 2]),
        ("hasIntersection(R.attr.s, [\"a\", \"b\", \"c\", \"d\"])", ["allow"; 2]),
    ] {
        let answers =
            [(Profile::Strict, Environment::cerbos()), (Profile::Cerbos051, Environment::cerbos().as_of_0_51())].map(
                |(profile, environment)| {
                    let condition = Condition::compile(text, &environment).unwrap();
                    let mut rule = allow(&["x"], &["a"]);
                    rule.condition = Some(Arc::new(ConditionTree::Expression(condition)));
                    let engine = engine(resources(vec![policy("r", vec![rule])]), profile);
                    ask(&["a"], &["x"]).about(json!({"l": [1], "s": ["a"]})).word(&engine)
                },
            );
        assert_eq!(answers, expected, "{text}");
    }
}

#[test]
fn q16_a_role_policy_bounds_its_role_where_nothing_is_about_the_resource() {
    type More = fn(&mut Policies);
    let policies = |more: More| {
        move || {
            let mut all = resources(vec![policy("r", vec![allow(&["x"], &["a"])])]);
            all.roles.push(role("a", &[], &[("other", &["x"], "")]).at("s"));
            more(&mut all);
            all
        }
    };
    let of_somebody = |all: &mut Policies| {
        let mut of_somebody = principal("somebody", &[("r*", "x", Effect::Allow)]);
        of_somebody.envelope.scope = "s".into();
        all.principals.push(of_somebody);
    };
    let ask = ask(&["a"], &["x"]).at("s");
    let rows: [(More, [&str; 2]); 6] = [
        (|_| (), ["deny!", "allow!"]),
        (|all| all.roles.push(role("b", &[], &[("r", &["x"], "")]).at("s")), ["deny"; 2]),
        (|all| all.roles.push(role("b", &[], &[("?", &["x"], "")]).at("s")), ["deny!", "allow!"]),
        (|all| all.resources.push(policy("r", vec![]).at("s")), ["deny"; 2]),
        (of_somebody, ["deny"; 2]),
        (|all| all.resources.push(policy("r", vec![]).at("s").of_version("1")), ["deny!", "allow!"]),
    ];
    for (more, words) in rows {
        check(policies(more), &[(ask.clone(), words)]);
    }
    let output = ask.of(&engine(policies(|_| ())(), Profile::Cerbos051));
    assert_eq!(told(&output), ("resource.r.vdefault/s", ""));

    let without_rules = || {
        let mut all = resources(vec![policy("r", vec![allow(&["x"], &["a"])])]);
        all.roles.push(role("a", &[], &[]));
        all
    };
    check(without_rules, &[(super::ask(&["a"], &["x"]), ["deny!", "allow!"])]);

    // Nothing of that version is about the resource, but there is a principal policy somewhere.
    let mut of_nobody = resources(vec![policy("r", vec![]).of_version("1")]);
    of_nobody.roles.push(role("a", &[], &[("other", &["x"], "")]));
    of_nobody.principals.push(principal("somebody", &[("other", "x", Effect::Allow)]));
    let output = super::ask(&["a"], &["x"]).of(&engine(of_nobody, Profile::Cerbos051));
    assert_eq!(told(&output), ("NO_MATCH", ""));
}
