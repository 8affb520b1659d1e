//! What follows `-o`, as mount(8), fstab and systemd write it, turned into long options of `glancefs mount`.
//!
//! Words are separated by commas. `\,`, `\"` and `\\` stand for the character behind the backslash, any other backslash
//! for itself; between double quotes commas are plain characters. In names `_` and `-` are the same, so that
//! `allow_other` (the kernel's spelling) and `allow-other` (ours) both work.

use super::mount_words::{self, Meaning};

/// One option between two commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The name, `_` written as `-`.
    pub name: String,
    /// What follows the first `=`.
    pub value: Option<String>,
}

/// A long option that `-o` may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongOption {
    /// The name without the dashes in front.
    pub name: String,
    /// Whether it needs a value.
    pub takes_value: bool,
    /// Whether that value is a path.
    pub is_path: bool,
}

/// What is wrong with the text behind `-o`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// A quote was opened and not closed.
    #[error("a double quote in the mount options is not closed")]
    OpenQuote,
    /// An option without a name (`-o =x`).
    #[error("the mount option '={0}' has no name")]
    NoName(String),
    /// A name that means nothing here.
    #[error("unknown mount option '{0}' (--sloppy passes over unknown ones)")]
    Unknown(String),
    /// A word that makes no sense as a mount option, and why.
    #[error("'{0}' is not for mount options: {1}")]
    Refused(String, &'static str),
    /// A flag was given a value.
    #[error("the mount option '{0}' takes no value")]
    UnwantedValue(String),
    /// An option lacks its value.
    #[error("the mount option '{0}' needs a value ({0}=...)")]
    MissingValue(String),
    /// `-o remount`.
    #[error("a mounted folder cannot be remounted with other options: unmount it, then mount it again")]
    Remount,
}

/// The hidden option that tells which words were passed over, because this program decides what they ask for.
pub const PASSED_OVER: &str = "passed-over";

/// Splits the text behind `-o` into its words. Empty words (`a,,b`) are passed over.
pub fn split(text: &str) -> Result<Vec<Word>, OptionError> {
    let mut pieces = vec![Piece::default()];
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let literal = match letter {
            '\\' => Some(letters.next_if(|next| matches!(next, ',' | '"' | '\\')).unwrap_or('\\')),
            '"' => {
                quoted = !quoted;
                None
            }
            ',' if !quoted => {
                pieces.push(Piece::default());
                None
            }
            other => Some(other),
        };
        if let (Some(literal), Some(piece)) = (literal, pieces.last_mut()) {
            piece.push(literal);
        }
    }
    if quoted {
        return Err(OptionError::OpenQuote);
    }
    pieces.into_iter().filter(|piece| !piece.is_empty()).map(Piece::word).collect()
}

/// Writes words so that [`split`] reads the same ones.
pub fn join(words: &[Word]) -> String {
    let escape = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,").replace('"', "\\\"");
    let show = |word: &Word| match &word.value {
        Some(value) => format!("{}={}", escape(&word.name), escape(value)),
        None => escape(&word.name),
    };
    words.iter().map(show).collect::<Vec<_>>().join(",")
}

/// Turns words into arguments (`--name`, `--name=value`). Of `ro` and `rw`, and of their like, the last one counts. With
/// `sloppy`, unknown ones are passed over.
pub fn expand(words: &[Word], known: &[LongOption], sloppy: bool) -> Result<Vec<String>, OptionError> {
    let sloppy = sloppy || words.iter().any(|word| word.name == "sloppy");
    let mut arguments: Vec<String> = Vec::new();
    for word in words {
        match mount_words::meaning(&word.name) {
            Some(Meaning::Without(name)) => arguments.retain(|argument| argument.strip_prefix("--") != Some(name)),
            Some(Meaning::Elsewhere) => {}
            Some(Meaning::Decided) => arguments.push(format!("--{PASSED_OVER}={}", word.shown())),
            Some(Meaning::Refused(why)) => return Err(OptionError::Refused(word.shown(), why)),
            Some(Meaning::Option(name)) => arguments.push(argument(word, name, known)?),
            None => match argument(word, &word.name, known) {
                Ok(argument) => arguments.push(argument),
                Err(OptionError::Unknown(_)) if sloppy => {}
                Err(error) => return Err(error),
            },
        }
    }
    Ok(arguments)
}

