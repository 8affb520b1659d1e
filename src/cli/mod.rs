//! The command line: one file for each subcommand.

use std::process::ExitCode;

/// Runs the command that the arguments name, and answers its exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
