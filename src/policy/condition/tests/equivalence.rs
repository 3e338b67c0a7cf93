//! The shortcuts answer what the interpreter answers.

use proptest::prelude::*;

use super::*;
use crate::policy::condition::compile::{Shortcuts, compile};

/// Something to compare: a literal, or a place that holds one of the claims below or nothing.
fn operand() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "1",
            "-1",
            "1u",
            "1.0",
            "1.5",
            "''",
            "'u-1'",
            "'a'",
            "9007199254740993",
            "18446744073709551615u",
            "principal.id",
            "principal.client_id",
            "principal.roles",
            "path.user",
            "request.method",
            "resource.attr.owner",
            "request.query.q",
            "request.query.twice",
            "request.query.none",
            "request.headers['x-a']",
            "request.headers['x-bytes']",
            "principal.claims.email",
        ])
        .prop_map(str::to_owned),
        place(),
    ]
}

fn place() -> impl Strategy<Value = String> {
    let step = prop::sample::select(vec![".a", ".b", "['c']", "[0]", "[1]", "[-1]"]);
    let steps = prop::collection::vec(step, 0..2);
    (prop::sample::select(vec!["a", "b", "c", "d"]), steps)
        .prop_map(|(claim, steps)| format!("principal.claims.{claim}{}", steps.concat()))
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (operand(), prop::sample::select(vec!["==", "!="]), operand())
            .prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (operand(), operand()).prop_map(|(a, b)| format!("{a} in {b}")),
        (operand(), prop::collection::vec(operand(), 0..3))
            .prop_map(|(a, list)| format!("{a} in [{}]", list.join(", "))),
        (operand(), prop::sample::select(vec!["startsWith", "endsWith", "contains"]), operand())
            .prop_map(|(a, verb, b)| format!("{a}.{verb}({b})")),
        place()
            .prop_map(|place| place.rfind('[').map_or_else(|| format!("has({place})"), |_| format!("{place} == null"))),
        prop::sample::select(vec![
            "'a' in principal.claims",
            "'x-a' in request.headers",
            "has(request.query.twice)",
            "has(principal.id)"
        ])
        .prop_map(str::to_owned),
        operand(),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!(1),
        json!(-1),
        json!(1.5),
        json!("a"),
        json!("u-1"),
        json!(""),
        json!(9_007_199_254_740_993_u64),
        json!(u64::MAX),
    ]),];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(vec!["a".to_owned(), "b".into(), "c".into()]), inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn sample() -> impl Strategy<Value = Sample> {
    let claims = prop::collection::hash_map(
        prop::sample::select(vec!["a", "b", "c", "email", "email_verified"]),
        json_value(),
        0..5,
    );
    let id = prop::option::of(Just("u-1"));
    (claims, id, prop::option::of(Just("client"))).prop_map(|(claims, id, client_id)| Sample {
        claims: claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        id,
        client_id,
        ..Sample::default()
    })
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.id, self.client_id, self.claims)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shortcut_answers_what_the_interpreter_answers(text in condition(), sample in sample()) {
        let quick = compile(&text, &native(), Shortcuts::Taken);
        let slow = compile(&text, &native(), Shortcuts::Avoided);
        prop_assert_eq!(quick.as_ref().err(), slow.as_ref().err());
        if let (Ok(quick), Ok(slow)) = (quick, slow) {
            prop_assert_eq!(sample.test(&quick).map_err(shape), sample.test(&slow).map_err(shape), "{}", text);
        }
    }
}

/// What must agree of two errors: which place is at fault. Wordings of type errors differ.
fn shape(error: EvaluationError) -> Option<Box<str>> {
    if let EvaluationError::Absent(place) | EvaluationError::Repeated(place) | EvaluationError::Unreadable(place) =
        error
    {
        return Some(place);
    }
    None
}

#[test]
fn the_common_shapes_need_no_interpreter() {
    for text in [
        "principal.id == path.user",
        "'admin' in principal.roles && request.method in ['GET', 'HEAD']",
        r#""custom:status" in principal.claims && principal.claims["custom:status"] == "suspended""#,
        "!(has(principal.client_id) || principal.claims.admin)",
        "resource.attr.owner != principal.id",
        "request.path.startsWith('/users/') || !principal.id.endsWith(path.user)",
    ] {
        let condition = Condition::compile(text, &native()).unwrap();
        assert!(!format!("{:?}", condition.test).contains("Expression"), "{text}");
    }
    let mixed = Condition::compile("principal.id == 'x' && request.path.matches('^/a')", &native()).unwrap();
    assert!(format!("{:?}", mixed.test).contains("Expression"));
}
