//! `cogward healthcheck`: for containers, whose images have no curl.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use super::{ExitStatus, complain};
use crate::{admin, server};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Whom to ask.
#[derive(Debug, Args)]
pub(super) struct HealthcheckArguments {
    /// Settings file that names the admin address
    #[arg(long, value_name = "FILE", default_value = "config/cogward.yaml")]
    config: PathBuf,
    /// Admin address to ask instead of the one in the settings
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
}

pub(super) fn run(arguments: &HealthcheckArguments) -> ExitStatus {
    let address = match arguments.admin {
        Some(address) => address,
        None => match server::read_settings(&arguments.config) {
            Ok(settings) => settings.admin,
            Err(report) => {
                complain(&report.to_string());
                return ExitStatus::CouldNotRun;
            }
        },
    };
    if admin::healthcheck(address, TIMEOUT) {
        return ExitStatus::Good;
    }
    complain(&format!("not ready: {address}"));
    ExitStatus::CouldNotRun
}
