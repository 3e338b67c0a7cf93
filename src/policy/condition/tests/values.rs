//! Expressions of any type, and the variables of Cerbos policies.

use super::*;

/// Compiles an expression that may name variables `a` to `z`, constants and globals.
fn environment() -> Environment {
    let letters = ('a'..='z').map(String::from);
    Environment::cerbos()
        .with_variables(letters)
        .with_constants(object(json!({"limit": 3, "teams": ["red", "blue"], "nested": {"x": {"y": "deep"}}})))
        .with_globals(object(json!({"environment": "test", "regions": {"eu": true}, "count": 2, "rate": 0.5})))
}

fn definition(name: &str, text: &str) -> Definition {
    Definition { name: name.into(), expression: Expression::compile(text, &environment()).unwrap() }
}

fn evaluate(sample: &Sample, text: &str) -> Result<Computed, EvaluationError> {
    let expression = Expression::compile(text, &environment()).unwrap();
    sample.with_scope(|scope| expression.evaluate(&Scope { nanos: 500_000_000, ..*scope }))
}

#[test]
fn a_value_is_json_by_the_rules_of_protocol_buffers() {
    for (text, expected) in [
        ("1 + 1", Some(json!(2))),
        ("9007199254740991", Some(json!(9_007_199_254_740_991_i64))),
        ("9007199254740992", Some(json!("9007199254740992"))),
        ("-9007199254740992", Some(json!("-9007199254740992"))),
        ("5u", Some(json!(5))),
        ("18446744073709551615u", Some(json!("18446744073709551615"))),
        ("2.0", Some(json!(2))),
        ("2.5", Some(json!(2.5))),
        ("b'hello'", Some(json!("aGVsbG8="))),
        ("duration('90s')", Some(json!("90s"))),
        ("duration('-1500ms')", Some(json!("-1.5s"))),
        ("timestamp('2021-04-22T10:05:20.021-05:00')", Some(json!("2021-04-22T10:05:20.021-05:00"))),
        ("now()", Some(json!("2023-11-14T22:13:20.5Z"))),
        ("null", Some(json!(null))),
        ("{'owner': R.attr.owner, 'list': [1, true, 'x']}", Some(json!({"owner": "u-1", "list": [1, true, "x"]}))),
        ("{1: 'x'}", None),
        ("1.0 / 0.0", None),
        ("type(1)", None),
    ] {
        assert_eq!(evaluate(&Sample::default(), text).unwrap().to_json(), expected, "{text}");
    }
    assert_eq!(Computed::null().to_json(), Some(json!(null)));
    assert_eq!(evaluate(&Sample::default(), "P.id == 'u-1'").unwrap().as_bool(), Some(true));
    assert_eq!(evaluate(&Sample::default(), "P.id").unwrap().as_bool(), None);
    assert_eq!(
        evaluate(&Sample::default(), "R.attr.missing").unwrap_err(),
        EvaluationError::Absent("R.attr.missing".into())
    );
}

