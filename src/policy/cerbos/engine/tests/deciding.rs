//! The algorithm: kinds of policies, scopes, roles and their parents.

use super::*;

const ERRS: &str = "R.attr.missing == 1";

#[test]
fn a_deny_that_errs_denies_and_an_allow_that_errs_grants_nothing() {
    let strict = |rules| engine(resources(vec![policy("r", rules)]), Profile::Strict);
    let told = |engine: &Engine| {
        let output = ask(&["a"], &["x"]).of(engine);
        let result = output.actions.into_iter().next().unwrap().1;
        (result.effect, result.rule.map(|rule| rule.to_string()), result.errs)
    };
    let rule = |nth| Some(format!("resource.r.vdefault#rule-00{nth}"));
    let errs = strict(vec![allow(&["x"], &["a"]), deny(&["x"], &["a"]).when(ERRS)]);
    assert_eq!(told(&errs), (Effect::Deny, rule(2), true));
    let explicit = strict(vec![deny(&["x"], &["a"]).when(ERRS), deny(&["x"], &["a"])]);
    assert_eq!(told(&explicit), (Effect::Deny, rule(2), false), "a deny that applies is told first");
    let grants_nothing = strict(vec![allow(&["x"], &["a"]).when(ERRS)]);
    assert_eq!(told(&grants_nothing), (Effect::Deny, rule(1), true));
    let another = strict(vec![allow(&["x"], &["a"]).when(ERRS), allow(&["x"], &["a"])]);
    assert_eq!(told(&another), (Effect::Allow, rule(2), false));
    let nothing = strict(vec![allow(&["y"], &["a"])]);
    assert_eq!(told(&nothing), (Effect::Deny, None, false));
}

#[test]
fn a_derived_role_that_errs_denies_and_grants_nothing() {
    let policies = |through: fn(&[&str], &[&str]) -> ResourceRule, when: &'static str| {
        move || {
            let rules = vec![allow(&["x"], &["a"]).when("R.attr.open"), through(&["x"], &["~d"]).when(when)];
            resources(vec![policy("r", rules).derives("d", &["a"], ERRS)])
        }
    };
    let open = ask(&["a"], &["x"]).about(json!({"open": true}));
    assert_eq!(both(policies(deny, "true"), &open), ["deny!", "allow!"]);
    assert_eq!(both(policies(deny, "false"), &open), ["allow"; 2], "the rule's own condition does not hold");
    let shut = ask(&["a"], &["x"]).about(json!({"open": false}));
    assert_eq!(both(policies(allow, "true"), &shut), ["deny"; 2]);
    let engine = engine(policies(allow, "true")(), Profile::Strict);
    assert!(shut.of(&engine).actions[0].1.errs);
    assert!(shut.of(&engine).effective_derived_roles.is_empty());
}

#[test]
fn a_condition_that_reads_derived_roles_errs_where_one_cannot_be_told() {
    let policies = || {
        let rules = vec![
            allow(&["x"], &["a"]),
            deny(&["x"], &["a"]).when("\"d\" in runtime.effectiveDerivedRoles"),
            deny(&["y"], &["~d"]),
        ];
        resources(vec![policy("r", rules).derives("d", &["a"], ERRS)])
    };
    assert_eq!(both(policies, &ask(&["a"], &["x"])), ["deny!", "allow!"]);
}

fn of_roles(roles: Vec<RolePolicy>) -> Policies {
    Policies {
        resources: vec![
            policy("r", vec![allow(&["*"], &["a"])]),
            policy("other", vec![allow(&["*"], &["a"])]),
            policy("r", vec![]).at("s"),
        ],
        roles,
        ..Policies::default()
    }
}

