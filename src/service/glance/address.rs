//! Which texts an address carries, and what may be told of one.

use reqwest::Url;

/// So much of an address is enough to find it in the service's words.
const BEGINNING: usize = 8;

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

/// The service's words, which may repeat an address, with what may be told of it. The longest words are cut: what follows
/// an address that was cut is lost.
pub(super) fn reticent(words: String, url: &str) -> String {
    let url = url.trim();
    let beginning = url.get(..url.floor_char_boundary(BEGINNING)).unwrap_or(url);
    match words.split_once(beginning).filter(|_| !url.is_empty()) {
        None => words,
        Some((before, _)) => {
            let after = words.split_once(url).map_or("", |(_, after)| after);
            format!("{before}{}{after}", without_secrets(url))
        }
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

    #[test]
    fn an_address_that_the_service_repeats_loses_its_secrets_too() {
        let url = "http://user:password@host/x?sig=1";
        let told = |words: &str, url: &str| reticent(words.to_owned(), url);
        assert_eq!(told(&format!("refused: {url} (so)"), url), "refused: http://host/x (so)");
        assert_eq!(told(&format!("refused: {url}"), &format!("\t{url}\n")), "refused: http://host/x");
        assert_eq!(told("refused: http://user:pass\u{2026}", url), "refused: http://host/x");
        assert_eq!(told("refused: junk", "junk"), "refused: an address");
        assert_eq!(told("refused", ""), "refused");
    }
}
