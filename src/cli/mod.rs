//! The command line: one file for each subcommand.

pub mod cache;
pub mod completions;
pub mod connect;
pub mod demo;
pub mod direct;
pub mod dispatch;
pub mod doctor;
pub mod explain;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod get;
pub mod list;
pub mod man;
pub mod mount;
mod mounts;
pub mod output;
mod privileges;
mod progress;
pub mod put;
mod refusal;
pub mod serve;
pub mod status;
pub mod umount;
pub mod uploads;
mod words;
mod writes;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::dispatch::{Arranged, Line};
use self::output::{Code, Failure};
use crate::config::mount_options::{self, LongOption};
use crate::telemetry::{self, Detail, Sink};

/// Mount an OpenStack Image service (Glance) as a folder.
#[derive(Debug, Parser)]
#[command(name = "glancefs", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Mount(Box<mount::Arguments>),
    Demo(demo::Arguments),
    Serve(serve::Serve),
    Doctor(Box<doctor::Arguments>),
    Umount(umount::Arguments),
    Status(status::Arguments),
    Cache(Box<cache::Arguments>),
    Get(Box<get::Arguments>),
    Put(Box<put::Arguments>),
    #[command(name = "ls")]
    List(Box<list::Arguments>),
    Uploads(uploads::Arguments),
    Explain(explain::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// All that the command line takes.
fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the arguments name, and answers its exit code.
pub fn main() -> ExitCode {
    output::end_on_closed_pipe();
    match arranged(std::env::args_os().collect()) {
        Ok(Arranged::Command(line)) => parse_and_run(&line),
        Ok(Arranged::MountFuse(arguments)) => told(&privileges::hand_over(&arguments)),
        Err(failure) => told(&failure),
    }
}

fn arranged(arguments: Vec<OsString>) -> Result<Arranged, Failure> {
    let command = command();
    let subcommands: Vec<String> = command.get_subcommands().map(|known| known.get_name().to_owned()).collect();
    dispatch::arrange(arguments, &subcommands, &long_options(&command))
}

/// The long options of `mount`, each of which may be given behind `-o`.
fn long_options(command: &clap::Command) -> Vec<LongOption> {
    let mount = command.find_subcommand("mount").into_iter();
    let option = |argument: &clap::Arg| {
        let takes_value = argument.get_action().takes_values();
        let is_path =
            argument.get_value_names().is_some_and(|names| names.iter().any(|name| name == "FILE" || name == "DIR"));
        let name = argument.get_long().filter(|name| *name != mount_options::PASSED_OVER);
        name.map(|name| LongOption { name: name.to_owned(), takes_value, is_path })
    };
    mount.flat_map(clap::Command::get_arguments).filter_map(option).collect()
}

fn parse_and_run(line: &Line) -> ExitCode {
    match Cli::try_parse_from(&line.words) {
        Ok(cli) => run(cli.command).map_or_else(|failure| told(&failure), |()| ExitCode::SUCCESS),
        Err(words) => refused(&words, &line.options),
    }
}

fn refused(words: &clap::Error, options: &[String]) -> ExitCode {
    if let Some(failure) = refusal::of_options(words, options) {
        return told(&failure);
    }
    match words.print() {
        // clap's own code for wrong usage, 2, means "the system failed" to mount(8).
        _ if words.use_stderr() => Code::Usage.into(),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&output::unwritten(&error)),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Mount(arguments) => mount::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(arguments) => {
            output::survive_closed_pipe();
            telemetry::start(Sink::Stderr, Detail::Problems);
            arguments.run().map_err(|error| Failure::new(Code::Usage, format!("{error:#}")))
        }
        Command::Umount(arguments) => umount::run(&arguments),
        Command::Get(arguments) => get::run(&arguments),
        Command::Put(arguments) => put::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Cache(arguments) => cache::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Uploads(arguments) => uploads::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, self::command()),
        Command::Man(arguments) => man::run(&arguments, &self::command()),
    }
}

fn told(failure: &Failure) -> ExitCode {
    if !failure.sentence.is_empty() {
        output::problem(failure);
    }
    ExitCode::from(failure.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_all_commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
