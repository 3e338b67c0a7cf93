//! Cerbos expressions that mean harm: whatever they build is paid for.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// What becomes of an expression of a Cerbos policy on the sample.
fn cerbos(sample: &Sample, text: &str) -> String {
    sample.answer(text, &Environment::cerbos())
}

const SPENT: &str = "error: the evaluation takes too many steps";

#[test]
fn a_text_that_doubles_itself_stops_at_the_budget() {
    let doubled = |start: &str, sum: &str| {
        let binds: String = (0..12)
            .map(|level| format!("cel.bind(x{}, {}, ", level + 1, sum.replace('x', &format!("x{level}"))))
            .collect();
        format!("cel.bind(x0, {start}, {binds}size(x12) > 0{}", ")".repeat(13))
    };
    let started = Instant::now();
    for (start, sum) in [
        ("P.id", "x + x + x + x + x + x"),
        ("[P.id]", "x + x + x + x + x + x"),
        ("[P.id]", "[x, x, x, x, x, x]"),
        ("b'abc'", "x + x + x + x + x + x"),
        ("P.id", "[x, x, x, x, x].join(x)"),
        ("P.id", "'%s%s%s%s%s'.format([x, x, x, x, x])"),
        ("P.id", "'%s%s%s%s%s%.1f'.format([x, x, x, x, x, 1])"),
        ("P.id", "x.replace('', x)"),
        ("{'a': P.id}", "{'a': x, 'b': x, 'c': x, 'd': x}"),
    ] {
        assert_eq!(cerbos(&Sample::default(), &doubled(start, sum)), SPENT, "{sum}");
        let outvoted = format!("{} || P.id == 'u-1'", doubled(start, sum));
        assert_eq!(cerbos(&Sample::default(), &outvoted), SPENT, "{sum}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn variables_that_double_each_other_stop_at_the_budget() {
    let names: Vec<String> = (0..64).map(|number| format!("v{number}")).collect();
    let environment = Environment::cerbos().with_variables(names.clone());
    let mut text = "P.id".to_owned();
    let definitions: Vec<Definition> = names
        .iter()
        .map(|name| {
            let expression = Expression::compile(&text, &environment).unwrap();
            text = format!("V.{name} + V.{name}");
            Definition { name: name.as_str().into(), expression }
        })
        .collect();
    let condition = Condition::compile("V.v63 == 'x'", &environment).unwrap();
    let variables = Variables::new(&definitions, OnError::Error);
    let answer = Sample::default().with_scope(|scope| condition.test(&Scope { variables: Some(&variables), ..*scope }));
    assert_eq!(answer, Err(EvaluationError::TooMuchWork));
}

#[test]
fn a_list_out_of_nothing_is_bounded() {
    for text in [
        "lists.range(1000000).size() == 1000000",
        "lists.range(9223372036854775807).size() > 0",
        "lists.range(1000).all(x, lists.range(1000).all(y, true))",
        "lists.range(2000).map(x, P.attr.text.upperAscii()).size() > 0",
        "lists.range(1000).transformMap(i, v, P.attr.text.upperAscii()).size() > 0",
        "lists.range(1000).transformList(i, v, lists.range(500)).size() > 0",
        "lists.range(5000).distinct().size() > 0",
    ] {
        let sample = Sample::with_claims(json!({"text": "a".repeat(50_000)}));
        assert_eq!(cerbos(&sample, text), SPENT, "{text}");
    }
    assert_eq!(cerbos(&Sample::default(), "lists.range(1000).all(x, x < 1000)"), "true");
}

#[test]
fn a_format_that_leaves_a_long_text_alone_pays_for_it() {
    let sample = Sample::with_claims(json!({"long": "x".repeat(500_000)}));
    let text = "cel.bind(l, [1, P.attr.long + 'x'], lists.range(1000).all(i, '%f'.format(l).size() > 0))";
    assert_eq!(cerbos(&sample, text), SPENT);
    assert_eq!(cerbos(&sample, &text.replace("1000", "2")), "true");
}

#[test]
fn comparing_long_lists_stops_at_the_budget() {
    let text: String = (0..4000).map(|number| format!("{number},")).collect();
    let sample = Sample::with_claims(json!({"text": text}));
    let list = "P.attr.text.split(',')";
    // Texts are looked up, not compared one by one.
    assert_eq!(cerbos(&sample, &format!("isSubset({list}, {list})")), "true");
    let lists = format!("{list}.map(x, [x])");
    assert_eq!(cerbos(&sample, &format!("isSubset({lists}, {lists})")), SPENT);
    assert_eq!(cerbos(&sample, &format!("{lists}.distinct().size() == 4001")), SPENT);
}

#[test]
fn a_pattern_out_of_a_request_is_small_and_paid_for() {
    let sample = |pattern: &str| Sample::with_claims(json!({"pattern": pattern, "list": vec![0; 100]}));
    let refused = "error: `matches` refuses its arguments";
    assert_eq!(cerbos(&sample("^u-[0-9]$"), "P.id.matches(P.attr.pattern)"), "true");
    for pattern in ["(", "((a{500}){500}){500}", "\\w{1000}\\w{1000}\\w{1000}", &"a".repeat(513)] {
        assert_eq!(cerbos(&sample(pattern), "P.id.matches(P.attr.pattern)"), refused, "{pattern}");
    }
    assert_eq!(cerbos(&sample("a"), "P.attr.list.all(x, !'b'.matches(P.attr.pattern))"), SPENT);
}

#[test]
fn a_replacement_cannot_grow_beyond_the_budget() {
    let sample = Sample::with_claims(json!({"text": "a".repeat(20_000)}));
    assert_eq!(cerbos(&sample, "P.attr.text.replace('a', P.attr.text).size() > 0"), SPENT);
    assert_eq!(cerbos(&sample, "P.attr.text.replace('a', 'bb').size() == 40000"), "true");
}

#[test]
fn a_name_that_is_bound_to_itself_ends() {
    for (text, expected) in [
        ("cel.bind(request, request.resource, request.id == '7')", "true"),
        ("cel.bind(R, R, R.id == '7')", "true"),
        ("cel.bind(x, x, x == 1)", "does not compile: unknown name `x`"),
        ("cel.bind(P, P.id, cel.bind(P, P + '!', P == 'u-1!'))", "true"),
        ("[1, 2].exists(R, R == 2) && R.id == '7'", "true"),
        ("[1].all(i, v, [5].all(i, w, i == 0 && v == 1 && w == 5))", "true"),
    ] {
        assert_eq!(cerbos(&Sample::default(), text), expected, "{text}");
    }
}

#[test]
fn names_that_are_bound_to_each_other_do_not_nest() {
    let environment = Environment::cerbos().with_variables(["deep"]);
    let deep = format!("{}P.id{}", "id(".repeat(NESTING - 2), ")".repeat(NESTING - 2));
    let definitions =
        [Definition { name: "deep".into(), expression: Expression::compile(&deep, &environment).unwrap() }];
    let binds: String = (1..14).map(|level| format!("cel.bind(x{level}, id(id(id(id(x{})))), ", level - 1)).collect();
    let text = format!("cel.bind(x0, id(id(V.deep)), {binds}x13 == 'u-1'{}", ")".repeat(14));
    let condition = Condition::compile(&text, &environment).unwrap();
    let variables = Variables::new(&definitions, OnError::Error);
    let answer = Sample::default().with_scope(|scope| condition.test(&Scope { variables: Some(&variables), ..*scope }));
    assert_eq!(answer, Ok(true));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_call_makes_the_evaluation_panic(
        name in prop::sample::select(vec![
            "substring", "indexOf", "lastIndexOf", "charAt", "split", "replace", "join", "format", "slice", "flatten", "sort", "distinct",
            "reverse", "trim", "matches", "hierarchy", "commonAncestors", "inIPAddrRange", "intersect", "except", "isSubset", "spiffeID",
            "spiffeTrustDomain", "spiffeMatchOneOf", "duration", "timestamp", "lists.range", "math.greatest", "math.bitShiftLeft", "math.abs",
            "base64.decode", "strings.quote", "string", "int", "bytes", "transformMap", "transformList", "sortBy", "getHours", "size",
        ]),
        target in operand(),
        arguments in prop::collection::vec(operand(), 0..4),
    ) {
        for text in [
            format!("{name}({}) == {target}", arguments.join(", ")),
            format!("{target}.{name}({}) == {target}", arguments.join(", ")),
            format!("{target}.{name}(i, v, {}) == {target}", arguments.join(", ")),
        ] {
            if let Ok(condition) = Condition::compile(&text, &Environment::cerbos()) {
                prop_assert_ne!(Sample::default().test(&condition), Err(EvaluationError::Internal), "{}", text);
            }
        }
    }
}

/// Something to call a function with.
fn operand() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "''",
        "'aé'",
        "'%s%.3f'",
        "'a.b'",
        "'spiffe://a/b'",
        "'1h'",
        "'2021-01-01T00:00:00Z'",
        "'UTC'",
        "0",
        "-1",
        "1",
        "2",
        "9223372036854775807",
        "1u",
        "1.5",
        "true",
        "null",
        "[]",
        "['a', 'b']",
        "[1, 2.0, 'x']",
        "[[1], [2, [3]]]",
        "{}",
        "{'a': 1}",
        "P.id",
        "P.attr.tags",
        "R.attr.size",
        "R.attr",
        "i",
        "v",
        "b'a'",
        "hierarchy('a.b')",
        "spiffeID('spiffe://a/b')",
        "now()",
        "duration('1s')",
        "R.attr.missing",
    ])
    .prop_map(str::to_owned)
}