#[test]
fn a_role_policy_leaves_what_it_lists_to_the_parents() {
    let policies = || of_roles(vec![role("c", &["a"], &[("r", &["x", "view:*"], "")])]);
    for (action, expected) in [("x", "allow"), ("view:1", "allow"), ("y", "deny")] {
        assert_eq!(both(policies, &ask(&["c"], &[action])), [expected; 2], "{action}");
    }
    let other = Ask { kind: "other", ..ask(&["c"], &["x"]) };
    assert_eq!(both(policies, &other), ["deny"; 2], "a resource that is not listed");
    let output = ask(&["c"], &["y"]).of(&engine(policies(), Profile::Strict));
    assert_eq!((told(&output), &output.actions[0].1.rule), (("role.c.vdefault", ""), &None));
    assert_eq!(both(policies, &ask(&["c", "a"], &["y"])), ["allow"; 2], "another role is asked on its own");
}

#[test]
fn a_role_policy_whose_condition_errs_denies() {
    let policies = |when: &'static str| move || of_roles(vec![role("c", &["a"], &[("r", &["x"], when)])]);
    assert_eq!(both(policies("R.attr.n == 1"), &ask(&["c"], &["x"]).about(json!({"n": 1}))), ["allow"; 2]);
    assert_eq!(both(policies("R.attr.n == 1"), &ask(&["c"], &["x"]).about(json!({"n": 2}))), ["deny"; 2]);
    assert_eq!(both(policies(ERRS), &ask(&["c"], &["x"])), ["deny"; 2]);
    assert_eq!(both(policies("none:R.attr.missing == 1"), &ask(&["c"], &["x"])), ["deny!", "allow!"]);
}

#[test]
fn parents_of_roles_are_those_of_the_scope_that_is_asked_for() {
    let policies = || {
        of_roles(vec![
            role("c", &["b"], &[("*", &["*"], "")]),
            role("b", &["a"], &[("*", &["*"], "")]),
            role("d", &["a"], &[("*", &["*"], "")]).at("s"),
        ])
    };
    assert_eq!(both(policies, &ask(&["c"], &["x"])), ["allow"; 2], "a parent's parent");
    assert_eq!(both(policies, &ask(&["d"], &["x"])), ["deny"; 2]);
    assert_eq!(both(policies, &ask(&["d"], &["x"]).at("s")), ["allow"; 2]);
    assert_eq!(both(policies, &ask(&["c"], &["x"]).at("s")), ["deny"; 2]);
}

#[test]
fn role_policies_that_are_each_others_parents_come_to_an_end() {
    let policies =
        || of_roles(vec![role("c", &["d", "a"], &[("*", &["*"], "")]), role("d", &["c"], &[("*", &["*"], "")])]);
    assert_eq!(both(policies, &ask(&["d"], &["x"])), ["allow"; 2]);
}

#[test]
fn principal_policies_come_first_and_leave_what_they_do_not_name() {
    let policies = || Policies {
        resources: vec![policy("r", vec![allow(&["x", "y"], &["a"])])],
        principals: vec![principal("u", &[("r", "x", Effect::Deny), ("*", "z", Effect::Allow)])],
        ..Policies::default()
    };
    for (action, expected, named) in [
        ("x", "deny", "principal.u.vdefault"),
        ("y", "allow", "resource.r.vdefault"),
        ("z", "allow", "principal.u.vdefault"),
    ] {
        assert_eq!(both(policies, &ask(&["a"], &[action])), [expected; 2], "{action}");
        let output = ask(&["a"], &[action]).of(&engine(policies(), Profile::Strict));
        assert_eq!(told(&output).0, named, "{action}");
    }
    let somebody = Ask { id: "other", ..ask(&["a"], &["x"]) };
    assert_eq!(both(policies, &somebody), ["allow"; 2]);
}

