//! Names of the service <-> names of directory entries, both ways, pure.
//!
//! A name may hold anything; an entry may hold neither `/` nor NUL, is never `.` or `..`, and has at most 255 bytes
//! (`NAME_MAX` of `linux/limits.h`). What an entry cannot hold is percent-encoded, byte by byte.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The longest directory entry, in bytes.
pub const LONGEST: usize = 255;

/// `CONTROLS` are the ASCII control characters, DEL included.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b'/');

/// The name as an entry, whatever its length: the name itself where nothing in it has to be escaped.
pub fn entry(name: &str) -> Cow<'_, str> {
    let is_plain = if name.is_ascii() {
        // A listing has a hundred thousand, nearly all of them such.
        !name.bytes().any(|byte| matches!(byte, b'%' | b'/') || byte.is_ascii_control())
    } else {
        !name.chars().any(|char| matches!(char, '%' | '/') || char.is_control())
    };
    if is_plain && !matches!(name, "" | "." | "..") { Cow::Borrowed(name) } else { Cow::Owned(encode(name)) }
}

/// The name as an entry, whatever its length. The empty name is `%`, which no other name becomes.
pub fn encode(name: &str) -> String {
    match name {
        "" => "%".to_owned(),
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => name.chars().fold(String::with_capacity(name.len()), |mut entry, char| {
            let mut bytes = [0; 4];
            let text: &str = char.encode_utf8(&mut bytes);
            if char.is_control() && !char.is_ascii() {
                text.bytes().for_each(|byte| entry.push_str(percent_encoding::percent_encode_byte(byte)));
            } else {
                entry.extend(utf8_percent_encode_ascii(text));
            }
            entry
        }),
    }
}

