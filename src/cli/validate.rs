//! `cogward validate`: the very compilation that `serve` does, and everything it has to say.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{ExitStatus, Output, say};
use crate::{
    diagnostic::{Report, Severity},
    server,
};

/// What to compile.
#[derive(Debug, Args)]
pub(super) struct ValidateArguments {
    /// Settings file; it names the policies
    #[arg(long, value_name = "FILE", default_value = "config/cogward.yaml")]
    config: PathBuf,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(arguments: &ValidateArguments) -> ExitStatus {
    let (files, report) = server::compile(&arguments.config);
    let is_good = files.is_some();
    match arguments.output {
        Output::Text => say(&text(&report, is_good)),
        Output::Json => say(&json!({ "valid": is_good, "diagnostics": report }).to_string()),
    }
    if is_good { ExitStatus::Good } else { ExitStatus::DoesNotCompile }
}

fn text(report: &Report, is_good: bool) -> String {
    let count = |severity| report.findings().iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let verdict = if is_good { "valid" } else { "not valid" };
    let summary = format!("{verdict}: {errors} errors, {warnings} warnings");
    if report.is_empty() { summary } else { format!("{report}\n\n{summary}") }
}
