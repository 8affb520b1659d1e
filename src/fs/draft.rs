//! The text of a small file while somebody writes it, and when it is complete. Pure.
//!
//! What is written takes effect where the writer can still hear what comes of it: in the write that completes the text.
//! What no write completes is complete when the file is closed.

use super::document::{Malformed, Parsed, parse};
use super::error::FsError;

/// How long a small file may become, in bytes: a document with 128 properties, the most that an image has, of 64 KiB each,
/// the most that a column of the service's database holds.
pub(super) const LONGEST: usize = 8 << 20;

/// Up to here each write is looked at for errors, in bytes. Beyond, only one that may be the last, because to look at
/// everything again for each of many small writes takes too long.
const ALWAYS_PARSED: usize = 64 << 10;

/// What makes a text complete before its file is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A newline at the end of what is written: the end of a shell's `echo`.
    Line,
    /// The brace that closes a JSON object. A shell's `printf` and many programs write line by line.
    Object,
}

/// Why bytes were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untaken {
    /// The file would be too long.
    #[error("no small file of an image is longer than {} MiB", LONGEST >> 20)]
    TooLong,
    /// No further byte makes a document of it.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A text that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    rule: Rule,
    text: Vec<u8>,
    /// What is settled: the text as it was found, or as it last took effect.
    settled: Vec<u8>,
    /// Why it was refused. What is written behind the bytes that were refused would be taken without them, and so is
    /// refused too, until somebody begins anew.
    refused: Option<FsError>,
}

impl Draft {
    /// A draft of a file that holds `text`.
    pub(super) fn new(rule: Rule, text: Vec<u8>) -> Self {
        Self { rule, settled: text.clone(), text, refused: None }
    }

    /// The bytes from `offset` on, at most `size` of them.
    pub(super) fn read(&self, offset: u64, size: usize) -> &[u8] {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        let end = start.saturating_add(size).min(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }

    /// Makes the text `length` bytes long. What is emptied is on its way to another text, and complete only with that.
    pub(super) fn truncate(&mut self, length: u64) -> Result<(), Untaken> {
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST).ok_or(Untaken::TooLong)?;
        self.text.resize(length, 0);
        if length == 0 {
            self.refused = None;
            // Who writes the same once more wants it to be so, whatever became of it meanwhile.
            self.settled.clear();
        }
        Ok(())
    }

    /// Takes bytes; answers the text that they complete.
    ///
    /// What is behind these bytes is what an earlier text left there, and not looked at: the next write may replace it.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<Option<Vec<u8>>, Untaken> {
        if offset == 0 && self.refused.take().is_some() {
            self.text.clear();
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(bytes.len()).filter(|end| *end <= LONGEST).ok_or(Untaken::TooLong)?;
        if self.text.len() < end {
            self.text.resize(end, 0);
        }
        if let Some(place) = self.text.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
        self.completed(end, bytes)
    }

    /// The text, if it is complete with the bytes that end at `end`.
    fn completed(&self, end: usize, bytes: &[u8]) -> Result<Option<Vec<u8>>, Untaken> {
        let (head, tail) = self.text.split_at_checked(end).unwrap_or((&self.text, &[]));
        // A gap is filled by a write that comes later.
        if head.contains(&0) {
            return Ok(None);
        }
        let complete = match self.rule {
            Rule::Line => bytes.ends_with(b"\n").then_some(head),
            Rule::Object if head.len() > ALWAYS_PARSED && !bytes.trim_ascii_end().ends_with(b"}") => None,
            Rule::Object => {
                let is_object = matches!(parse(head)?, Parsed::Complete(_));
                (is_object && tail.iter().all(u8::is_ascii_whitespace)).then_some(head)
            }
        };
        Ok(complete.filter(|text| *text != self.settled).map(<[u8]>::to_vec))
    }

    /// What a close makes complete: a text that is another one than what is settled. An emptied file is not one.
    pub(super) fn rest(&self) -> Option<&[u8]> {
        let is_other = !self.text.is_empty() && self.text != self.settled;
        (is_other && self.refused.is_none()).then_some(&*self.text)
    }

    /// `text` took effect.
    pub(super) fn settle(&mut self, text: Vec<u8>) {
        self.settled = text;
    }

    /// What was written was refused.
    pub(super) fn refuse(&mut self, error: FsError) {
        self.refused = Some(error);
    }

