//! Requests of which parts stand in a body that has not been read.

use super::*;
use crate::policy::{
    cerbos::{Judged, Unread},
    condition::{References, Root},
    decision::DenyReason,
};

/// What is said before the body is read, where the attribute `late` stands in it.
fn before(policies: Policies, ask: &Ask) -> String {
    let engine = engine(policies, Profile::Strict);
    let concerns =
        |references: &References| references.reads(Root::Resource) && references.resource_attributes().includes("late");
    let judgement = ask.with(|input| {
        engine.judge(facts(input, NOON), &ask.actions[0], Some(Unread { concerns: &concerns, attributes: true }))
    });
    match judgement.judged {
        Judged::Allow(rule) => format!("allow {}", rule.as_str().chars().last().unwrap()),
        Judged::Deny(reason, _) => reason.code().to_owned(),
        Judged::NeedsBody => "needs_body".to_owned(),
    }
}

#[test]
fn an_allow_that_waits_for_the_body_does_not_allow_before_it_is_read() {
    let late = "R.attr.late == 1";
    let of = |rules| before(resources(vec![policy("r", rules)]), &ask(&["a"], &["x"]));
    assert_eq!(of(vec![allow(&["x"], &["a"]).when(late)]), "needs_body");
    assert_eq!(of(vec![allow(&["x"], &["a"]).when(late), allow(&["x"], &["a"])]), "allow 2");
    assert_eq!(of(vec![allow(&["x"], &["a"]), deny(&["x"], &["a"]).when(late)]), "needs_body");
    assert_eq!(of(vec![allow(&["x"], &["b"]), deny(&["x"], &["a"]).when(late)]), "no_rule");
    assert_eq!(of(vec![allow(&["x"], &["a"]).when(late), deny(&["x"], &["a"])]), "explicit_deny");
    assert_eq!(of(vec![allow(&["x"], &["b"]).when(late)]), "no_rule");
    assert_eq!(of(vec![allow(&["y"], &["a"]).when(late), allow(&["x"], &["a"])]), "allow 2");
}

#[test]
fn variables_derived_roles_and_role_policies_wait_for_the_body_too() {
    let asked = ask(&["a"], &["x"]);
    let variable = policy("r", vec![allow(&["x"], &["a"]).when("V.a")])
        .with_variables(&[("bad", "R.attr.late"), ("a", "V.bad == 1")]);
    assert_eq!(before(resources(vec![variable]), &asked), "needs_body");
    let derived = policy("r", vec![allow(&["x"], &["~d"])]).derives("d", &["a"], "R.attr.late");
    assert_eq!(before(resources(vec![derived]), &asked), "needs_body");
    let denied = policy("r", vec![allow(&["x"], &["a"]), deny(&["x"], &["~d"])]).derives("d", &["a"], "R.attr.late");
    assert_eq!(before(resources(vec![denied]), &asked), "needs_body");
    let runtime = vec![allow(&["x"], &["a"]).when("\"d\" in runtime.effectiveDerivedRoles"), deny(&["y"], &["~d"])];
    let runtime = policy("r", runtime).derives("d", &["a"], "R.attr.late");
    assert_eq!(before(resources(vec![runtime]), &asked), "needs_body");
    let by_role = || Policies {
        resources: vec![policy("r", vec![allow(&["x"], &["a"])])],
        roles: vec![role("c", &["a"], &[("r", &["x"], "R.attr.late")])],
        ..Policies::default()
    };
    assert_eq!(before(by_role(), &ask(&["c"], &["x"])), "needs_body");
    assert_eq!(before(by_role(), &ask(&["c"], &["y"])), DenyReason::NoRule.code());
}