fn argument(word: &Word, name: &str, known: &[LongOption]) -> Result<String, OptionError> {
    if name == "remount" {
        return Err(OptionError::Remount);
    }
    let Some(option) = known.iter().find(|option| option.name == name) else {
        return Err(OptionError::Unknown(word.shown()));
    };
    match (&word.value, option.takes_value) {
        (None, false) => Ok(format!("--{name}")),
        (Some(value), true) => Ok(format!("--{name}={value}")),
        (Some(_), false) => Err(OptionError::UnwantedValue(word.shown())),
        (None, true) => Err(OptionError::MissingValue(word.shown())),
    }
}

/// The option's name as mount(8) and the kernel spell such names.
pub fn spelled(name: &str) -> String {
    name.replace('-', "_")
}

impl Word {
    /// The same with the name as the kernel and mount.fuse3 spell it.
    #[must_use]
    pub fn for_mount_fuse(self) -> Self {
        Self { name: spelled(&self.name), ..self }
    }

    fn shown(&self) -> String {
        spelled(&self.name)
    }
}

/// A word while it is read.
#[derive(Default)]
struct Piece {
    name: String,
    value: Option<String>,
}

impl Piece {
    fn push(&mut self, letter: char) {
        match (&mut self.value, letter) {
            (Some(value), letter) => value.push(letter),
            (None, '=') => self.value = Some(String::new()),
            (None, '_') => self.name.push('-'),
            (None, letter) => self.name.push(letter),
        }
    }

    fn is_empty(&self) -> bool {
        self.name.is_empty() && self.value.is_none()
    }

