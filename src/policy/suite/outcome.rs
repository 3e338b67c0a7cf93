//! What tests came to.

use crate::yaml::Position;

/// What all suites came to.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The suites, in the order of their files.
    pub suites: Vec<SuiteResult>,
    /// Cases that the filter left out.
    pub filtered: usize,
}

/// What one suite came to.
#[derive(Clone, Debug)]
pub struct SuiteResult {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: Box<str>,
    /// The reason, where all of it is skipped.
    pub skipped: Option<Box<str>>,
    /// Its cases, in their order.
    pub cases: Vec<CaseResult>,
}

/// What one case came to.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// Which one.
    pub name: CaseName,
    /// How it ended.
    pub outcome: Outcome,
    /// Where it stands; only told of what failed.
    pub position: Option<Position>,
}

/// The name of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseName {
    /// Of a Cerbos suite.
    Check {
        /// The test.
        test: Box<str>,
        /// The principal.
        principal: Box<str>,
        /// The resource.
        resource: Box<str>,
        /// The action.
        action: Box<str>,
    },
    /// An HTTP case.
    Request {
        /// Its name.
        case: Box<str>,
        /// Method and target.
        line: Box<str>,
    },
}

impl CaseName {
    /// The parts of the name, from the general to the special.
    pub fn parts(&self) -> Vec<&str> {
        match self {
            Self::Check { test, principal, resource, action } => vec![test, principal, resource, action],
            Self::Request { case, line } => vec![case, line],
        }
    }
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Otherwise.
    Failed(Vec<Difference>),
    /// It was not asked, and says why, perhaps.
    Skipped(Box<str>),
    /// It could not be asked.
    Errored(String),
}

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What: the answer, or an output by its source.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub got: String,
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// As expected.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
    /// Not asked.
    pub skipped: usize,
    /// Could not be asked.
    pub errored: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
            Outcome::Errored(_) => self.errored += 1,
        }
    }
}

impl SuiteResult {
    /// How its cases ended.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.cases.iter().for_each(|case| counts.add(&case.outcome));
        counts
    }

    /// The whole name of one of its cases.
    pub fn full_name(&self, case: &CaseResult) -> String {
        full_name(&self.name, &case.name)
    }
}

/// The names of suite and case, as they are printed and filtered.
pub(super) fn full_name(suite: &str, case: &CaseName) -> String {
    let mut name = suite.to_owned();
    for part in case.parts() {
        name.push_str(" / ");
        name.push_str(part);
    }
    name
}

impl Results {
    /// How all cases ended.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        let cases = self.suites.iter().flat_map(|suite| &suite.cases);
        cases.for_each(|case| counts.add(&case.outcome));
        counts
    }

    /// Did every case that was asked end as expected?
    pub fn is_good(&self) -> bool {
        let Counts { failed, errored, passed: _, skipped: _ } = self.counts();
        failed == 0 && errored == 0
    }
}
