//! Verdicts of the checker, each of them that of Cerbos 0.51.0.

use expect_test::{Expect, expect};

use super::*;
use crate::policy::condition::{Condition, Expression, parse};

/// Expressions and what Cerbos 0.51.0 says of them: `ok` or `refused`, then the expression.
const VERDICTS: &str = include_str!("../../../../tests/data/cerbos_expressions.txt");

fn verdict(text: &str) -> Result<(), String> {
    let environment = Environment::cerbos();
    let (expression, _) = parse::parse(text, &environment).map_err(|error| error.message)?;
    check(&expression, &environment).map_err(|problem| format!("{problem:?}"))
}

#[test]
fn what_cerbos_compiles_has_types_and_what_it_refuses_has_none() {
    let mut wrong = Vec::new();
    for line in VERDICTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (wanted, text) = line.split_once(' ').unwrap();
        let found = verdict(text.trim_start());
        if found.is_ok() != (wanted == "ok") {
            wrong.push(format!("{line}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What Cerbos compiles and Cogward does not: a leading dot, all variables as one value, and the name of a type of its own.
const OUT_OF_REACH: &[&str] = &[".P.id == \"x\"", "V == C", "V == G", "type(hierarchy(\"a\")) == cerbos.lib.hierarchy"];

#[test]
fn what_has_types_compiles_but_for_a_known_few() {
    let constants = [("c".to_owned(), 1.into())].into_iter().collect();
    let environment = Environment::cerbos().with_variables(["v"]).with_constants(constants);
    let texts = VERDICTS.lines().filter_map(|line| line.strip_prefix("ok ")).map(str::trim_start);
    let failed: Vec<&str> = texts.filter(|text| Expression::compile(text, &environment).is_err()).collect();
    assert_eq!(failed, OUT_OF_REACH);
}

fn told(texts: &[&str], expected: Expect) {
    let environment = Environment::cerbos().with_variables(["v"]);
    let mut said = String::new();
    for text in texts {
        let outcome = match Condition::compile(text, &environment) {
            Ok(_) => "compiles".to_owned(),
            Err(error) => {
                let place = error.offset.map_or("?".to_owned(), |(line, column)| format!("{line}:{column}"));
                let help = error.help.map(|help| format!("\n    help: {help}")).unwrap_or_default();
                format!("{place} {}{help}", error.message)
            }
        };
        said.push_str(&format!("{text}\n    {outcome}\n"));
    }
    expected.assert_eq(&said);
}

#[test]
fn numbers_that_clash_are_told_with_what_to_write() {
    told(
        &[
            "R.attr.n + 1.0 == 2",
            "2 != R.attr.n + 1.0",
            "1 in [1.0]",
            "size(P.roles) == R.attr.n + 1.0",
            "true ? 1 : 2.0",
            "true ? 'a' : 1",
            "[1] == [1.0]",
            "2u * R.attr.n == 2",
        ],
        expect![[r#"
            R.attr.n + 1.0 == 2
                1:16 no overload matches `double == int`
                help: numbers out of JSON are doubles: write `2.0`
            2 != R.attr.n + 1.0
                1:3 no overload matches `int != double`
                help: numbers out of JSON are doubles: write `2.0`
            1 in [1.0]
                1:3 no overload matches `int in list(double)`
                help: numbers out of JSON are doubles: write `1.0`
            size(P.roles) == R.attr.n + 1.0
                1:15 no overload matches `int == double`
                help: convert one of the two: `int(x)` or `double(x)`
            true ? 1 : 2.0
                1:6 no overload matches `bool ? int : double`
                help: numbers out of JSON are doubles: write `1.0`
            true ? 'a' : 1
                1:6 no overload matches `bool ? string : int`
            [1] == [1.0]
                1:5 no overload matches `list(int) == list(double)`
                help: convert one of the two: `int(x)` or `double(x)`
            2u * R.attr.n == 2
                1:15 no overload matches `uint == int`
                help: convert one of the two: `uint(x)` or `int(x)`
        "#]],
    );
}

#[test]
fn the_author_is_told_where_a_condition_or_another_value_should_stand() {
    told(
        &[
            "1 ? 2 : 3",
            "R.attr.ok && P.id",
            "P.id\n  || true",
            "!P.id",
            "-P.id == 'x'",
            "P.roles['a'] == 'x'",
            "V['v'] == 1",
            "P.id.name == 'x'",
            "now().year == 2024",
        ],
        expect![[r#"
            1 ? 2 : 3
                1:1 a condition should stand here, not `int`
            R.attr.ok && P.id
                1:16 a condition should stand here, not `string`
            P.id
              || true
                1:3 a condition should stand here, not `string`
            !P.id
                1:1 no overload matches `!string`
                help: there is `!bool`
            -P.id == 'x'
                1:1 no overload matches `-string`
                help: there is `-double`, `-int`
            P.roles['a'] == 'x'
                1:9 no overload matches `list(string)[string]`
            V['v'] == 1
                1:3 `V` is not a map
                help: its fields stand after a dot
            P.id.name == 'x'
                1:6 `P.id` is a `string`, it has no field `name`
            now().year == 2024
                1:7 `timestamp` has no field `year`
        "#]],
    );
}

#[test]
fn a_function_is_told_with_the_types_that_it_takes() {
    told(
        &[
            "'a'.charAt('b') == 'c'",
            "size(1) == 1",
            "now(1) == now()",
            "startsWith(P.id, 'a')",
            "P.id.timestamp() == now()",
            "P.roles.all(x, x == 1)",
            "R.kind.exists(x, true)",
            "timestamp(R.attr.t) < '2024-01-01'",
            "math.abz(1) == 1",
            "P.roles.all(x) == true",
            "sets.contains([1], [1])",
            "R.attr.n.lowerAsci() == 'a'",
        ],
        expect![[r#"
            'a'.charAt('b') == 'c'
                1:5 no overload matches `string.charAt(string)`
                help: there is `string.charAt(int)`
            size(1) == 1
                1:1 no overload matches `size(int)`
                help: there is `size(bytes)`, `size(list(A))`, `size(map(A, B))`, `size(string)`
            now(1) == now()
                1:1 no overload matches `now(int)`
                help: there is `now()`
            startsWith(P.id, 'a')
                1:1 `startsWith` is called on a value
                help: write `x.startsWith(...)`
            P.id.timestamp() == now()
                1:6 `timestamp` is not called on a value
                help: write `timestamp(x)`
            P.roles.all(x, x == 1)
                1:18 no overload matches `string == int`
            R.kind.exists(x, true)
                1:3 `string` cannot be gone through
                help: it must be a list or a map
            timestamp(R.attr.t) < '2024-01-01'
                1:21 no overload matches `timestamp < string`
            math.abz(1) == 1
                1:6 unknown function `math.abz`
                help: did you mean `math.abs`?
            P.roles.all(x) == true
                1:9 `all` is not written like that
                help: with one variable or two, as in `list.all(x, x != 0)` and `map.all(key, value, key != value)`
            sets.contains([1], [1])
                1:6 Cerbos 0.51 has no function `sets.contains`
                help: write `isSubset(b, a)`
            R.attr.n.lowerAsci() == 'a'
                1:10 unknown function `lowerAsci`
                help: did you mean `lowerAscii`?
        "#]],
    );
}

#[test]
fn a_format_and_its_arguments_go_together() {
    told(
        &[
            "'%d of %d'.format([1]) == ''",
            "'%d'.format([1, 2]) == ''",
            "'%d'.format(['a']) == ''",
            "'%y'.format([1]) == ''",
            "'%s'.format([P]) == ''",
        ],
        expect![[r#"
            '%d of %d'.format([1]) == ''
                1:12 the format has more clauses than there are arguments
            '%d'.format([1, 2]) == ''
                1:17 the format has no clause for this argument
            '%d'.format(['a']) == ''
                1:14 `%d` takes a number, not `string`
            '%y'.format([1]) == ''
                1:14 `%y` is not a clause of a format
            '%s'.format([P]) == ''
                1:14 `%s` does not take `principal`
        "#]],
    );
}

#[test]
fn a_range_and_a_name_are_told_where_they_stand() {
    told(
        &[
            "P.roles.filter(x, size(x)) == []",
            "has(P.idx)",
            "x == 1",
            "google.protobuf.Duration{seconds: 1} == duration('1s')",
        ],
        expect![[r#"
            P.roles.filter(x, size(x)) == []
                1:19 a condition should stand here, not `int`
            has(P.idx)
                1:1 `P` has no field `idx`
                help: did you mean `P.id`?
            x == 1
                1:1 unknown name `x`
                help: a condition may name: request, P, R, V, C, G, runtime
            google.protobuf.Duration{seconds: 1} == duration('1s')
                1:25 unknown message type `google.protobuf.Duration`
        "#]],
    );
}

#[test]
fn native_conditions_are_not_checked() {
    assert!(Condition::compile("1 == 1.0", &Environment::cerbos()).is_err());
    assert!(Condition::compile("1 == 1.0", &Environment::native(&[])).is_ok());
}

#[test]
fn types_that_double_are_refused_in_time() {
    let names: Vec<String> = (0..14).map(|number| format!("x{number}")).collect();
    let doubled: Vec<String> =
        names.windows(2).map(|pair| format!("{0} == [{{{1}: {1}}}]", pair[0], pair[1])).collect();
    let read = vec!["x0.all(x, true)"; 40];
    let body = format!("{} && {}", doubled.join(" && "), read.join(" && "));
    let text = names.iter().rev().fold(body, |body, name| format!("cel.bind({name}, [], {body})"));
    let began = std::time::Instant::now();
    let refused = verdict(&text).unwrap_err();
    assert!(refused.contains("too involved"), "{refused}");
    assert!(began.elapsed().as_secs() < 10);
}

#[test]
fn the_longest_conditions_are_checked() {
    let units = [
        "R.attr.n + 1.0 == 2.0 && ",
        "P.roles.exists(r, r in ['a', 'b']) && ",
        "math.greatest(1, 2.5) < 3 && ",
        "{'a': [1]}.a == [] && ",
    ];
    for unit in units {
        let text = format!("{}true", unit.repeat((crate::policy::condition::LENGTH - 4) / unit.len()));
        assert_eq!(verdict(&text), Ok(()), "{unit}");
    }
    let list = format!("R.attr.x in [{}]", vec!["1.5"; 1000].join(","));
    assert_eq!(verdict(&list), Ok(()));
}
