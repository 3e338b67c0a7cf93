//! Policy tests: Cerbos test suites, unmodified, and cases of HTTP requests.
//!
//! Text in, results out. Reads suites and the fixtures beside them, asks by the functions that it is given, and compares. Holds no engine and no
//! line of its own: what is tested is what serves. Bounded: no folder asks more than [`MOST_CASES`] questions.

mod checks;
mod codes;
mod fixtures;
mod junit;
mod moment;
mod outcome;
mod read;
mod render;
mod requests;
mod run;

pub use checks::Overrides;
pub use codes::CODES;
pub use fixtures::is_fixture_file;
pub use junit::junit;
pub use outcome::{CaseName, CaseResult, Counts, Difference, Outcome, Results, SuiteResult};
pub use render::{json, text};
pub use requests::{Answer, CaseCredential, RequestCase, Vocabulary};

use std::{collections::HashMap, sync::Arc};

use crate::{
    diagnostic::{Diagnostic, Report},
    policy::cerbos::{CheckInput, CheckOutput, Clock},
    yaml::{self, Cursor, Node, Pointer, Position, Source, SourceFile},
};
use checks::{CheckSuite, Room};
use fixtures::Fixtures;
use requests::RequestSuite;
use run::Engines;

/// The most cases of all suites together: a case is one action of one principal on one resource, or one request.
pub const MOST_CASES: usize = 20_000;

/// Bytes that are read at most to find the places of failures; the rest is told by name alone.
const MOST_READ: usize = 4 * 1024 * 1024;

/// The suites of one folder, and the fixtures in `testdata/` beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestFolder {
    /// The files named `*_test.yaml` and the like.
    pub suites: Vec<SourceFile>,
    /// The files that [`is_fixture_file`] knows.
    pub fixtures: Vec<SourceFile>,
}

impl TestFolder {
    /// All its files.
    pub fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.suites.iter().chain(&self.fixtures)
    }
}

/// Answers a question as at a moment; `None` where the test names none.
///
/// # Errors
/// Why there is no answer.
pub type Engine = Arc<dyn Fn(&CheckInput<'_>, Option<Clock>) -> Result<CheckOutput, String>>;

/// How tests are asked.
pub struct Asking<'a> {
    /// The engine of the policies under such overrides, or why there is none.
    pub engine: &'a dyn Fn(&Overrides) -> Result<Engine, String>,
    /// The line.
    pub request: &'a dyn Fn(&RequestCase) -> Answer,
    /// Only cases whose whole name has this text in it.
    pub filter: Option<&'a str>,
}

impl std::fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("filter", &self.filter).finish_non_exhaustive()
    }
}

/// Suites that were read, all of them.
#[derive(Debug)]
pub struct Suites<'a> {
    suites: Vec<(&'a SourceFile, Body)>,
}

#[derive(Debug)]
enum Body {
    Checks(CheckSuite),
    Requests(RequestSuite),
}

/// The `apiVersion` of HTTP cases. A Cerbos suite has none.
const NATIVE: &str = "cogward/v1";

impl<'a> Suites<'a> {
    /// Reads all suites, or tells everything that is wrong with them and their fixtures.
    ///
    /// # Errors
    /// The report, with at least one error.
    pub fn read(folders: &'a [TestFolder], known: Vocabulary<'_>) -> Result<Self, Report> {
        let mut reader = Reader { known, room: Room::default(), report: Report::default() };
        let mut suites = Vec::new();
        for folder in folders.iter().filter(|folder| !folder.suites.is_empty()) {
            let mut fixtures = Fixtures::default();
            for file in &folder.fixtures {
                reader.file(file, |top, _| fixtures.read_file(&top));
            }
            for file in &folder.suites {
                let body = reader.file(file, |top, reader| reader.suite(&top, fixtures.clone()));
                suites.extend(body.map(|body| (file, body)));
            }
        }
        if reader.report.has_errors() { Err(reader.report) } else { Ok(Self { suites }) }
    }

    /// Is there nothing to be asked?
    pub fn is_empty(&self) -> bool {
        self.suites.is_empty()
    }

