//! What is wrong with a file, told to the person who wrote it.
//!
//! A [`Report`] collects every problem of all files, never only the first. Text and JSON are two renderings of the same values.
//! Nothing here reaches a client of the gateway.

use std::fmt;

use serde::Serialize;

/// Does a finding stop the files from being used?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The files do not compile.
    Error,
    /// The files compile, and hold something that their author should look at. Never changes an exit code.
    Warning,
}

/// One finding about one place in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable identifier, such as `P014`. Listed in `docs/diagnostics.md`.
    pub code: &'static str,
    /// The file as the user named it.
    pub file: String,
    /// Line of the finding, from 1. Absent when the finding is about the file as a whole.
    pub line: Option<usize>,
    /// Column of the finding, from 1.
    pub column: Option<usize>,
    /// Where in the document, such as `routes[0].rules[1].owner`. Empty for the whole document.
    pub pointer: String,
    /// What is wrong: lower case, no full stop, input in backticks.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error about a file as a whole.
    pub fn of_file(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            file: file.into(),
            line: None,
            column: None,
            pointer: String::new(),
            message: message.into(),
            help: None,
        }
    }

    /// The same finding with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}[{}]: {}", self.code, self.message)?;
        write!(f, "  --> {}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}:{}", self.column.unwrap_or(1))?;
        }
        if !self.pointer.is_empty() {
            write!(f, "  ({})", self.pointer)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Every finding about a set of files, in the order in which they were met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Report {
    findings: Vec<Diagnostic>,
}

impl Report {
    /// Findings past this number are dropped: a file that is wrong everywhere is still one mistake.
    pub const MOST: usize = 200;

    /// Adds one finding. An error takes the place of a warning where there is no more room.
    pub fn push(&mut self, finding: Diagnostic) {
        if !self.has_room(finding.severity) {
            return;
        }
        // SECURITY: an error that was dropped would let a file be used without the part that is wrong, such as a deny rule:
        // `warnings_never_crowd_out_an_error`.
        if self.findings.len() >= Self::MOST
            && let Some(place) = self.findings.iter().rposition(|other| other.severity == Severity::Warning)
        {
            self.findings.remove(place);
        }
        self.findings.push(finding);
    }

    /// Would another finding of that severity be kept?
    pub fn has_room(&self, severity: Severity) -> bool {
        let full = self.findings.len() >= Self::MOST;
        let warned = || self.findings.iter().any(|other| other.severity == Severity::Warning);
        !full || (severity == Severity::Error && warned())
    }

    /// Adds all findings of another report.
    pub fn append(&mut self, other: Self) {
        for finding in other.findings {
            self.push(finding);
        }
    }

    /// Adds those findings of another report that are not here yet: of two readers that met the same.
    pub fn append_new(&mut self, other: Self) {
        for finding in other.findings {
            if !self.findings.contains(&finding) {
                self.push(finding);
            }
        }
    }

    /// True when some finding is an error: the files must not be used.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// True when nothing was found.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// The findings, errors and warnings alike.
    pub fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }
}

impl FromIterator<Diagnostic> for Report {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(findings: I) -> Self {
        let mut report = Self::default();
        for finding in findings {
            report.push(finding);
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_never_crowd_out_an_error() {
        let mut warning = Diagnostic::of_file("P101", "a.yaml", "a warning");
        warning.severity = Severity::Warning;
        let mut report: Report = std::iter::repeat_n(warning, 2 * Report::MOST).collect();
        assert!(!report.has_errors());
        report.push(Diagnostic::of_file("P001", "b.yaml", "an error"));
        assert!(report.has_errors());
        assert_eq!(report.findings().len(), Report::MOST);
    }

    #[test]
    fn a_diagnostic_names_the_place_and_the_way_out() {
        let mut finding = Diagnostic::of_file("P014", "policies/users.yaml", "rule `self-reads` compares `path.user`")
            .with_help("captures of `/users/{user_id}` are: user_id");
        (finding.line, finding.column) = (Some(12), Some(18));
        finding.pointer = "routes[0].rules[1].owner".into();
        expect_test::expect![[r#"
            error[P014]: rule `self-reads` compares `path.user`
              --> policies/users.yaml:12:18  (routes[0].rules[1].owner)
              help: captures of `/users/{user_id}` are: user_id"#]]
        .assert_eq(&finding.to_string());
    }
}
