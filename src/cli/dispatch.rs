//! Which command is meant: by the program's name, by a subcommand, or by the bare form that mount helpers use.
//!
//! | called as | means |
//! |---|---|
//! | `mount.glancefs SRC DIR [-sfnrvw] [-t TYPE] [-o OPTIONS]` | the helper form of mount(8); `-f` is "fake" |
//! | `glancefs SRC DIR -o OPTIONS` | what mount.fuse3 calls; `-f` stays in the foreground |
//! | `glancefs mount SRC DIR …` | the same, for people |
//!
//! All become the last form, with `-o` spelled out in long options, before clap sees them.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::output::{Code, Failure};
use crate::config::mount_options::{self, LongOption};

/// Names under which mount(8) calls its helpers.
const HELPER_NAMES: [&str; 2] = ["mount.glancefs", "mount.fuse.glancefs"];

/// Rewrites the arguments, the program's name first, into the form `glancefs COMMAND …`.
pub fn arrange(
    arguments: Vec<OsString>,
    subcommands: &[String],
    known: &[LongOption],
) -> Result<Vec<OsString>, Failure> {
    let mut words = arguments.into_iter();
    let called = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    if Path::new(&called).file_name().is_some_and(|name| HELPER_NAMES.iter().any(|helper| name == *helper)) {
        return spell_out(helper_form(words)?, known);
    }
    if is_bare_mount(&words, subcommands) {
        return spell_out(words, known);
    }
    match words.split_first() {
        Some((first, rest)) if first == "mount" => spell_out(rest.to_vec(), known),
        _ => Ok(std::iter::once("glancefs".into()).chain(words).collect()),
    }
}

/// `SRC DIR …` without a subcommand. A source may be called like a subcommand (a cloud named `demo`): then `-o` and a
/// second plain word tell that a mount is meant.
fn is_bare_mount(words: &[OsString], subcommands: &[String]) -> bool {
    let plain = |word: Option<&OsString>| word.is_some_and(|word| !is_dashed(word));
    if !plain(words.first()) || !plain(words.get(1)) {
        return false;
    }
    let named = words.first().and_then(|word| word.to_str()).is_some_and(|word| is_subcommand(word, subcommands));
    let is_mount = words.first().is_some_and(|word| word == "mount");
    !named || (!is_mount && words.iter().any(|word| word.as_encoded_bytes().starts_with(b"-o")))
}

fn is_subcommand(word: &str, subcommands: &[String]) -> bool {
    word == "help" || subcommands.iter().any(|known| known == word)
}

fn is_dashed(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

/// Translates what mount(8) gives its helpers, where letters mean other things than in our own commands.
fn helper_form(words: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let mut translated = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if !is_dashed(&word) {
            translated.push(word);
            continue;
        }
        match word.to_str() {
            Some("-o") => translated.extend([word].into_iter().chain(words.next())),
            // The type is known by the name under which we were called.
            Some("-t") => drop(words.next()),
            Some(other) => translated.extend(letters(other)?),
            None => return Err(unknown_letter(&word.to_string_lossy())),
        }
    }
    Ok(translated)
}

fn letters(word: &str) -> Result<Vec<OsString>, Failure> {
    let one = |letter: char| match letter {
        's' => Ok(Some("--sloppy".into())),
        'f' => Ok(Some("--fake".into())),
        'r' => Ok(Some("--read-only".into())),
        // Nothing is written to /etc/mtab, and there is nothing more to tell.
        'n' | 'v' | 'w' => Ok(None),
        _ => Err(unknown_letter(word)),
    };
    word.chars().skip(1).filter_map(|letter| one(letter).transpose()).collect()
}

fn unknown_letter(word: &str) -> Failure {
    Failure::new(Code::Usage, format!("mount(8) asks for '{word}', which this program cannot do"))
}

