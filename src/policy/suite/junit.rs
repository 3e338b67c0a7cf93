//! Results as a JUnit report, which most build servers read.

use std::fmt::Write;

use super::{
    outcome::{CaseResult, Counts, Outcome, Results, SuiteResult},
    render::difference,
};

/// One `testsuite` a suite, one `testcase` a case.
pub fn junit(results: &Results) -> String {
    let Counts { passed, failed, skipped, errored } = results.counts();
    let mut page = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cogward\" tests=\"{}\" failures=\"{failed}\" errors=\"{errored}\" skipped=\"{skipped}\">\n",
        passed + failed + skipped + errored
    );
    for suite in &results.suites {
        add_suite(&mut page, suite);
    }
    page.push_str("</testsuites>\n");
    page
}

fn add_suite(page: &mut String, suite: &SuiteResult) {
    let Counts { passed, failed, skipped, errored } = suite.counts();
    // A suite that is skipped as a whole has no cases; it shows as one.
    let more = usize::from(suite.skipped.is_some());
    let _ = writeln!(
        page,
        "  <testsuite name=\"{}\" file=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"{errored}\" skipped=\"{}\">",
        escape(&suite.name),
        escape(&suite.file),
        passed + failed + skipped + errored + more,
        skipped + more,
    );
    if let Some(reason) = &suite.skipped {
        let name = escape(&suite.name);
        let _ = writeln!(
            page,
            "    <testcase name=\"{name}\" classname=\"{name}\"><skipped message=\"{}\"/></testcase>",
            escape(reason)
        );
    }
    for case in &suite.cases {
        add_case(page, suite, case);
    }
    page.push_str("  </testsuite>\n");
}

fn add_case(page: &mut String, suite: &SuiteResult, case: &CaseResult) {
    let _ = write!(
        page,
        "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\"",
        escape(&case.name.parts().join(" / ")),
        escape(&suite.name),
        escape(&suite.file)
    );
    if let Some(at) = case.position {
        let _ = write!(page, " line=\"{}\"", at.line);
    }
    let end = match &case.outcome {
        Outcome::Passed => None,
        Outcome::Failed(differences) => {
            let told: Vec<_> = differences.iter().map(difference).collect();
            Some(format!("<failure message=\"{}\"/>", escape(&told.join("; "))))
        }
        Outcome::Skipped(reason) => Some(format!("<skipped message=\"{}\"/>", escape(reason))),
        Outcome::Errored(reason) => Some(format!("<error message=\"{}\"/>", escape(reason))),
    };
    match end {
        None => page.push_str("/>\n"),
        Some(end) => {
            let _ = writeln!(page, ">{end}</testcase>");
        }
    }
}

/// Text for an attribute. Characters that XML 1.0 cannot hold become `U+FFFD`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(letter));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
