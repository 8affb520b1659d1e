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
    let plain =
        !matches!(name, "" | "." | "..") && !name.chars().any(|char| matches!(char, '%' | '/') || char.is_control());
    if plain { Cow::Borrowed(name) } else { Cow::Owned(encode(name)) }
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

/// The same for a tag, a property or a member: a leading dot is escaped too, because files that begin with one are
/// programs' temporaries there.
pub fn encode_item(name: &str) -> String {
    let entry = encode(name);
    match entry.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => entry,
    }
}

/// The name that `entry` stands for; `None` where no name is encoded so.
pub fn decode(entry: &str) -> Option<String> {
    let name = if entry == "%" { String::new() } else { percent_decode_str(entry).decode_utf8().ok()?.into_owned() };
    (encode(&name) == entry).then_some(name)
}

/// The name of a tag, a property, a member or a flat file that `entry` stands for; `None` where no name is encoded so.
pub fn decode_item(entry: &str) -> Option<String> {
    let plain = match entry.strip_prefix("%2E") {
        Some(rest) if decode(entry).is_none() => format!(".{rest}"),
        _ => entry.to_owned(),
    };
    decode(&plain).filter(|name| encode_item(name) == entry)
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
        assert_eq!(encode_item(".hidden"), "%2Ehidden");
        assert_eq!(encode_item(".."), "%2E%2E");
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
        fn each_name_survives_the_way_there_and_back(name in "\\PC*|[%/.a\\x00-\\x1f]{0,8}") {
            let entry = encode(&name);
            prop_assert!(!entry.contains('/') && !entry.contains('\0') && entry != "." && entry != "..");
            prop_assert_eq!(decode(&entry), Some(name.clone()));
            let item = encode_item(&name);
            prop_assert!(!item.starts_with('.'));
            prop_assert_eq!(decode_item(&item), Some(name));
        }
    }
}