/// Takes every `-o TEXT` and `-oTEXT` out and puts the long options they stand for in front, so that what was given as a
/// long option itself comes later and wins.
fn spell_out(words: Vec<OsString>, known: &[LongOption]) -> Result<Vec<OsString>, Failure> {
    let sloppy = words.iter().any(|word| word == "--sloppy" || word == "-s");
    let mut texts = Vec::new();
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_encoded_bytes() {
            b"--" => {
                kept.push(word);
                kept.extend(words.by_ref());
            }
            b"-o" => texts.push(text(words.next().ok_or_else(no_options)?)?),
            [b'-', b'o', ..] => texts.push(text(word)?.split_off(2)),
            _ => kept.push(word),
        }
    }
    let mut arranged: Vec<OsString> = vec!["glancefs".into(), "mount".into()];
    for text in texts {
        let spelled = mount_options::split(&text).and_then(|options| mount_options::expand(&options, known, sloppy));
        arranged.extend(spelled.map_err(Failure::with(Code::Usage))?.into_iter().map(OsString::from));
    }
    arranged.extend(kept);
    Ok(arranged)
}

fn no_options() -> Failure {
    Failure::new(Code::Usage, "'-o' is followed by no options")
}

fn text(word: OsString) -> Result<String, Failure> {
    word.into_string().map_err(|word| {
        Failure::new(Code::Usage, format!("the mount options '{}' are not UTF-8", word.to_string_lossy()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arranged(line: &str) -> Result<String, Failure> {
        let option = |name: &str, takes_value| LongOption { name: name.to_owned(), takes_value };
        let known = [option("read-only", false), option("allow-other", false), option("ttl", true)];
        let subcommands = ["mount", "umount", "demo", "serve", "doctor"].map(str::to_owned);
        let words = line.split(' ').map(OsString::from).collect();
        let joined = |words: Vec<OsString>| words.join(OsStr::new(" ")).into_string().unwrap();
        arrange(words, &subcommands, &known).map(joined)
    }

    #[test]
    fn mount_8_is_understood_under_both_names() {
        let expected = Ok("glancefs mount --read-only --ttl=3 cloud /mnt --sloppy --fake".to_owned());
        assert_eq!(arranged("/sbin/mount.glancefs cloud /mnt -sfnv -o ro,ttl=3,_netdev"), expected);
        assert_eq!(arranged("mount.fuse.glancefs cloud /mnt -sf -t fuse.glancefs -o ro -o ttl=3"), expected);
        assert_eq!(arranged("mount.glancefs cloud /mnt -N 5").unwrap_err().code, 1);
    }

    #[test]
    fn the_bare_form_of_mount_fuse3_is_a_mount() {
        assert_eq!(
            arranged("glancefs cloud /mnt -o rw,dev,suid,allow_other"),
            Ok("glancefs mount --allow-other cloud /mnt".to_owned())
        );
        assert_eq!(arranged("glancefs cloud /mnt"), Ok("glancefs mount cloud /mnt".to_owned()));
    }

    #[test]
    fn a_cloud_that_is_called_like_a_subcommand_can_be_mounted() {
        assert_eq!(arranged("glancefs demo /mnt -o rw"), Ok("glancefs mount demo /mnt".to_owned()));
        assert_eq!(arranged("glancefs demo /mnt"), Ok("glancefs demo /mnt".to_owned()));
        assert_eq!(arranged("glancefs mount demo /mnt"), Ok("glancefs mount demo /mnt".to_owned()));
    }

    #[test]
    fn other_commands_stay_as_they_are() {
        for line in ["glancefs doctor --os-cloud x", "glancefs --help", "glancefs", "glancefs help mount"] {
            assert_eq!(arranged(line), Ok(line.to_owned()));
        }
    }

    #[test]
    fn a_long_option_comes_behind_the_mount_options_and_wins() {
        assert_eq!(
            arranged("glancefs mount --ttl=9 cloud /mnt -ottl=3"),
            Ok("glancefs mount --ttl=3 --ttl=9 cloud /mnt".to_owned())
        );
        assert_eq!(arranged("glancefs mount x -- -o"), Ok("glancefs mount x -- -o".to_owned()));
    }

    #[test]
    fn an_unknown_mount_option_is_wrong_usage_unless_sloppy() {
        assert_eq!(arranged("glancefs mount x /y -o frob").unwrap_err().code, 1);
        assert_eq!(arranged("glancefs mount x /y -s -o frob"), Ok("glancefs mount x /y -s".to_owned()));
        assert_eq!(arranged("glancefs mount x /y -o").unwrap_err().code, 1);
    }
}
