//! Verdicts of the checker, each of them that of Cerbos 0.51.0.

use super::*;
use crate::policy::condition::parse;

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

#[test]
fn zz_local_differential() {
    let Ok(path) = std::env::var("LAB") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let (mut n, mut bad) = (0, 0);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (wanted, text) = line.split_once(' ').unwrap();
        let environment = Environment::cerbos();
        let Ok((expression, _)) = parse::parse(text.trim_start(), &environment) else {
            if wanted == "ok" {
                println!("PARSE {text}");
            }
            continue;
        };
        n += 1;
        let found = check(&expression, &environment);
        if found.is_ok() != (wanted == "ok") {
            bad += 1;
            println!("BAD {line}: {found:?}");
        }
    }
    println!("DONE {n} {bad}");
}