    /// Asks every case.
    pub fn run(&self, asking: &Asking<'_>) -> Results {
        let mut results = Results::default();
        let mut engines = Engines::new(asking);
        let mut places = Places::default();
        for (file, body) in &self.suites {
            let mut result =
                SuiteResult { file: file.name.clone(), name: name_of(file, body), skipped: None, cases: Vec::new() };
            match body {
                Body::Checks(suite) => {
                    result.skipped.clone_from(&suite.skip);
                    for check in &suite.checks {
                        let found = run::ask(suite, check, &mut engines, &mut results.filtered);
                        let found = found.into_iter().map(run::result);
                        result.cases.extend(found.map(|case| places.put(case, file, &check.test.at)));
                    }
                }
                Body::Requests(suite) => {
                    for case in &suite.cases {
                        match run::request(&result.name, case, asking) {
                            Some(found) => result.cases.push(places.put(run::result(found), file, &case.at)),
                            None => results.filtered = results.filtered.saturating_add(1),
                        }
                    }
                }
            }
            results.suites.push(result);
        }
        results
    }
}

/// The name of a suite; that of its file, where it has none.
fn name_of(file: &SourceFile, body: &Body) -> Box<str> {
    let of_file = || file.name.rsplit('/').next().unwrap_or(&file.name).into();
    match body {
        Body::Checks(suite) => suite.name.clone(),
        Body::Requests(suite) => suite.name.clone().unwrap_or_else(of_file),
    }
}

struct Reader<'k> {
    known: Vocabulary<'k>,
    room: Room,
    report: Report,
}

impl Reader<'_> {
    /// Reads one file; `None` when anything is wrong with it.
    fn file<T>(&mut self, file: &SourceFile, read: impl FnOnce(Cursor<'_>, &mut Self) -> Option<T>) -> Option<T> {
        let node = match yaml::parse(&file.name, &file.text) {
            Ok(node) => node.merged(),
            Err(finding) => {
                self.report.push(finding);
                return None;
            }
        };
        let source = Source::new(&file.name, &file.text);
        let found = read(Cursor::top(&source, &node), self);
        let findings = source.into_report();
        let is_good = !findings.has_errors();
        self.report.append(findings);
        if found.is_none() && is_good && !self.report.has_errors() {
            self.report.push(Diagnostic::of_file(codes::NUMBER, &file.name, "the file cannot be read as tests"));
        }
        found.filter(|_| is_good)
    }

    fn suite(&mut self, top: &Cursor<'_>, fixtures: Fixtures) -> Option<Body> {
        let mut map = top.map()?;
        if map.here().node().get("apiVersion").and_then(Node::as_text) == Some(NATIVE) {
            map.take("apiVersion");
            return requests::read(map, self.known, &mut self.room).map(Body::Requests);
        }
        checks::read(map, fixtures, &mut self.room).map(Body::Checks)
    }
}

/// Finds the places of failures. A place costs a reading of the text, so their number is bounded.
#[derive(Default)]
struct Places<'a> {
    read: usize,
    known: HashMap<(&'a str, String), Option<Position>>,
}

impl<'a> Places<'a> {
    fn put(&mut self, mut case: CaseResult, file: &'a SourceFile, at: &Pointer) -> CaseResult {
        match case.outcome {
            Outcome::Passed | Outcome::Skipped(_) => {}
            Outcome::Failed(_) | Outcome::Errored(_) => {
                let key = (file.name.as_str(), at.to_string());
                case.position = *self.known.entry(key).or_insert_with(|| {
                    let found = if self.read < MOST_READ { at.locate(&file.text) } else { None };
                    self.read = self.read.saturating_add(file.text.len());
                    found
                });
            }
        }
        case
    }
}

impl Results {
    /// What went wrong, as errors: for whoever lets nothing serve that fails its tests.
    pub fn findings(&self) -> Report {
        let mut report = Report::default();
        for suite in &self.suites {
            for case in &suite.cases {
                let name = render::plain(&suite.full_name(case));
                let (code, message) = match &case.outcome {
                    Outcome::Passed | Outcome::Skipped(_) => continue,
                    Outcome::Failed(differences) => {
                        let told: Vec<_> = differences.iter().map(render::difference).collect();
                        (codes::FAILED, format!("the test `{name}` failed: {}", told.join("; ")))
                    }
                    Outcome::Errored(reason) => {
                        (codes::ERRED, format!("the test `{name}` could not be run: {}", render::plain(reason)))
                    }
                };
                let mut finding = Diagnostic::of_file(code, &suite.file, message)
                    .with_help("correct the policy or the test; `cogward test` runs the same tests");
                (finding.line, finding.column) = case.position.map(|at| (at.line, at.column)).unzip();
                report.push(finding);
            }
        }
        report
    }
}

#[cfg(test)]
mod tests;
