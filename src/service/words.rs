//! The service's own words for a failure, taken out of whatever it answered: JSON with HTML inside, HTML, plain text.

use serde_json::Value;

/// Longer explanations are cut: a schema violation quotes the whole schema.
const LONGEST: usize = 400;

/// The explanation in an error's body; `None` where it has none.
pub(super) fn explanation(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(json) => message_in(&json)?.to_owned(),
        Err(_) => without_head(&String::from_utf8_lossy(body)).to_owned(),
    };
    let plain = unescape(&strip_tags(&text));
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    (!words.is_empty()).then(|| shorten(words))
}

/// Glance: `{"message": …}`; Keystone: `{"error": {"message": …}}`; Nova: `{"itemNotFound": {"message": …}}`.
fn message_in(json: &Value) -> Option<&str> {
    let own = json.get("message").and_then(Value::as_str);
    own.or_else(|| json.as_object()?.values().find_map(|value| value.get("message")?.as_str()))
}

/// An HTML page without its head: the title only repeats the heading.
fn without_head(html: &str) -> &str {
    let end = html.find("</head>").or_else(|| html.find("</HEAD>"));
    end.and_then(|end| html.get(end..)).unwrap_or(html)
}

fn strip_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tagged)) = rest.split_once('<') {
        plain.push_str(before);
        // Python writes a type as `<class 'x'>`, which is no tag.
        let opens = tagged.starts_with(|first: char| first.is_ascii_alphabetic() || "/!".contains(first))
            && !tagged.starts_with("class '");
        let after = tagged.split_once('>').filter(|_| opens).map(|(_, after)| after);
        plain.push(if after.is_some() { ' ' } else { '<' });
        rest = after.unwrap_or(tagged);
    }
    plain.push_str(rest);
    plain
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once('&') {
        plain.push_str(before);
        let known = escaped.split_once(';').and_then(|(name, after)| Some((entity(name)?, after)));
        let (char, after) = known.unwrap_or(('&', escaped));
        plain.push(char);
        rest = after;
    }
    plain.push_str(rest);
    plain
}

fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

fn shorten(mut words: String) -> String {
    if words.len() > LONGEST {
        words.truncate(words.floor_char_boundary(LONGEST));
        words.push('\u{2026}');
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_explanation_is_found_in_every_form() {
        let table = [
            (
                r#"{"message": "No image found with ID x<br /><br />\n\n\n", "code": "404 Not Found", "title": "Not Found"}"#,
                "No image found with ID x",
            ),
            (
                r#"{"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}"#,
                "The request you have made requires authentication.",
            ),
            (r#"{"itemNotFound": {"code": 404, "message": "Image not found."}}"#, "Image not found."),
            ("404 Not Found\n\nNo image found with ID x\n\n   ", "404 Not Found No image found with ID x"),
            (
                "<html>\n <head>\n  <title>502 Bad Gateway</title>\n </head>\n <body>\n  <h1>502 Bad Gateway</h1>\n  it &amp; &#39;that&#x27; &lt;b&gt;<br />\n </body>\n</html>",
                "502 Bad Gateway it & 'that' <b>",
            ),
            (
                r#"{"computeFault": {"code": 500, "message": "Unexpected API Error.\n<class 'json.decoder.JSONDecodeError'>"}}"#,
                "Unexpected API Error. <class 'json.decoder.JSONDecodeError'>",
            ),
            (r#"{"message": "a < b and c > d &unknown; & e"}"#, "a < b and c > d &unknown; & e"),
        ];
        for (body, words) in table {
            assert_eq!(explanation(body.as_bytes()).as_deref(), Some(words));
        }
    }

    #[test]
    fn a_body_without_an_explanation_has_none() {
        for body in ["", "  ", "{}", "[1]", "<html></html>", r#"{"message": 5}"#] {
            assert_eq!(explanation(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_long_explanation_is_cut() {
        let words = explanation("é".repeat(1000).as_bytes()).unwrap();
        assert!(words.len() <= LONGEST + 3 && words.ends_with('\u{2026}'));
    }

    proptest! {
        #[test]
        fn any_body_is_survived(body in prop::collection::vec(any::<u8>(), 0..200), text in "[<>&#;x0-9a-z \"{}:]{0,60}") {
            explanation(&body);
            explanation(text.as_bytes());
        }
    }
}
