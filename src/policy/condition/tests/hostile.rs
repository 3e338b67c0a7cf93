//! Texts and requests that mean harm.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> String {
    Condition::compile(text, &native()).map_or_else(|error| error.message, |_| "compiles".to_owned())
}

#[test]
fn a_long_condition_is_refused() {
    let long = format!("principal.id == '{}'", "a".repeat(LENGTH));
    assert_eq!(refused(&long), "the condition is longer than 4096 bytes");
    assert_eq!(refused(&format!("principal.id == '{}'", "a".repeat(LENGTH - 18))), "compiles");
}

#[test]
fn a_deep_condition_is_refused_before_it_is_parsed() {
    let deep = "the condition nests deeper than 32 levels";
    for count in [NESTING, 500, 1300] {
        for unit in ["(", "[", "!", "-", "{1:", "size(", "true?true:", "principal.id=="] {
            assert_eq!(
                refused(&unit.repeat(count + 1).chars().take(LENGTH).collect::<String>()),
                deep,
                "{count} {unit}"
            );
        }
        let chain = format!("principal.claims{} == 1", ".a".repeat(count).chars().take(4000).collect::<String>());
        assert_eq!(refused(&chain), deep);
    }
}

#[test]
fn the_deepest_condition_that_compiles_also_runs() {
    let brackets = format!("{}principal.id == 'u-1'{}", "(".repeat(NESTING - 2), ")".repeat(NESTING - 2));
    let nots = format!("{}has(principal.id)", "!".repeat(NESTING - 2));
    let lists = format!("{}1{} == []", "[".repeat(NESTING - 1), "]".repeat(NESTING - 1));
    let sums = format!("principal.id{} == 'x'", " + 'a'".repeat(NESTING - 3));
    for (text, answer) in [(brackets, "true"), (nots, "true"), (lists, "false"), (sums, "false")] {
        assert_eq!(Sample::default().answer(&text, &native()), answer, "{text}");
    }
}

#[test]
fn a_wide_condition_compiles_and_runs() {
    let wide = vec!["path.id == '1'"; 200].join(" || ");
    assert_eq!(Sample::default().answer(&wide, &native()), "false");
    let list = format!("path.id in [{}, '7']", vec!["'1'"; 700].join(","));
    assert_eq!(Sample::default().answer(&list, &native()), "true");
}

#[test]
fn a_pattern_out_of_the_request_is_refused() {
    assert_eq!(refused("path.id.matches(request.query.q)"), "the pattern of `matches` is not a literal");
    assert_eq!(refused("path.id.matches('(')"), "`(` is not a regular expression");
    assert_eq!(refused("path.id.matches('^[0-9]+$')"), "compiles");
    assert!(refused("path.id.matches('((a{500}){500}){500}')").ends_with("is not a regular expression"));
}

#[test]
fn a_replacement_out_of_the_request_is_refused() {
    let told = "what `replace` looks for and what it puts there are not literals";
    for text in
        ["path.id.replace('', 'b') == ''", "path.id.replace(path.id, 'b') == ''", "path.id.replace('a', path.id) == ''"]
    {
        assert_eq!(refused(text), told);
    }
    assert_eq!(refused("path.id.replace('7', '8') == '8'"), "compiles");
    assert_eq!(refused("'%s'.format([path.id]) == '8'"), "unknown function `format`");
}

#[test]
fn a_huge_value_is_an_error_and_not_a_long_wait() {
    let sample = Sample::with_claims(json!({"list": vec![0; 100_000], "text": "a".repeat(100_000)}));
    check(
        &sample,
        &native(),
        &[
            ("principal.claims.list.exists(x, x == 1)", "error: the values have more than 1024 parts"),
            ("principal.claims.text.size() == 100000", "true"),
            ("1 in principal.claims.list", "false"),
        ],
    );
    let largest = Sample::with_claims(json!({"list": vec![0; PARTS - 1]}));
    check(&largest, &native(), &[("principal.claims.list.all(x, x == 0)", "true")]);
}

#[test]
fn nested_comprehensions_stop_at_the_budget() {
    let sample = Sample::with_claims(json!({"list": vec![0; 1000]}));
    let started = Instant::now();
    for inner in [
        "exists(y, x == 1 && y == 1)",
        "map(y, y).size() == 1",
        "filter(y, y == 1).size() == 1",
        "exists_one(y, y == 1)",
    ] {
        let text = format!("principal.claims.list.exists(x, principal.claims.list.{inner})");
        assert_eq!(sample.answer(&text, &native()), "error: the evaluation takes too many steps", "{text}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_list_that_a_text_was_split_into_is_bounded_too() {
    let text: &'static str = Box::leak(format!("q={}", ",".repeat(8000)).into_boxed_str());
    let sample = Sample { query: text, ..Sample::default() };
    let split = "request.query.q.split(',')";
    check(
        &sample,
        &native(),
        &[
            (&format!("{split}.all(x, x == '')"), "true"),
            (
                &format!("{split}.all(x, ['a', 'b', 'c', 'd'].all(y, x != y))"),
                "error: the evaluation takes too many steps",
            ),
        ],
    );
}

#[test]
fn a_spent_budget_cannot_be_outvoted() {
    let sample = Sample::with_claims(json!({"list": vec![0; 1000]}));
    let runaway = "principal.claims.list.map(x, principal.claims.list.map(y, y)).size() == 0";
    for text in [
        format!("{runaway} || principal.id == 'u-1'"),
        format!("{runaway} || request.path.startsWith('/')"),
        format!("({runaway} || true) ? true : false"),
        "principal.claims.list.exists(x, x == 1 && true) || principal.claims.list.all(x, principal.claims.list.all(y, y == 0)) || true".to_owned(),
    ] {
        assert_eq!(sample.answer(&text, &native()), "error: the evaluation takes too many steps", "{text}");
    }
}

#[test]
fn an_error_text_holds_nothing_of_the_request() {
    let sample = Sample::with_claims(json!({"secret": "hunter2", "list": ["hunter2"], "map": {"hunter2": 1}}));
    for text in [
        "principal.claims.secret + 1 == 1",
        "principal.claims.secret < 1",
        "principal.claims.list[principal.claims.secret] == 1",
        "principal.claims.map[principal.claims.secret].x == 1",
        "principal.claims[principal.claims.secret] == 1",
        "int(principal.claims.secret) == 1",
        "timestamp(principal.claims.secret) == now()",
        "duration(principal.claims.secret) == duration('1s')",
        "principal.claims.secret.charAt(99) == 'x'",
        "principal.claims.secret",
        "!principal.claims.secret",
        "principal.claims.secret ? true : false",
    ] {
        let answer = sample.answer(text, &native());
        assert!(answer.starts_with("error: ") && !answer.contains("hunter2"), "{text}: {answer}");
    }
}

#[test]
fn a_calculation_without_a_result_is_an_error() {
    check(
        &Sample::default(),
        &native(),
        &[
            ("1 / 0 == 1", "error: a calculation has no result"),
            ("9223372036854775807 + 1 == 1", "error: a calculation has no result"),
            ("timestamp('9999-12-31T23:59:59Z') + duration('24h') > now()", "error: a calculation has no result"),
            ("timestamp('garbage') > now()", "error: `timestamp` refuses its arguments"),
        ],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_compiler_panic(text in r#"([a-z@.()\[\]{}!?:&|=<>+*/%,'"`\\0-9 \n-]|principal|request\.|\.id|true|é|[[:any:]]){0,40}"#) {
        if let Ok(condition) = Condition::compile(&text, &native()) {
            drop(Sample::default().test(&condition));
        }
    }
}
