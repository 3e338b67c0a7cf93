//! What must hold for every policy: the two stages agree, and resource policies combine as the written algorithm says.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The samples, made once: minting a token signs.
fn sample(which: usize) -> &'static Principal {
    static SAMPLES: OnceLock<Vec<Principal>> = OnceLock::new();
    let samples = SAMPLES.get_or_init(|| {
        vec![
            user("u-1", &["a"]),
            user("u-1", &["b"]),
            user("u-1", &["a", "b"]),
            user("u-1", &["b", "a"]),
            user("u-1", &[]),
            machine(),
            Principal::Anonymous,
        ]
    });
    &samples[which % samples.len()]
}

const BODIES: [&str; 4] = [r#"{"owner": "u-1"}"#, r#"{"owner": "x"}"#, r#"{"owner": 1}"#, "{}"];

const NATIVE: [&str; 12] = [
    "roles: [a]",
    "roles: [anyone]",
    "owner: { body: /owner }",
    "owner: { body: /owner }, roles: [b]",
    "owner: { body: /owner }, principals: [machine]",
    "owner: { path: owner }",
    "owner: { body: /owner }, when: 'path.owner == \"u-1\"'",
    "owner: { body: /owner }, when: 'principal.claims[\"absent\"] == 1'",
    "when: 'principal.claims[\"absent\"] == 1'",
    "when: 'path.owner == \"u-1\"'",
    "scopes: [openid]",
    "scopes: [none], owner: { body: /owner }",
];

fn native(rules: &[(bool, usize)]) -> PolicySet {
    let rules = rules.iter().enumerate().map(|(place, (deny, which))| {
        let effect = if *deny { "deny" } else { "allow" };
        format!("{{ id: r{place}, effect: {effect}, {} }}", NATIVE[which % NATIVE.len()])
    });
    let rules = rules.collect::<Vec<_>>().join(", ");
    let route = format!("- id: r\n  path: /users/{{owner}}\n  authentication: optional\n  rules: [ {rules} ]");
    let (set, report) = compile(&[file("r.yaml", &routes_file(&route))]);
    assert!(!report.has_errors(), "{report}");
    set.unwrap()
}

/// A rule of a resource policy: DENY or ALLOW, its roles, what its condition says.
type Spec = (bool, Vec<&'static str>, Outcome);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    True,
    False,
    Error,
    OwnerInBody,
}

fn resource(specs: &[Spec]) -> PolicySet {
    let rules = specs.iter().map(|(deny, roles, outcome)| {
        let effect = if *deny { "DENY" } else { "ALLOW" };
        let expr = match outcome {
            Outcome::True => "R.kind == \"contact\"",
            Outcome::False => "R.kind != \"contact\"",
            Outcome::Error => "R.attr.absent == 1",
            Outcome::OwnerInBody => "R.attr.owner == P.id",
        };
        let roles = roles.iter().map(|role| format!("'{role}'")).collect::<Vec<_>>().join(", ");
        format!(
            "- {{ actions: [go], effect: EFFECT_{effect}, roles: [{roles}], condition: {{ match: {{ expr: '{expr}' }} }} }}\n"
        )
    });
    let rules: String = rules.collect();
    let route = "- id: c\n  path: /c\n  authentication: optional\n  resource: { kind: contact, attributes: { owner: { body: /owner } } }\n  actions: { POST: go }";
    let (set, report) = compile(&[file("r.yaml", &routes_file(route)), cerbos_file(&rules)]);
    assert!(!report.has_errors(), "{report}");
    set.unwrap()
}

/// The algorithm as Cerbos documents it, with errors that deny: each role on its own, DENY wins within it, the first ALLOW wins.
fn reference(specs: &[Spec], roles: &[&str]) -> bool {
    roles.iter().any(|role| {
        let about = |spec: &&Spec| spec.1.contains(role) || spec.1.contains(&"*");
        let denied = specs
            .iter()
            .filter(about)
            .any(|(deny, _, outcome)| *deny && matches!(outcome, Outcome::True | Outcome::Error));
        let allowed = specs.iter().filter(about).any(|(deny, _, outcome)| !deny && *outcome == Outcome::True);
        allowed && !denied
    })
}

fn any_spec(outcomes: &'static [Outcome]) -> impl Strategy<Value = Spec> {
    let roles = prop::sample::subsequence(&["a", "b", "*", "authenticated", "anonymous"][..], 1..=2);
    (any::<bool>(), roles, prop::sample::select(outcomes))
}

/// With and without the body first.
fn both(set: &PolicySet, principal: &Principal, line: &str, body: &str) -> (String, String) {
    let body = serde_json::from_str(body).unwrap();
    (ask(set, principal, line), Ask::new(line).body(body).of(set, principal).0)
}

/// What is answered without the body must not change once it is read.
fn agree((unread, read): &(String, String)) -> bool {
    let allowed = |answer: &str| answer.starts_with("allow");
    !read.starts_with("needs_body") && (unread == "needs_body" || allowed(unread) == allowed(read))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_the_body_never_changes_an_answer_that_was_given_without_it(
        rules in prop::collection::vec((any::<bool>(), 0..NATIVE.len()), 1..5),
        which in 0_usize..7,
        body in prop::sample::select(&BODIES[..]),
        line in prop::sample::select(&["PUT /users/u-1", "PUT /users/u-2"][..]),
    ) {
        let answers = both(&native(&rules), sample(which), line, body);
        prop_assert!(agree(&answers), "{:?}", answers);
    }

    #[test]
    fn reading_the_body_never_changes_an_answer_of_a_resource_policy(
        specs in prop::collection::vec(any_spec(&[Outcome::True, Outcome::Error, Outcome::OwnerInBody]), 1..5),
        which in 0_usize..7,
        body in prop::sample::select(&BODIES[..]),
    ) {
        let answers = both(&resource(&specs), sample(which), "POST /c", body);
        prop_assert!(agree(&answers), "{:?}", answers);
    }

    #[test]
    fn resource_policies_combine_as_the_written_algorithm_does(
        specs in prop::collection::vec(any_spec(&[Outcome::True, Outcome::False, Outcome::Error]), 1..6),
        which in 0_usize..7,
    ) {
        let roles: &[&str] = match which {
            0 => &["a"],
            1 => &["b"],
            2 => &["a", "b"],
            3 => &["b", "a"],
            4 | 5 => &["authenticated"],
            _ => &["anonymous"],
        };
        let answer = Ask::new("POST /c").body(json!({})).of(&resource(&specs), sample(which)).0;
        prop_assert_eq!(answer.starts_with("allow"), reference(&specs, roles), "{}", answer);
    }
}
