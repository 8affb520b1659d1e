//! Which command is meant: by the program's name, by a subcommand, or by the bare form that mount helpers use.
//!
//! | called as | means |
//! |---|---|
//! | `mount.glancefs SRC DIR [-sfnrvw] [-t TYPE] [-o OPTIONS]` | the helper form of mount(8); `-f` is "fake" |
//! | `glancefs SRC DIR -o OPTIONS` | what mount.fuse3 calls; `-f` stays in the foreground |
//! | `glancefs mount SRC DIR …` | the same, for people |
//! | `umount.glancefs DIR [-flnrv] [-N NS] [-t TYPE]` | the helper form of umount(8) |
//!
//! All become the last form, with `-o` spelled out in long options, before clap sees them. With `setuid=` or
//! `drop_privileges` the helper form is mount.fuse3's, which starts us again with less.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::output::{Code, Failure};
use crate::config::mount_options::{self, LongOption, Word};

/// Names under which mount(8) calls its helpers.
const HELPER_NAMES: [&str; 2] = ["mount.glancefs", "mount.fuse.glancefs"];

/// Names under which umount(8) calls its helpers.
const UMOUNT_NAMES: [&str; 2] = ["umount.glancefs", "umount.fuse.glancefs"];

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arranged {
    /// A command of this program.
    Command(Line),
    /// What mount.fuse3 does; its arguments.
    MountFuse(Vec<OsString>),
}

/// A command line in the form `glancefs COMMAND …`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The words, the program's name first.
    pub words: Vec<OsString>,
    /// The long options among them that stood behind `-o`.
    pub options: Vec<String>,
}

/// Rewrites the arguments, the program's name first, into the form `glancefs COMMAND …`.
pub fn arrange(arguments: Vec<OsString>, subcommands: &[String], known: &[LongOption]) -> Result<Arranged, Failure> {
    let mut words = arguments.into_iter();
    let called = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    let is_called =
        |names: &[&str]| Path::new(&called).file_name().is_some_and(|name| names.iter().any(|known| name == *known));
    if is_called(&UMOUNT_NAMES) {
        return Ok(Arranged::Command(Line { words: umount_form(words), options: Vec::new() }));
    }
    if is_called(&HELPER_NAMES) {
        let given = Given::of(helper_form(words)?)?;
        return match given.for_mount_fuse() {
            Some(arguments) => Ok(Arranged::MountFuse(arguments)),
            None => given.spelled_out(known, Caller::Helper).map(Arranged::Command),
        };
    }
    if is_bare_mount(&words, subcommands) {
        return Given::of(words)?.spelled_out(known, Caller::Helper).map(Arranged::Command);
    }
    match words.split_first() {
        Some((first, rest)) if first == "mount" => {
            Given::of(rest.to_vec())?.spelled_out(known, Caller::Person).map(Arranged::Command)
        }
        _ => {
            let words = std::iter::once("glancefs".into()).chain(words).collect();
            Ok(Arranged::Command(Line { words, options: Vec::new() }))
        }
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

/// Translates what umount(8) gives its helpers, which is given back to it when it is to do the rest.
fn umount_form(words: Vec<OsString>) -> Vec<OsString> {
    let flag = |word: OsString| {
        let mut flag = OsString::from("--system=");
        flag.push(word);
        flag
    };
    // Something is always there that tells who asks.
    let mut translated: Vec<OsString> = ["glancefs", "umount"].map(OsString::from).into();
    let mut points = vec!["--".into()];
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.to_str() {
            // The type is known by the name under which we were called.
            Some("-t") => drop(words.next()),
            Some("-N") => translated.extend([word].into_iter().chain(words.next()).map(flag)),
            Some(text) if text.starts_with('-') => {
                // Not a long option, so that each letter is one.
                translated.extend((text.contains('l')).then(|| "--lazy".into()));
                translated.push(flag(word));
            }
            _ => points.push(word),
        }
    }
    translated.push(flag("-i".into()));
    translated.into_iter().chain(points).collect()
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

/// Who gives a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// A person, who knows the folder they are in.
    Person,
    /// mount(8), whose folder nobody chose.
    Helper,
}

/// The arguments of a mount.
struct Given {
    /// What stood behind each `-o`.
    options: Vec<Word>,
    /// All others.
    others: Vec<OsString>,
}

impl Given {
    /// Takes every `-o TEXT` and `-oTEXT` out.
    fn of(words: Vec<OsString>) -> Result<Self, Failure> {
        let mut texts = Vec::new();
        let mut others = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_encoded_bytes() {
                b"--" => {
                    others.push(word);
                    others.extend(words.by_ref());
                }
                b"-o" => texts.push(text(words.next().ok_or_else(no_options)?)?),
                [b'-', b'o', ..] => texts.push(text(word)?.split_off(2)),
                _ => others.push(word),
            }
        }
        let split = |text: &String| mount_options::split(text).map_err(Failure::with(Code::Usage));
        let options = texts.iter().map(split).collect::<Result<Vec<_>, _>>()?.concat();
        Ok(Self { options, others })
    }

    /// Puts the long options that the words behind `-o` stand for in front, so that what was given as a long option itself
    /// comes later and wins.
    fn spelled_out(self, known: &[LongOption], caller: Caller) -> Result<Line, Failure> {
        let sloppy = self.others.iter().any(|word| word == "--sloppy" || word == "-s");
        if caller == Caller::Helper {
            self.check_paths(known)?;
        }
        let spelled = mount_options::expand(&self.options, known, sloppy).map_err(Failure::with(Code::Usage))?;
        let name = |option: &String| option.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
        let options = spelled.iter().map(name).collect();
        let words = ["glancefs", "mount"].into_iter().map(OsString::from);
        Ok(Line { words: words.chain(spelled.into_iter().map(OsString::from)).chain(self.others).collect(), options })
    }

    /// A path must lead to the same place each time.
    fn check_paths(&self, known: &[LongOption]) -> Result<(), Failure> {
        let is_path = |name: &str| known.iter().any(|option| option.is_path && option.name == name);
        let relative = |word: &&Word| is_path(&word.name) && word.value.as_deref().is_some_and(is_relative);
        let Some(Word { name, value: Some(value) }) = self.options.iter().find(relative) else { return Ok(()) };
        let name = mount_options::spelled(name);
        let sentence = format!("mount option {name}: '{value}' is relative, and which folder mount(8) is in is chance");
        Err(Failure::new(Code::Usage, sentence))
    }

    /// The arguments for mount.fuse3, where it is to do what it alone can.
    fn for_mount_fuse(&self) -> Option<Vec<OsString>> {
        let is_asked = |name: &str| self.others.iter().any(|word| word == name);
        let is_its_own = |word: &Word| matches!(word.name.as_str(), "setuid" | "drop-privileges");
        if is_asked("--fake") || !self.options.iter().any(is_its_own) {
            return None;
        }
        let added = [("--read-only", "ro"), ("--sloppy", "sloppy")].into_iter().filter(|(asked, _)| is_asked(asked));
        let added = added.map(|(_, name)| Word { name: name.to_owned(), value: None });
        // What it takes itself, it knows with underscores only.
        let words: Vec<_> = self.options.iter().cloned().chain(added).map(Word::for_mount_fuse).collect();
        let options = ["-t".into(), "fuse.glancefs".into(), "-o".into(), mount_options::join(&words).into()];
        Some(self.others.iter().filter(|word| !is_dashed(word)).cloned().chain(options).collect())
    }
}

