//! Which texts a path can name. Between an address as we write it and the text that Glance takes out of it stand the
//! parser of addresses here, proxies, and a server that reads what is not ASCII as Latin-1.

/// Whether a text arrives as it is when it is a segment of a path of its own.
///
/// What does not: nothing, which is no segment; `.` and `..`, which are resolved; a slash, also an escaped one; a percent
/// sign, which proxies decode again; control characters, which the parser drops or a server refuses; and everything
/// beyond ASCII.
pub(super) fn carries(text: &str) -> bool {
    let passes = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'/' | b'\\' | b'%');
    !matches!(text, "" | "." | "..") && text.bytes().all(passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_arrive_as_something_else_is_no_segment() {
        for text in ["a", "A b", "...", ".a", "a?b#c", "a+b;c=d&e", "\"<>`{}|^", "~"] {
            assert!(carries(text), "{text}");
        }
        for text in
            ["", ".", "..", "a/b", "/", "a\\b", "%2F", "100%", "\u{e9}", "a\tb", "a\nb", "\0", "\u{7f}", "\u{1f600}"]
        {
            assert!(!carries(text), "{text:?}");
        }
    }
}
