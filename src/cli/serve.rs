//! `cogward serve`.

use clap::Args;

use super::{ConfigArguments, ExitStatus, complain};
use crate::{
    server::{Server, ServerError, Start},
    units::Span,
};

/// The arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Take the sockets over from the running gateway, which hands them over on SIGQUIT
    #[arg(long)]
    upgrade: bool,
    /// How long to wait for that
    #[arg(long, value_name = "DURATION", default_value = "60s", requires = "upgrade")]
    wait: Span,
}

pub(super) fn run(arguments: &ServeArguments) -> ExitStatus {
    let start = match arguments.upgrade {
        true => Start::Upgrade { wait: arguments.wait.duration() },
        false => Start::Fresh,
    };
    match Server::prepare(&arguments.config.config).and_then(|server| server.run(start, |_| ())) {
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
