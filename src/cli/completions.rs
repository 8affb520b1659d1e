//! `glancefs completions`: what a shell needs to complete our command lines. Packages install it.

use clap_complete::Shell;

use super::output::{self, Failure};

/// Print completions for a shell
///
/// Packages install them. By hand, for bash: glancefs completions bash > ~/.local/share/bash-completion/completions/glancefs
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions of `command`.
pub fn run(arguments: &Arguments, mut command: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "glancefs", &mut script);
    output::all(&script)
}
