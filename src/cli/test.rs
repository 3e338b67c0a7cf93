//! `cogward test`: the tests beside the policies, against what would serve.

use std::{fs, path::PathBuf};

use clap::Args;

use super::{ExitStatus, Output, complain, say};
use crate::{
    diagnostic::Report,
    policy::suite::{self, Results},
    server::{self, Place},
};

/// Which tests to run, and how to tell what they came to.
#[derive(Debug, Args)]
pub(super) struct TestArguments {
    /// Folder of policies and tests, such as a Cerbos policy repository; default settings count for it
    #[arg(value_name = "FOLDER", conflicts_with = "config")]
    folder: Option<PathBuf>,
    /// Settings file; it names the policies
    #[arg(long, value_name = "FILE", default_value = "config/cogward.yaml")]
    config: PathBuf,
    /// Run only cases whose name, as it is printed, has this text in it
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write a JUnit report to that file, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How to print the results
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(arguments: &TestArguments) -> ExitStatus {
    let place = arguments.folder.as_deref().map_or(Place::Settings(&arguments.config), Place::Folder);
    let (results, warnings) = match server::test(place, arguments.filter.as_deref()) {
        Ok(tested) => tested,
        Err(report) => {
            match arguments.output {
                Output::Text => complain(&report.to_string()),
                Output::Json => say(&told(&Results::default(), false, &report)),
            }
            return ExitStatus::DoesNotCompile;
        }
    };
    match arguments.output {
        Output::Text => {
            if !warnings.is_empty() {
                complain(&format!("{warnings}\n"));
            }
            say(&suite::text(&results));
        }
        Output::Json => say(&told(&results, results.is_good(), &warnings)),
    }
    if let Some(path) = &arguments.junit
        && let Err(error) = fs::write(path, suite::junit(&results))
    {
        complain(&format!("error: {} cannot be written: {error}", path.display()));
        return ExitStatus::CouldNotRun;
    }
    if results.is_good() { ExitStatus::Good } else { ExitStatus::TestsFailed }
}

fn told(results: &Results, passed: bool, report: &Report) -> String {
    let mut object = suite::json(results);
    if let Some(members) = object.as_object_mut() {
        members.insert("passed".to_owned(), passed.into());
        members.insert("diagnostics".to_owned(), serde_json::json!(report));
    }
    object.to_string()
}