    fn word(self) -> Result<Word, OptionError> {
        match (self.name.is_empty(), self.value) {
            (true, value) => Err(OptionError::NoName(value.unwrap_or_default())),
            (false, value) => Ok(Word { name: self.name, value }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(name: &str, value: Option<&str>) -> Word {
        Word { name: name.to_owned(), value: value.map(str::to_owned) }
    }

    fn known() -> Vec<LongOption> {
        let option = |name: &str, takes_value| LongOption { name: name.to_owned(), takes_value, is_path: false };
        vec![
            option("allow-other", false),
            option("read-only", false),
            option("ttl", true),
            option("os-region-name", true),
        ]
    }

    fn flags() -> Vec<LongOption> {
        ["noexec", "nosymfollow", "sloppy"]
            .map(|name| LongOption { name: name.to_owned(), takes_value: false, is_path: false })
            .into()
    }

    fn arguments(text: &str, sloppy: bool) -> Result<Vec<String>, OptionError> {
        expand(&split(text)?, &known(), sloppy)
    }

    #[test]
    fn a_comma_is_part_of_a_value_behind_a_backslash_and_between_quotes() {
        assert_eq!(split(r"a=1\,2,b"), Ok(vec![word("a", Some("1,2")), word("b", None)]));
        assert_eq!(split(r#"a="1,2",b=x"#), Ok(vec![word("a", Some("1,2")), word("b", Some("x"))]));
        assert_eq!(split(r"a=C:\x\\y"), Ok(vec![word("a", Some(r"C:\x\y"))]));
        assert_eq!(split(r#"a="1,2"#), Err(OptionError::OpenQuote));
        assert_eq!(split(",,a,,"), Ok(vec![word("a", None)]));
        assert_eq!(split("a=b=c"), Ok(vec![word("a", Some("b=c"))]));
        assert_eq!(split("=c"), Err(OptionError::NoName("c".to_owned())));
    }

    #[test]
    fn an_underscore_in_a_name_is_a_hyphen_and_in_a_value_itself() {
        assert_eq!(
            arguments("allow_other,os_region_name=a_b", false),
            Ok(vec!["--allow-other".to_owned(), "--os-region-name=a_b".to_owned()])
        );
    }

    #[test]
    fn what_fstab_and_systemd_add_is_passed_over() {
        let line = "rw,nosuid,nodev,_netdev,nofail,noauto,user,defaults,relatime,x-systemd.automount,\
                    x-systemd.idle-timeout=600,comment=hello,dev,suid,exec,group,_rnetdev,silent,loud,loop,private,\
                    rprivate,shared,rshared,slave,rslave,unbindable,runbindable";
        assert_eq!(arguments(line, false), Ok(vec![]));
    }

    #[test]
    fn ro_is_read_only() {
        assert_eq!(arguments("ro,ttl=9s", false), Ok(vec!["--read-only".to_owned(), "--ttl=9s".to_owned()]));
    }

    #[test]
    fn the_last_of_two_words_that_contradict_each_other_counts() {
        let read_only = Ok(vec!["--read-only".to_owned()]);
        assert_eq!((arguments("rw,ro", false), arguments("ro,rw,ro", false)), (read_only.clone(), read_only));
        assert_eq!(arguments("ro,rw", false), Ok(vec![]));
        let known = |text| expand(&split(text).unwrap(), &flags(), false);
        assert_eq!(known("noexec,exec,nosymfollow,symfollow"), Ok(vec![]));
        let (noexec, nosymfollow) = ("--noexec".to_owned(), "--nosymfollow".to_owned());
        assert_eq!(known("exec,noexec,symfollow,nosymfollow"), Ok(vec![noexec, nosymfollow]));
    }

    #[test]
    fn what_the_program_decides_is_passed_over_and_told() {
        assert_eq!(
            arguments("attr_timeout=1.5,sync,context=\"system_u:object_r:x:s0:c1,c2\",big_writes", false),
            Ok(["attr_timeout", "sync", "context", "big_writes"].map(|name| format!("--passed-over={name}")).into())
        );
    }

    #[test]
    fn what_belongs_on_a_command_line_is_no_mount_option() {
        for text in ["fake", "foreground", "setuid=nobody", "drop_privileges"] {
            let sentence = arguments(text, true).unwrap_err().to_string();
            let name = text.split('=').next().unwrap();
            assert!(sentence.starts_with(&format!("'{name}' is not for mount options: ")), "{sentence}");
        }
    }

    #[test]
    fn sloppy_among_the_options_is_the_same_as_on_the_command_line() {
        let known = [flags(), known()].concat();
        let expanded = expand(&split("frobnicate,ttl=1,sloppy").unwrap(), &known, false);
        assert_eq!(expanded, Ok(vec!["--ttl=1".to_owned(), "--sloppy".to_owned()]));
    }

    #[test]
    fn an_unknown_option_is_an_error_unless_sloppy() {
        assert_eq!(arguments("ttl=1,frobnicate=1", false), Err(OptionError::Unknown("frobnicate".to_owned())));
        assert_eq!(arguments("ttl=1,frobnicate=1", true), Ok(vec!["--ttl=1".to_owned()]));
        assert_eq!(arguments("remount", true), Err(OptionError::Remount));
    }

    #[test]
    fn a_value_is_asked_for_where_one_is_needed_and_refused_where_none_is() {
        assert_eq!(arguments("ttl", true), Err(OptionError::MissingValue("ttl".to_owned())));
        assert_eq!(arguments("allow_other=yes", true), Err(OptionError::UnwantedValue("allow_other".to_owned())));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = arguments(&text, false);
        }

        #[test]
        fn what_is_joined_is_split_into_the_same(
            words in proptest::collection::vec(("[a-z\\\\,\"-]{1,8}", proptest::option::of(".{0,12}")), 0..6)
        ) {
            let words: Vec<_> = words.into_iter().map(|(name, value)| Word { name, value }).collect();
            prop_assert_eq!(split(&join(&words)), Ok(words));
        }
    }
}
