//! Tools that people use, run with a limit so that one that hangs fails.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::support::Ran;

/// Runs a tool to its end. Its words are the C locale's, so that tests can compare them.
pub(crate) fn tool<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Ran {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120", program]).args(arguments).env("LC_ALL", "C").env("TZ", "UTC");
    Ran::of(command.output().unwrap())
}

/// The same with `folder` as the working folder.
pub(crate) fn tool_in(folder: &Path, program: &str, arguments: &[&str]) -> Ran {
    let place = ["-C".as_ref(), folder.as_os_str(), program.as_ref()].into_iter();
    tool("env", place.chain(arguments.iter().map(AsRef::as_ref)))
}

/// What a tool prints when it succeeds.
#[track_caller]
pub(crate) fn printed<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let ran = tool(program, arguments);
    ran.succeeded();
    ran.out
}

/// What a line of shell prints when it succeeds, with `folder` as the working folder.
#[track_caller]
pub(crate) fn shell(folder: &Path, line: &str) -> String {
    let ran = tool_in(folder, "sh", &["-euc", line]);
    ran.succeeded();
    ran.out
}

/// The value of an extended attribute, if there is one.
pub(crate) fn attribute(path: &Path, name: &str) -> Option<String> {
    let ran = tool("getfattr", ["--only-values".as_ref(), "-n".as_ref(), name.as_ref(), path.as_os_str()]);
    (ran.code == Some(0)).then_some(ran.out)
}