fn is_relative(path: &str) -> bool {
    !path.starts_with('/')
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
        let option = |name: &str, takes_value, is_path| LongOption { name: name.to_owned(), takes_value, is_path };
        let flags = ["read-only", "allow-other"].map(|name| option(name, false, false));
        let known = [&flags[..], &[option("ttl", true, false), option("state-dir", true, true)]].concat();
        let subcommands = ["mount", "umount", "demo", "serve", "doctor"].map(str::to_owned);
        let words = line.split(' ').map(OsString::from).collect();
        let joined = |words: Vec<OsString>| words.join(OsStr::new(" ")).into_string().unwrap();
        arrange(words, &subcommands, &known).map(|arranged| match arranged {
            Arranged::Command(line) => joined(line.words),
            Arranged::MountFuse(words) => format!("mount.fuse3 {}", joined(words)),
        })
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

    #[test]
    fn what_mount_fuse3_alone_can_do_is_left_to_it() {
        assert_eq!(
            arranged("mount.fuse.glancefs cloud /mnt -rn -o rw,setuid=nobody,allow_other,ttl=3s"),
            Ok("mount.fuse3 cloud /mnt -t fuse.glancefs -o rw,setuid=nobody,allow_other,ttl=3s,ro".to_owned())
        );
        assert_eq!(
            arranged("mount.glancefs cloud /mnt -s -o drop_privileges"),
            Ok("mount.fuse3 cloud /mnt -t fuse.glancefs -o drop_privileges,sloppy".to_owned())
        );
        let refused = arranged("glancefs mount cloud /mnt -o setuid=nobody").unwrap_err();
        assert!(refused.code == 1 && refused.sentence.contains("mount -t fuse.glancefs"), "{refused:?}");
    }

    #[test]
    fn a_relative_path_is_taken_from_a_person_and_not_from_mount_8() {
        for form in ["mount.glancefs cloud /mnt -o", "mount.fuse.glancefs cloud /mnt -o", "glancefs cloud /mnt -o"] {
            let refused = arranged(&format!("{form} state_dir=state")).unwrap_err();
            assert!(refused.code == 1 && refused.sentence.starts_with("mount option state_dir: 'state' is relative"));
            assert!(arranged(&format!("{form} state_dir=/state")).is_ok());
        }
        assert!(arranged("glancefs mount cloud /mnt -o state_dir=state").is_ok());
    }

    #[test]
    fn umount_8_is_understood_under_both_names() {
        assert_eq!(
            arranged("/sbin/umount.fuse.glancefs /mnt -fln -t fuse.glancefs -N 5"),
            Ok("glancefs umount --lazy --system=-fln --system=-N --system=5 --system=-i -- /mnt".to_owned())
        );
        assert_eq!(arranged("umount.glancefs /mnt"), Ok("glancefs umount --system=-i -- /mnt".to_owned()));
    }
}
