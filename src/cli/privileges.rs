//! Mounting for another user, or for a program without privileges, is what mount.fuse3 does: it drops what is not needed and
//! starts this program again.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::output::{Code, Failure};

/// The shell's path, where mount(8) and systemd give none. mount.fuse3 finds this program by its name there.
pub(super) const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes mount.fuse3 with these arguments; what is answered says why not.
pub(super) fn hand_over(arguments: &[OsString]) -> Failure {
    let usual = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    let path = path(std::env::current_exe().ok(), &usual).unwrap_or(usual);
    let error = Command::new("mount.fuse3").args(arguments).env("PATH", path).exec();
    let cause = match error.kind() {
        ErrorKind::NotFound => "it is in the package fuse3".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(Code::System, format!("setuid and drop_privileges need mount.fuse3, which cannot be run: {cause}"))
}

/// The path with the folder of this program in front, where mount.fuse3 finds it.
fn path(program: Option<PathBuf>, path: &OsStr) -> Option<OsString> {
    let program = program?;
    let folder = program.parent()?.to_owned();
    std::env::join_paths([folder].into_iter().chain(std::env::split_paths(path))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_where_it_is() {
        let found = path(Some("/opt/glancefs/glancefs".into()), OsStr::new("/usr/bin:/bin"));
        assert_eq!(found, Some("/opt/glancefs:/usr/bin:/bin".into()));
        assert_eq!(path(None, OsStr::new("/bin")), None);
    }
}