#[test]
fn a_computed_value_says_nothing_of_itself() {
    let value = evaluate(&Sample::with_claims(json!({"secret": "hunter2"})), "P.attr").unwrap();
    assert_eq!(format!("{value:?}"), r#"Computed("map")"#);
}

#[test]
fn variables_are_evaluated_once_and_see_earlier_ones() {
    let definitions = [
        definition("a", "R.attr.owner + '!'"),
        definition("b", "{'owner': V.a, 'list': [V.a, V.a]}"),
        definition("c", "size(variables.b.list) == 2 && V.b.owner == 'u-1!'"),
        definition("d", "R.attr.missing.deeper"),
        definition("e", "R.attr.public"),
    ];
    for (on_error, rows) in [
        (
            OnError::Null,
            [
                ("V.c && V.b.list[1] == V.a && 'owner' in V.b && has(V.b.owner) && !has(V.b.other)", "true"),
                ("V.b.other == 1", "error: a map lacks the key that is asked for"),
                ("V.d == null && V.d != 'x' && !has(V.d) && has(V.a) && has(V.e)", "true"),
                ("V.b.list.exists(x, x == V.a)", "true"),
                ("V.z == 1", "error: `V.z` is absent"),
            ],
        ),
        (
            OnError::Error,
            [
                ("V.c", "true"),
                ("V.d == null", "error: `R.attr.missing.deeper` is absent"),
                ("!has(V.d)", "true"),
                ("V.e || V.c", "true"),
                ("V.a", "false"),
            ],
        ),
    ] {
        for (text, expected) in rows {
            let condition = Condition::compile(text, &environment()).unwrap();
            let variables = Variables::new(&definitions, on_error);
            let answer = Sample::default().with_scope(|scope| {
                let answer = condition.test(&Scope { variables: Some(&variables), ..*scope });
                answer.map_or_else(|error| format!("error: {error}"), |answer| answer.to_string())
            });
            assert_eq!(answer, expected, "{text}");
        }
    }
}

#[test]
fn a_variable_that_errs_is_told_even_where_it_reads_as_null() {
    let definitions = [definition("a", "R.attr.missing"), definition("b", "V.a == null")];
    let variables = Variables::new(&definitions, OnError::Null);
    let condition = Condition::compile("V.b", &environment()).unwrap();
    assert_eq!(variables.first_error(), None);
    let answer = Sample::default().with_scope(|scope| condition.test(&Scope { variables: Some(&variables), ..*scope }));
    assert_eq!(answer, Ok(true));
    assert_eq!(variables.first_error(), Some(&EvaluationError::Absent("R.attr.missing".into())));
    assert_eq!(definitions[1].expression.references().variables().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_variable_that_uses_itself_or_a_later_one_is_an_error() {
    let definitions = [definition("a", "V.a"), definition("b", "V.c"), definition("c", "V.b")];
    for name in ["a", "b", "c"] {
        let variables = Variables::new(&definitions, OnError::Error);
        let condition = Condition::compile(&format!("V.{name} == 1"), &environment()).unwrap();
        let answer =
            Sample::default().with_scope(|scope| condition.test(&Scope { variables: Some(&variables), ..*scope }));
        assert_eq!(answer, Err(EvaluationError::Internal), "{name}");
    }
}

#[test]
fn a_long_chain_of_variables_does_not_recurse() {
    let names: Vec<String> = (0..2000).map(|number| format!("v{number}")).collect();
    let environment = Environment::cerbos().with_variables(names.clone());
    let mut before = "1.0".to_owned();
    let definitions: Vec<Definition> = names
        .iter()
        .map(|name| {
            let expression = Expression::compile(&before, &environment).unwrap();
            before = format!("V.{name}");
            Definition { name: name.as_str().into(), expression }
        })
        .collect();
    let variables = Variables::new(&definitions, OnError::Error);
    let condition = Condition::compile("V.v1999 == 1", &environment).unwrap();
    let answer = Sample::default().with_scope(|scope| condition.test(&Scope { variables: Some(&variables), ..*scope }));
    assert_eq!(answer, Ok(true));
}

#[test]
fn constants_globals_and_derived_roles_are_read() {
    let roles: [Box<str>; 2] = ["owner".into(), "editor".into()];
    for (text, expected) in [
        ("C.limit == 3 && C.limit + 1.0 == 4.0 && constants.nested.x.y == 'deep'", true),
        ("'red' in C.teams && has(C.nested.x) && !has(C.nested.z)", true),
        ("G.environment == 'test' && globals.environment.size() == 4 && G.count + 1 == 3 && G.rate + 1.0 == 1.5", true),
        ("has(G.regions.eu) && !has(G.missing) && G.regions.eu", true),
        ("'owner' in runtime.effectiveDerivedRoles && runtime.effective_derived_roles.size() == 2", true),
        ("has(runtime.effectiveDerivedRoles)", true),
    ] {
        let condition = Condition::compile(text, &environment()).unwrap();
        let answer = Sample::default().with_scope(|scope| condition.test(&Scope { derived_roles: &roles, ..*scope }));
        assert_eq!(answer, Ok(expected), "{text}");
    }
    check(
        &Sample::default(),
        &environment(),
        &[
            ("!has(runtime.effectiveDerivedRoles)", "true"),
            ("G.missing == 1", "error: `G.missing` is absent"),
            ("C.nested.z == 1", "error: `C.nested.z` is absent"),
        ],
    );
}

#[test]
fn read_leniently_an_expression_that_errs_is_false() {
    let branch = |text: &str| ConditionTree::Expression(Condition::compile(text, &environment()).unwrap());
    let absent = EvaluationError::Absent("R.attr.missing".into());
    let rows = [
        (ConditionTree::None(vec![branch("R.attr.missing == 1")]), true, true),
        (branch("!(R.attr.missing == 1)"), false, true),
        (branch("R.attr.owner"), false, false),
        (ConditionTree::Any(vec![branch("R.attr.missing == 1"), branch("P.id == 'u-1'")]), true, true),
        (ConditionTree::Any(vec![branch("P.id == 'u-1'"), branch("R.attr.missing == 1")]), true, false),
        (ConditionTree::All(vec![branch("R.attr.missing == 1"), branch("P.id == 'u-1'")]), false, true),
        (
            ConditionTree::All(vec![ConditionTree::None(vec![branch("R.attr.missing == 1")]), branch("true")]),
            true,
            true,
        ),
    ];
    for (tree, expected, errs) in rows {
        let error = errs.then(|| absent.clone());
        assert_eq!(Sample::default().with_scope(|scope| tree.test_leniently(scope)), (expected, error), "{tree:?}");
    }
}
