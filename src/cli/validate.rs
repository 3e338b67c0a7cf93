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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn codes(folder: &str) -> Vec<&'static str> {
        let here = tempfile::tempdir().unwrap();
        fs::create_dir(here.path().join("empty")).unwrap();
        let config = here.path().join("cogward.yaml");
        let settings = "identity: { providers: [{ id: main, cognito: { user_pool_id: eu-west-1_A, client_ids: [web] } }] }\nupstreams: [{ id: app, endpoints: ['http://127.0.0.1:9000'] }]\n";
        fs::write(&config, format!("{settings}policies: {{ path: {folder} }}\n")).unwrap();
        let (compiled, report) = server::compile(&config);
        assert!(compiled.is_none(), "{folder}");
        report.findings().iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_folder_that_is_missing_is_not_told_to_be_empty_as_well() {
        assert_eq!(codes("missing"), ["F005"]);
        assert_eq!(codes("empty"), ["P002"]);
    }
}
