//! The `glancefs` command: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    glancefs::cli::main()
}
