//! Parses the arguments, runs the command, exits with its status.

use std::process::ExitCode;

fn main() -> ExitCode {
    cogward::cli::run(std::env::args_os()).into()
}
