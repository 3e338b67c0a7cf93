//! Results for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::outcome::{CaseName, CaseResult, Counts, Difference, Outcome, Results, SuiteResult};

/// One line a case, then what failed, then the sum.
pub fn text(results: &Results) -> String {
    let mut page = String::new();
    for suite in &results.suites {
        if let Some(reason) = &suite.skipped {
            let _ = writeln!(page, "suite {} ... skipped{}", plain(&suite.name), because(reason));
        }
        for case in &suite.cases {
            let (name, end) = (plain(&suite.full_name(case)), end(&case.outcome));
            let _ = writeln!(page, "test {name} ... {end}");
        }
    }
    if !results.is_good() {
        page.push_str("\nfailures:\n");
    }
    for (suite, case) in bad(results) {
        let _ = writeln!(page, "\n---- {} ----", plain(&suite.full_name(case)));
        match &case.outcome {
            Outcome::Passed | Outcome::Skipped(_) => {}
            Outcome::Failed(differences) => {
                for told in differences {
                    let _ = writeln!(page, "  {}", difference(told));
                }
            }
            Outcome::Errored(reason) => {
                let _ = writeln!(page, "  {}", plain(reason));
            }
        }
        let _ = writeln!(page, "  --> {}", place(suite, case));
    }
    if !page.is_empty() {
        page.push('\n');
    }
    page + &sum(results)
}

fn sum(results: &Results) -> String {
    let Counts { passed, failed, skipped, errored } = results.counts();
    let verdict = if results.is_good() { "ok" } else { "FAILED" };
    let filtered = results.filtered;
    let cases = passed + failed + skipped + errored;
    let mut line = format!("test result: {verdict}. {cases} cases: {passed} passed, {failed} failed");
    for (count, word) in [(errored, "could not be run"), (skipped, "skipped"), (filtered, "filtered out")] {
        if count > 0 {
            let _ = write!(line, ", {count} {word}");
        }
    }
    let suites = results.suites.iter().filter(|suite| suite.skipped.is_some()).count();
    if suites > 0 {
        let _ = write!(line, "; {suites} suites skipped");
    }
    line
}

fn bad(results: &Results) -> impl Iterator<Item = (&SuiteResult, &CaseResult)> {
    let all = results.suites.iter().flat_map(|suite| suite.cases.iter().map(move |case| (suite, case)));
    all.filter(|(_, case)| matches!(case.outcome, Outcome::Failed(_) | Outcome::Errored(_)))
}

fn end(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "ok".to_owned(),
        Outcome::Failed(_) => "FAILED".to_owned(),
        Outcome::Skipped(reason) => format!("skipped{}", because(reason)),
        Outcome::Errored(_) => "ERROR".to_owned(),
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", plain(reason)) }
}

fn place(suite: &SuiteResult, case: &CaseResult) -> String {
    match case.position {
        Some(at) => format!("{}:{}:{}", suite.file, at.line, at.column),
        None => suite.file.clone(),
    }
}

/// One difference in one line.
pub(super) fn difference(told: &Difference) -> String {
    plain(&format!("{}: expected {}, got {}", told.what, told.expected, told.got))
}

/// A text that a terminal shows as it is: control characters are escaped.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    shown
}

/// The same for programs.
pub fn json(results: &Results) -> Value {
    let Counts { passed, failed, skipped, errored } = results.counts();
    json!({
        "passed": results.is_good(),
        "summary": {
            "cases": passed + failed + skipped + errored, "passed": passed, "failed": failed, "errored": errored, "skipped": skipped,
            "filtered": results.filtered,
        },
        "suites": results.suites.iter().map(suite_json).collect::<Vec<_>>(),
    })
}

fn suite_json(suite: &SuiteResult) -> Value {
    let mut object = json!({
        "file": suite.file,
        "name": suite.name,
        "cases": suite.cases.iter().map(case_json).collect::<Vec<_>>(),
    });
    if let (Some(reason), Some(members)) = (&suite.skipped, object.as_object_mut()) {
        members.insert("skipped".to_owned(), true.into());
        members.insert("reason".to_owned(), reason.to_string().into());
    }
    object
}

fn case_json(case: &CaseResult) -> Value {
    let mut object = match &case.name {
        CaseName::Check { test, principal, resource, action } => {
            json!({ "test": test, "principal": principal, "resource": resource, "action": action })
        }
        CaseName::Request { case, line } => json!({ "test": case, "request": line }),
    };
    let more = match &case.outcome {
        Outcome::Passed => json!({ "result": "passed" }),
        Outcome::Failed(differences) => {
            let told = |one: &Difference| json!({ "what": one.what, "expected": one.expected, "got": one.got });
            json!({ "result": "failed", "differences": differences.iter().map(told).collect::<Vec<_>>() })
        }
        Outcome::Skipped(reason) => json!({ "result": "skipped", "reason": reason }),
        Outcome::Errored(reason) => json!({ "result": "errored", "reason": reason }),
    };
    let place = case.position.map(|at| json!({ "line": at.line, "column": at.column }));
    if let Some(members) = object.as_object_mut() {
        for more in [Some(more), place].into_iter().flatten() {
            members.extend(more.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    object
}