/// Escapes what [`ESCAPED`] lists and leaves characters outside ASCII as they are.
fn utf8_percent_encode_ascii(text: &str) -> impl Iterator<Item = &str> {
    let (plain, escaped) =
        if text.is_ascii() { (None, Some(utf8_percent_encode(text, ESCAPED))) } else { (Some(text), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// The same for a file in `files/`: a leading dot is escaped too, because files that begin with one are programs'
/// temporaries there.
fn encode_file(name: &str) -> String {
    let entry = encode(name);
    match entry.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => entry,
    }
}

/// The same for a tag, a property or a member: what makes an entry a program's own ([`is_programs_own`]) is escaped too.
pub fn encode_item(name: &str) -> String {
    let mut entry = encode_file(name);
    if entry.ends_with('~') {
        entry.pop();
        entry.push_str("%7E");
    }
    match entry.as_bytes().first() {
        Some(first) if is_programs_own(&entry) => format!("%{first:02X}{}", entry.get(1..).unwrap_or_default()),
        _ => entry,
    }
}

/// Whether programs call their temporaries and backups so, among tags, properties and members: with a leading dot, with
/// a trailing `~` (backups of Vim, Emacs, nano and rsync), `4913` (by which Vim tries whether it may make files), and
/// `sed` with six letters or digits (what `sed -i` writes).
pub fn is_programs_own(entry: &str) -> bool {
    let is_random = |rest: &str| rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    entry.starts_with('.')
        || entry.ends_with('~')
        || entry == "4913"
        || entry.strip_prefix("sed").is_some_and(is_random)
}

/// The name that `entry` stands for; `None` where no name is encoded so.
pub fn decode(entry: &str) -> Option<String> {
    decode_by(entry, encode)
}

/// The name of an image that the stem of a file in `files/` stands for; `None` where no name is encoded so.
pub fn decode_file(entry: &str) -> Option<String> {
    decode_by(entry, encode_file)
}

/// The name of a tag, a property or a member that `entry` stands for; `None` where no name is encoded so.
pub fn decode_item(entry: &str) -> Option<String> {
    decode_by(entry, encode_item)
}

fn decode_by(entry: &str, encode: fn(&str) -> String) -> Option<String> {
    let name = if entry == "%" { String::new() } else { percent_decode_str(entry).decode_utf8().ok()?.into_owned() };
    (encode(&name) == entry).then_some(name)
}

/// The first bytes of an entry, at most `room` of them, cut neither inside a character nor inside an escape.
pub fn cut(entry: &str, room: usize) -> &str {
    let end = entry.floor_char_boundary(room);
    let head = entry.get(..end).unwrap_or(entry);
    let escape = head.rfind('%').filter(|at| head.len() - at < 3 && head.len() < entry.len());
    escape.and_then(|at| head.get(..at)).unwrap_or(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_an_entry_cannot_hold_is_escaped() {
        let table = [
            ("plain name.qcow2", "plain name.qcow2"),
            ("a/b", "a%2Fb"),
            ("100%", "100%25"),
            ("tab\tnul\0del\u{7f}", "tab%09nul%00del%7F"),
            ("\u{85}", "%C2%85"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("...", "..."),
            (".hidden", ".hidden"),
            ("é 日本", "é 日本"),
            ("", "%"),
        ];
        for (name, entry) in table {
            assert_eq!(encode(name), entry);
            assert_eq!(decode(entry).as_deref(), Some(name));
        }
        assert_eq!(encode_file(".hidden"), "%2Ehidden");
        assert_eq!(
            (decode_file("%2Ehidden").as_deref(), decode_file("sedentary~").as_deref()),
            (Some(".hidden"), Some("sedentary~"))
        );
    }

    #[test]
    fn what_programs_call_their_own_is_escaped_in_an_item() {
        let table = [
            (".hidden", "%2Ehidden"),
            ("..", "%2E%2E"),
            ("os~", "os%7E"),
            ("~", "%7E"),
            ("a~~", "a~%7E"),
            (".a~", "%2Ea%7E"),
            ("4913", "%34913"),
            ("sedentary", "%73edentary"),
            ("sed1aB2cZ", "%73ed1aB2cZ"),
            ("", "%"),
        ];
        for (name, entry) in table {
            assert_eq!((encode_item(name).as_str(), decode_item(entry).as_deref()), (entry, Some(name)));
            assert!(!is_programs_own(entry), "{entry}");
            assert!(name.is_empty() || is_programs_own(name), "{name}");
            assert_eq!(decode_item(name), None, "{name} is no item");
        }
        for plain in ["a~b", "~a", "49130", "4914", "sedation", "sedimented", "sed_2x-y.", "used123456", "sedéé1"] {
            assert_eq!((encode_item(plain).as_str(), is_programs_own(plain)), (plain, false));
        }
        for entry in ["%34914", "%73edation", "a%7Eb", "%7Ea", "os%7e"] {
            assert_eq!(decode_item(entry), None, "{entry}");
        }
    }

    #[test]
    fn an_entry_that_no_name_becomes_is_no_name() {
        for entry in ["%2e", "%41", "%", "a%", "%zz", "a/b", "%FF"].into_iter().filter(|entry| *entry != "%") {
            assert_eq!(decode(entry), None, "{entry}");
        }
    }

    #[test]
    fn an_entry_is_cut_between_characters_and_escapes() {
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("a%2Fb", 2), "a");
        assert_eq!(cut("a%2Fb", 3), "a");
        assert_eq!(cut("a%2Fb", 4), "a%2F");
        assert_eq!(cut("a%2F", 4), "a%2F");
    }

    proptest! {
        #[test]
        fn each_name_survives_the_way_there_and_back(name in "\\PC*|[%/.a~\\x00-\\x1f]{0,8}|(sed|4913)[a-z0-9~%é]{0,7}") {
            let entry = encode(&name);
            prop_assert!(!entry.contains('/') && !entry.contains('\0') && entry != "." && entry != "..");
            prop_assert_eq!(decode(&entry), Some(name.clone()));
            prop_assert_eq!(decode_file(&encode_file(&name)), Some(name.clone()));
            let item = encode_item(&name);
            prop_assert!(!is_programs_own(&item));
            prop_assert_eq!(decode_item(&item), Some(name));
        }

        #[test]
        fn an_entry_is_a_programs_own_or_one_items_or_nobodys(entry in "\\PC*|(sed|4913|%73ed|%34|%2E)?[a-z0-9~.%]{0,7}(~|%7E)?") {
            if let Some(name) = decode_item(&entry) {
                prop_assert!(!is_programs_own(&entry));
                prop_assert_eq!(encode_item(&name), entry);
            }
        }
    }
}
