//! An upload as a line of text: what `.glancefs/uploads` of a mount holds, and what `glancefs uploads` reads there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::report::Report;
use super::state::{Reason, State};
use crate::image::ImageId;
use crate::plain::Plain;

/// An upload on one line: a JSON object that always has all of these keys, in this order, with `null` where nothing is to
/// be said. Keys may be added behind them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The image's id.
    #[serde(with = "text")]
    pub image: ImageId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The word of the [`State`].
    pub state: String,
    /// How many bytes there are.
    pub size: u64,
    /// How many of them this try has sent; none while nothing is sent.
    pub sent: u64,
    /// Bytes a second of this try, while it sends.
    pub rate: Option<u64>,
    /// How many tries were begun.
    pub attempts: u32,
    /// When the next try begins, where one is waited for.
    pub next: Option<Timestamp>,
    /// Whether the queue will not go on with it by itself.
    pub needs_somebody: bool,
    /// Why the last try failed, in one word.
    pub reason: Option<Reason>,
    /// The same as a sentence.
    pub sentence: Option<String>,
}

impl From<&Report> for Line {
    fn from(report: &Report) -> Self {
        let is_sending = matches!(report.state, State::Sending { .. } | State::Verifying { .. });
        Self {
            image: report.image,
            name: report.name.clone(),
            state: report.state.word().to_owned(),
            size: report.size,
            sent: if is_sending { report.sent } else { 0 },
            rate: report.rate,
            attempts: report.attempts(),
            next: report.until(),
            needs_somebody: report.needs_somebody(),
            reason: report.cause().map(|cause| cause.reason),
            sentence: report.cause().map(|cause| cause.sentence.clone()),
        }
    }
}

impl Line {
    /// The object with its newline. Texts in it are what they are, and on the one line.
    pub fn to_text(&self) -> String {
        let object = serde_json::to_string(self);
        object.map_or_else(|_| String::new(), |object| format!("{}\n", Plain(object)))
    }

    /// The uploads in a text of such lines. What is none is passed over: a newer mount may say more.
    pub fn all_in(text: &str) -> Vec<Self> {
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Values that are text in JSON, as they display and parse themselves.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'a, T: FromStr<Err: Display>, D: Deserializer<'a>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{Cause, Sealed};

    fn report() -> Report {
        let cause = Cause { reason: Reason::Quota, sentence: "no \"room\"\nleft".to_owned() };
        let sealed = Sealed { size: 5, hashes: None };
        Report {
            image: "0a0b0c0d-0000-4000-8000-000000000001".parse().unwrap(),
            name: Some("disk".to_owned()),
            state: State::Failed { sealed, attempt: 2, cause },
            has_writer: false,
            is_resting: false,
            size: 5,
            sent: 3,
            rate: None,
        }
    }

    #[test]
    fn a_line_is_one_json_object_with_all_keys_in_their_order() {
        assert_eq!(
            Line::from(&report()).to_text(),
            concat!(
                r#"{"image":"0a0b0c0d-0000-4000-8000-000000000001","name":"disk","state":"failed","size":5,"#,
                r#""sent":0,"rate":null,"attempts":2,"next":null,"needs_somebody":true,"reason":"quota","#,
                r#""sentence":"no \"room\"\nleft"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn lines_are_read_as_they_were_written_and_what_is_none_is_passed_over() {
        let line = Line::from(&report());
        let newer = line.to_text().replace(r#""sent":0"#, r#""sent":0,"new":[1]"#);
        let text = format!("{}{newer}something else\n{{\"image\":\"x\"}}\n", line.to_text());
        assert_eq!(Line::all_in(&text), [line.clone(), line]);
    }

    #[test]
    fn bytes_sent_are_those_of_a_try_that_is_under_way() {
        let (sealed, attempt) = (Sealed { size: 5, hashes: None }, 1);
        let sent = |state| Line::from(&Report { state, ..report() }).sent;
        assert_eq!(sent(State::Sending { sealed: sealed.clone(), attempt }), 3);
        assert_eq!(sent(State::Verifying { sealed, attempt }), 3);
        assert_eq!(sent(State::Writing), 0);
    }
}
