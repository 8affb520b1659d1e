//! Which texts an address carries, and what may be told of one.

use reqwest::Url;

/// Whether a text arrives as it is when it is a segment of a path of its own. Between the address as we write it and the
/// text that Glance takes out of it stand the parser of addresses here, proxies, and a server that reads what is not
/// ASCII as Latin-1.
///
/// What does not: nothing, which is no segment; `.` and `..`, which are resolved; a slash, also an escaped one; a percent
/// sign, which proxies decode again; control characters, which the parser drops or a server refuses; and everything
/// beyond ASCII.
pub(super) fn carries(text: &str) -> bool {
    let passes = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'/' | b'\\' | b'%');
    !matches!(text, "" | "." | "..") && text.bytes().all(passes)
}

/// An address as it may be told: without a password, and without a query, which is where signatures are.
pub(super) fn without_secrets(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) if url.has_host() => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
        }
        _ => "an address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_without_its_secrets() {
        let told = without_secrets("https://user:password@images.example:8443/a/b.img?signature=s#f");
        assert_eq!(told, "https://images.example:8443/a/b.img");
        assert_eq!(without_secrets("user:password@host"), "an address");
        assert_eq!(without_secrets("no address"), "an address");
    }

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