#[test]
fn scopes_are_asked_from_the_most_specific_one_until_one_settles_it() {
    let policies = || {
        resources(vec![
            policy("r", vec![allow(&["root"], &["a"]), allow(&["over"], &["a"]), deny(&["under"], &["a"])]),
            policy("r", vec![deny(&["over"], &["a"]), allow(&["under"], &["a"])]).at("s"),
            policy("r", vec![]).at("s.t"),
        ])
    };
    let at = |action| ask(&["a"], &[action]).at("s.t");
    for (action, expected, scope) in [("root", "allow", ""), ("over", "deny", "s"), ("under", "allow", "s")] {
        assert_eq!(both(policies, &at(action)), [expected; 2], "{action}");
        let output = at(action).of(&engine(policies(), Profile::Strict));
        assert_eq!(told(&output), ("resource.r.vdefault/s.t", scope), "{action}");
    }
    assert_eq!(both(policies, &at("none")), ["deny"; 2]);
    assert_eq!(both(policies, &ask(&["a"], &["under"]).at(".s")), ["allow"; 2], "a dot before it");
}

#[test]
fn what_needs_consent_is_allowed_where_a_parent_allows_it_too() {
    let policies = || {
        let consent = vec![
            allow(&["both"], &["a"]),
            allow(&["alone"], &["a"]),
            allow(&["open"], &["a"]).when("R.attr.open"),
            allow(&["strange"], &["a"]).when(ERRS),
        ];
        resources(vec![
            policy("r", vec![allow(&["both", "open", "strange", "root"], &["a"])]),
            policy("r", consent).at("s").with_consent(),
        ])
    };
    let at = |action, open| ask(&["a"], &[action]).at("s").about(json!({"open": open}));
    assert_eq!(both(policies, &at("both", true)), ["allow"; 2]);
    assert_eq!(both(policies, &at("root", true)), ["allow"; 2]);
    assert_eq!(both(policies, &at("alone", true)), ["deny"; 2]);
    assert_eq!(both(policies, &at("open", true)), ["allow"; 2]);
    assert_eq!(both(policies, &at("open", false)), ["deny"; 2], "its condition stands in the way");
    assert_eq!(both(policies, &at("strange", true)), ["deny"; 2]);
}

#[test]
fn a_lenient_search_starts_at_the_nearest_scope_that_exists() {
    let policies = || resources(vec![policy("r", vec![]), policy("r", vec![allow(&["x"], &["a"])]).at("s")]);
    for profile in [Profile::Strict, Profile::Cerbos051] {
        let options = Options { profile, lenient_scope_search: true, ..Options::default() };
        let lenient = Engine::new(policies(), options);
        let output = ask(&["a"], &["x"]).at("s.t.u").of(&lenient);
        assert_eq!((told(&output), output.actions[0].1.effect), (("resource.r.vdefault/s", "s"), Effect::Allow));
        let output = ask(&["a"], &["x"]).at("s.t.u").of(&engine(policies(), profile));
        assert_eq!((told(&output), output.actions[0].1.effect), (("NO_MATCH", ""), Effect::Deny));
    }
}

#[test]
fn a_scope_of_a_million_dots_is_looked_up_at_once() {
    let policies = resources(vec![policy("r", vec![allow(&["x"], &["a"])])]);
    let lenient = Engine::new(policies, Options { lenient_scope_search: true, ..Options::default() });
    let scope: &'static str = "a.".repeat(1_000_000).leak();
    let start = std::time::Instant::now();
    assert_eq!(ask(&["a"], &["x"]).at(scope).word(&lenient), "allow");
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
}

#[test]
fn a_question_without_version_and_scope_is_about_the_default_ones() {
    let policies = resources(vec![
        policy("r", vec![]).of_version("2"),
        policy("r", vec![allow(&["x"], &["a"])]).of_version("2").at("s"),
    ]);
    let options =
        Options { default_policy_version: "2".to_owned(), default_scope: "s".to_owned(), ..Options::default() };
    let engine = Engine::new(policies, options);
    assert_eq!(ask(&["a"], &["x"]).word(&engine), "allow");
    let named = Ask { versions: ["", "default"], ..ask(&["a"], &["x"]) };
    assert_eq!(told(&named.of(&engine)).0, "NO_MATCH");
}