    /// Why what was written was refused, unless somebody begins anew by writing at `offset`.
    pub(super) fn refusal(&self, offset: u64) -> Option<FsError> {
        self.refused.clone().filter(|_| offset != 0)
    }

    /// Drops what was written.
    pub(super) fn drop_text(&mut self) {
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emptied(rule: Rule) -> Draft {
        let mut draft = Draft::new(rule, b"before\n".to_vec());
        draft.truncate(0).unwrap();
        draft
    }

    fn text(complete: Option<Vec<u8>>) -> Option<String> {
        complete.map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_line_is_complete_with_its_newline_and_other_text_with_the_close() {
        let mut draft = emptied(Rule::Line);
        assert_eq!(draft.rest(), None, "an emptied file is on its way to another text");
        assert_eq!(draft.write(0, b"ac").unwrap(), None);
        assert_eq!(text(draft.write(2, b"tive\n").unwrap()).unwrap(), "active\n");
        draft.settle(b"active\n".to_vec());
        assert_eq!(draft.rest(), None);
        draft.write(0, b"queued").unwrap();
        assert_eq!(draft.rest().unwrap(), b"queued\n");
    }

    #[test]
    fn an_object_is_complete_with_its_last_brace_and_not_again_with_white_space() {
        let mut draft = emptied(Rule::Object);
        assert_eq!(draft.write(0, b"{\n").unwrap(), None);
        assert_eq!(draft.write(2, b"\"name\": \"{}\"\n").unwrap(), None);
        let complete = draft.write(15, b"}").unwrap().unwrap();
        draft.settle(complete.clone());
        assert_eq!(draft.write(15, b"}").unwrap(), None, "the same again");
        assert_eq!(draft.text, complete);
    }

    #[test]
    fn an_error_that_no_byte_can_mend_is_refused_in_its_write() {
        let mut draft = emptied(Rule::Object);
        draft.write(0, b"{\"a\": ").unwrap();
        assert!(matches!(draft.write(6, b"}"), Err(Untaken::Malformed(_))));
        assert!(matches!(emptied(Rule::Object).write(0, b"[1]"), Err(Untaken::Malformed(_))));
    }

    #[test]
    fn behind_what_was_refused_nothing_is_taken_until_somebody_begins_anew() {
        let mut draft = emptied(Rule::Object);
        draft.write(0, b"{\n").unwrap();
        draft.refuse(FsError::NotText);
        assert!(matches!(draft.refusal(2), Some(FsError::NotText)));
        assert_eq!(draft.rest(), None, "a close has nothing to send");
        assert!(draft.refusal(0).is_none());
        assert_eq!(text(draft.write(0, b"{}").unwrap()).unwrap(), "{}");
        assert!(draft.refusal(2).is_none());
        draft.refuse(FsError::NotText);
        draft.truncate(0).unwrap();
        assert!(draft.refusal(2).is_none());
    }

    #[test]
    fn a_text_that_is_overwritten_from_its_start_is_complete_at_the_close() {
        let mut draft = Draft::new(Rule::Object, b"{\"name\": \"a longer one\"}\n".to_vec());
        assert_eq!(draft.write(0, b"{\"name\": \"x\"}\n").unwrap(), None, "the end of the old text is still there");
        draft.truncate(14).unwrap();
        assert_eq!(draft.rest().unwrap(), b"{\"name\": \"x\"}\n");
    }

    #[test]
    fn a_gap_is_waited_for() {
        let mut draft = emptied(Rule::Object);
        assert_eq!(draft.write(4, b"1}").unwrap(), None);
        assert_eq!(text(draft.write(0, b"{\"a\":1}").unwrap()).unwrap(), "{\"a\":1}");
        assert_eq!(emptied(Rule::Line).write(2, b"x\n").unwrap(), None);
    }

    #[test]
    fn a_text_of_more_than_the_limit_is_refused() {
        let mut draft = emptied(Rule::Line);
        assert_eq!(draft.write(LONGEST as u64, b"x"), Err(Untaken::TooLong));
        assert_eq!(draft.write(u64::MAX, b"x"), Err(Untaken::TooLong));
        assert_eq!(draft.truncate(LONGEST as u64 + 1), Err(Untaken::TooLong));
    }

    #[test]
    fn what_is_being_written_is_read_back() {
        let mut draft = emptied(Rule::Line);
        draft.write(0, b"active").unwrap();
        assert_eq!((draft.read(2, 3), draft.read(4, 100), draft.read(9, 1)), (&b"tiv"[..], &b"ve"[..], &b""[..]));
    }
}
