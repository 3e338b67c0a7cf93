//! The command line.
//!
//! The only room that writes to standard output and standard error by itself, and the only one that turns an outcome into an exit status.

mod demo;
mod healthcheck;
mod serve;
mod test;
mod token;
mod validate;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// How a command ended. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done.
    Good,
    /// It could not run: an address is taken, a file cannot be read.
    CouldNotRun,
    /// A policy test failed.
    TestsFailed,
    /// Settings or policies do not compile.
    DoesNotCompile,
    /// The arguments make no sense.
    Usage,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Good => Self::SUCCESS,
            ExitStatus::CouldNotRun => Self::from(1),
            ExitStatus::TestsFailed => Self::from(2),
            ExitStatus::DoesNotCompile => Self::from(3),
            ExitStatus::Usage => Self::from(64),
        }
    }
}

/// Reverse-proxy authorization gateway for AWS Cognito.
#[derive(Debug, Parser)]
#[command(name = "cogward", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::ServeArguments),
    /// Run the gateway with an embedded issuer and a sample upstream: nothing to configure
    Demo(demo::DemoArguments),
    /// Compile settings and policies, and tell every problem
    Validate(validate::ValidateArguments),
    /// Run the policy tests (`*_test.yaml`) beside the policies: Cerbos suites and HTTP cases
    Test(test::TestArguments),
    /// Mint a token with the demo's key, for local tests
    Token(token::TokenArguments),
    /// Ask a running gateway whether it is ready; exit 0 or 1
    Healthcheck(healthcheck::HealthcheckArguments),
}

/// Where the settings are.
#[derive(Clone, Debug, Args)]
struct ConfigArguments {
    /// Settings file
    #[arg(long, value_name = "FILE", default_value = "config/cogward.yaml")]
    config: PathBuf,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Runs the command that the arguments name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_help = !error.use_stderr();
            // Nothing is left to be done when even this cannot be printed.
            let _ = error.print();
            return if is_help { ExitStatus::Good } else { ExitStatus::Usage };
        }
    };
    match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments),
    }
}

/// Writes a line to standard output. A reader that has gone away is not an error of ours.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes a line to standard error.
fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests;