#[test]
fn variables_are_read_by_rules_and_by_other_variables() {
    let policies = || {
        let rules = vec![allow(&["x"], &["a"]).when("V.a"), deny(&["x"], &["a"]).when("!V.a")];
        resources(vec![policy("r", rules).with_variables(&[("bad", "R.attr.n"), ("a", "V.bad == 1")])])
    };
    assert_eq!(both(policies, &ask(&["a"], &["x"]).about(json!({"n": 1}))), ["allow"; 2]);
    assert_eq!(both(policies, &ask(&["a"], &["x"]).about(json!({"n": 2}))), ["deny"; 2]);
}

#[test]
fn a_rule_speaks_once_in_the_strict_reading_and_for_each_row_in_0_51() {
    let policies = || {
        let rules = vec![
            allow(&["*", "x"], &["a", "b"]).when("R.attr.n == 1").puts_out("P.id", "R.kind"),
            allow(&["x", "y"], &["~d"]).when("R.attr.n == 2").puts_out("P.id", "R.kind"),
        ];
        resources(vec![policy("r", rules).derives("d", &["a", "b"], "R.attr.d")])
    };
    // Rule and value of what each of the two reports; counted on the real one.
    for (attributes, roles, [strict, of_0_51]) in [
        (json!({"n": 5, "d": true}), &["a"][..], ["1r 2r", "1r 1r 2r"]),
        (json!({"n": 5, "d": true}), &["a", "b"], ["1r 2r", "1r 1r 1r 1r 2r 2r"]),
        (json!({"n": 5, "d": false}), &["a"], ["1r", "1r 1r"]),
        (json!({"n": 5, "d": false}), &["a", "b"], ["1r", "1r 1r 1r 1r 2r"]),
        (json!({"n": 1, "d": true}), &["a"], ["1u 2r", "1u 1u 2r"]),
        (json!({"n": 1, "d": true}), &["a", "b"], ["1u 2r", "1u 1u 2r"]),
    ] {
        for (profile, expected) in [(Profile::Strict, strict), (Profile::Cerbos051, of_0_51)] {
            let output = ask(roles, &["x"]).about(attributes.clone()).of(&engine(policies(), profile));
            let told = |output: &Output| {
                format!("{}{}", output.source.chars().last().unwrap(), output.value.as_ref().unwrap().as_str().unwrap())
            };
            let mut told: Vec<String> = output.outputs.iter().map(told).collect();
            told.sort();
            assert_eq!(told.join(" "), expected, "{attributes} {roles:?} {profile:?}");
        }
    }
}

#[test]
fn attributes_that_a_caller_names_are_seen_as_they_are() {
    let policies = resources(vec![policy("r", vec![allow(&["x"], &["a"]).when("P.attr.email == \"a@b\"")])]);
    let mut asked = ask(&["a"], &["x"]);
    asked.attributes = json!({"email": "a@b"}).as_object().unwrap().clone();
    assert_eq!(asked.word(&engine(policies, Profile::Strict)), "allow");
}

#[test]
fn ten_thousand_policies_are_found_like_ten() {
    let policies = |count: usize| {
        resources((0..count).map(|nth| policy(&format!("r{nth}"), vec![allow(&["x"], &["a"])])).collect())
    };
    let asked = Ask { kind: "r7", ..ask(&["a"], &["x"]) };
    let time = |engine: &Engine| {
        let start = std::time::Instant::now();
        for _ in 0..1000 {
            assert_eq!(asked.of(engine).actions[0].1.effect, Effect::Allow);
        }
        start.elapsed()
    };
    let (few, many) = (engine(policies(10), Profile::Strict), engine(policies(10_000), Profile::Strict));
    println!("a thousand questions to 10 policies: {:?}, to 10,000: {:?}", time(&few), time(&many));
}
