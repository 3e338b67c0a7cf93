//! `cogward serve`.

use std::path::Path;

use super::{ExitStatus, complain};
use crate::server::{Server, ServerError};

pub(super) fn run(config: &Path) -> ExitStatus {
    match Server::prepare(config).and_then(|server| server.run(|_| ())) {
        Ok(()) => ExitStatus::Good,
        Err(error) => failed(&error),
    }
}

/// Tells why the gateway did not run.
pub(super) fn failed(error: &ServerError) -> ExitStatus {
    match error {
        ServerError::DoesNotCompile(report) => {
            complain(&report.to_string());
            ExitStatus::DoesNotCompile
        }
        ServerError::NoCertificate(report) => {
            complain(&report.to_string());
            ExitStatus::CouldNotRun
        }
        ServerError::CouldNotRun(reason) => {
            complain(&format!("error: {reason}"));
            ExitStatus::CouldNotRun
        }
    }
}
