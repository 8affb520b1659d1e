//! What a fuzzer drives: a command line, as a person, mount(8), mount.fuse3 or fstab writes it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Parser;

use super::dispatch::Arranged;
use super::output::Code;
use super::{Cli, arranged, refusal};

/// How the program is called.
const FORMS: [&[&str]; 6] = [
    &["glancefs"],
    &["glancefs", "mount", "cloud", "/mnt", "-o"],
    &["/sbin/mount.glancefs", "cloud", "/mnt", "-o"],
    &["mount.fuse.glancefs", "cloud", "/mnt"],
    &["glancefs", "cloud", "/mnt", "-o"],
    &["umount.fuse.glancefs", "/mnt"],
];

/// Parses a command line: the first byte of `data` chooses how the program is called, and the rest are further arguments
/// with zero bytes between them.
///
/// # Panics
/// Where one is refused without a sentence or with another status than that of wrong usage, or a mount is understood that
/// has no place.
pub fn arguments(data: &[u8]) {
    let Some((form, rest)) = data.split_first() else { return };
    let called = FORMS.iter().cycle().nth(usize::from(*form)).copied().unwrap_or_default();
    let further = rest.split(|byte| *byte == 0).map(|argument| OsStr::from_bytes(argument).to_owned());
    let line: Vec<OsString> = called.iter().map(Into::into).chain(further).collect();
    match arranged(line) {
        Ok(Arranged::Command(line)) => match Cli::try_parse_from(&line.words) {
            Ok(_) => {}
            Err(words) => {
                let refused = refusal::of_options(&words, &line.options);
                assert!(refused.is_none_or(|failure| failure.sentence.starts_with("mount option ")));
                assert!(!words.to_string().is_empty());
            }
        },
        Ok(Arranged::MountFuse(words)) => assert!(words.iter().any(|word| word == "fuse.glancefs")),
        Err(failure) => {
            assert_eq!(failure.code, Code::Usage as u8);
            assert!(!failure.sentence.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What options are made of.
    const PIECES: [&str; 45] = [
        "ro",
        "rw",
        "allow_other",
        "uid=",
        "12",
        "umask=",
        "027",
        "ttl=",
        "3s",
        "soon",
        ",",
        "\\,",
        "\\",
        "\"",
        "=",
        "-",
        "--",
        "_netdev",
        "x-systemd.automount",
        "cache_size=",
        "1GiB",
        "fsname=",
        "a b",
        "\0",
        "-o",
        "-s",
        "-f",
        "-t",
        "fuse.glancefs",
        "é",
        "\u{ff}",
        "nofail",
        "remount",
        "setuid=nobody",
        "drop_privileges",
        "sync",
        "state_dir=",
        "noexec",
        "os_cloud=",
        "os_password=",
        "service=",
        "compute",
        "/mnt",
        "status",
        "metrics_listen=",
    ];

    #[test]
    fn whatever_is_on_a_command_line_it_is_understood_or_refused_with_a_sentence() {
        let first = if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { 0..200_000 } else { 0..2_000_u64 };
        for seed in first {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut data = vec![random.u8(..)];
            for _ in 0..random.usize(..12) {
                let piece = random.choice(PIECES).unwrap_or_default();
                data.extend_from_slice(piece.as_bytes());
                if random.u8(..16) == 0 {
                    data.push(random.u8(..));
                }
            }
            println!("seed {seed}");
            arguments(&data);
        }
    }
}
