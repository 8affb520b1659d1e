//! The text of a small file while somebody writes it, and when it is complete. Pure.
//!
//! What is written takes effect where the writer can still hear what comes of it: in the write that completes the text.
//! What no write completes is complete when the file is closed. Whoever opens the file has a text of his own, and the file
//! ends for him where that does.

use std::ops::Range;

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
    /// Somebody wrote, or made the file longer, behind its end.
    #[error("nobody wrote the bytes {} to {} of this file: write it from its beginning", .0.start, .0.end)]
    Gap(Range<usize>),
    /// The program that opened the file was killed, and what it began is dropped.
    #[error("the program that opened this file was killed, and what it wrote is dropped: open the file again")]
    Killed,
    /// The file was removed or renamed while it was open.
    #[error("this file was removed or renamed while it was open: what is written to it would be nowhere")]
    Removed,
}

/// A text that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    rule: Rule,
    text: Vec<u8>,
    /// What is settled: the text as it was found, or as it last took effect.
    settled: Vec<u8>,
    /// What nobody wrote, between bytes that somebody did.
    gaps: Vec<Range<usize>>,
    /// Why it was refused. What is written behind the bytes that were refused would be taken without them, and so is
    /// refused too, until the file is emptied: that nothing was taken leaves the writer where he was in it, so that his
    /// next line looks as if he began anew.
    refused: Option<FsError>,
    is_removed: bool,
}

impl Draft {
    /// A draft of a file that holds `text`.
    pub(super) fn new(rule: Rule, text: Vec<u8>) -> Self {
        Self { rule, settled: text.clone(), text, gaps: Vec::new(), refused: None, is_removed: false }
    }

    /// The bytes from `offset` on, at most `size` of them.
    pub(super) fn read(&self, offset: u64, size: usize) -> &[u8] {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        let end = start.saturating_add(size).min(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }

    /// How long the text is, in bytes: where the file ends for its writer.
    pub(super) fn length(&self) -> u64 {
        u64::try_from(self.text.len()).unwrap_or(u64::MAX)
    }

    /// Makes the text `length` bytes long. What is emptied is on its way to another text, and complete only with that.
    pub(super) fn truncate(&mut self, length: u64) -> Result<(), Untaken> {
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST).ok_or(Untaken::TooLong)?;
        self.reach(length);
        self.text.truncate(length);
        self.gaps.retain_mut(|gap| {
            gap.end = gap.end.min(length);
            gap.start < gap.end
        });
        if length == 0 {
            self.refused = None;
            // Who writes the same once more wants it to be so, whatever became of it meanwhile.
            self.settled.clear();
        }
        Ok(())
    }

    /// Makes the text at least `length` bytes long.
    fn reach(&mut self, length: usize) {
        if self.text.len() < length {
            self.gaps.push(self.text.len()..length);
            self.text.resize(length, 0);
        }
    }

    /// Takes bytes; answers the text, where they complete it.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<Option<Vec<u8>>, Untaken> {
        if self.is_removed {
            return Err(Untaken::Removed);
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(bytes.len()).filter(|end| *end <= LONGEST).ok_or(Untaken::TooLong)?;
        self.reach(end);
        if let Some(place) = self.text.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
        let parts = |gap: Range<usize>| [gap.start..gap.end.min(start), gap.start.max(end)..gap.end];
        let gaps = std::mem::take(&mut self.gaps);
        self.gaps = gaps.into_iter().flat_map(parts).filter(|gap| !gap.is_empty()).collect();
        self.completed(end, bytes)
    }

    /// The text, if it is complete with the bytes that end at `end`. What an earlier text left behind them the next write may
    /// replace, or a cut, as it may fill a gap.
    fn completed(&self, end: usize, bytes: &[u8]) -> Result<Option<Vec<u8>>, Untaken> {
        let (head, tail) = self.text.split_at_checked(end).unwrap_or((&self.text, &[]));
        if !self.gaps.is_empty() {
            return Ok(None);
        }
        let is_complete = match self.rule {
            Rule::Line => bytes.ends_with(b"\n") && tail.is_empty(),
            Rule::Object if head.len() > ALWAYS_PARSED && !bytes.trim_ascii_end().ends_with(b"}") => false,
            Rule::Object => matches!(parse(head)?, Parsed::Complete(_)) && tail.iter().all(u8::is_ascii_whitespace),
        };
        Ok((is_complete && self.text != self.settled).then(|| self.text.clone()))
    }

    /// What a close makes complete: a text that is another one than what is settled. An emptied file is not one.
    pub(super) fn rest(&self) -> Option<Result<&[u8], Untaken>> {
        let is_other = !self.text.is_empty() && self.text != self.settled;
        let rest = || self.gaps.first().map_or(Ok(&*self.text), |gap| Err(Untaken::Gap(gap.clone())));
        (is_other && self.refused.is_none()).then(rest)
    }

    /// Whether the writer has another text than the file, which is not on its way into the image yet.
    pub(super) fn is_ahead(&self) -> bool {
        self.text.is_empty() || self.text != self.settled
    }

    /// `text` took effect.
    pub(super) fn settle(&mut self, text: Vec<u8>) {
        self.settled = text;
    }

    /// What was written was refused.
    pub(super) fn refuse(&mut self, error: FsError) {
        self.refused = Some(error);
    }

    /// Why what was written was refused.
    pub(super) fn refusal(&self) -> Option<FsError> {
        self.refused.clone()
    }

    /// The file is not there any more. What was written to it goes with it, and no close brings it back.
    pub(super) fn remove(&mut self) {
        self.text.clear();
        self.gaps.clear();
        self.is_removed = true;
    }

    /// Whether it is not there any more.
    pub(super) fn is_removed(&self) -> bool {
        self.is_removed
    }

    /// Drops what was written by one who was killed. What others go on to write stands behind what is dropped.
    pub(super) fn abandon(&mut self) {
        self.refused = Some(Untaken::Killed.into());
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
        assert!(draft.rest().is_none() && draft.is_ahead(), "an emptied file is on its way to another text");
        assert_eq!(draft.write(0, b"ac").unwrap(), None);
        assert_eq!(text(draft.write(2, b"tive\n").unwrap()).unwrap(), "active\n");
        draft.settle(b"active\n".to_vec());
        assert_eq!(draft.rest(), None);
        draft.write(0, b"queued").unwrap();
        assert_eq!(draft.rest().unwrap().unwrap(), b"queued\n");
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
    fn behind_what_was_refused_nothing_is_taken_until_the_file_is_emptied() {
        let mut draft = emptied(Rule::Object);
        draft.write(0, b"{\n").unwrap();
        draft.refuse(FsError::NotText);
        assert!(matches!(draft.refusal(), Some(FsError::NotText)));
        assert!(draft.rest().is_none(), "a close has nothing to send");
        draft.truncate(1).unwrap();
        assert!(draft.refusal().is_some());
        draft.truncate(0).unwrap();
        assert!(draft.refusal().is_none());
        assert_eq!(text(draft.write(0, b"{}").unwrap()).unwrap(), "{}");
        draft.abandon();
        assert!(
            draft.refusal().is_some() && draft.rest().is_none(),
            "nobody goes on with what one began who was killed"
        );
    }

    #[test]
    fn a_text_that_is_overwritten_from_its_start_is_complete_at_the_close() {
        let mut draft = Draft::new(Rule::Object, b"{\"name\": \"a longer one\"}\n".to_vec());
        assert_eq!(draft.write(0, b"{\"name\": \"x\"}\n").unwrap(), None, "the end of the old text is still there");
        draft.truncate(14).unwrap();
        assert_eq!(draft.rest().unwrap().unwrap(), b"{\"name\": \"x\"}\n");
        let mut draft = Draft::new(Rule::Line, b"one\ntwo\n".to_vec());
        assert_eq!(draft.write(0, b"six\n").unwrap(), None, "a second line is still there");
        assert_eq!(draft.rest().unwrap().unwrap(), b"six\ntwo\n");
        let mut draft = Draft::new(Rule::Object, b"{} \n".to_vec());
        draft.write(0, b"{").unwrap();
        draft.write(0, b"{ }").unwrap().unwrap();
        assert!(draft.is_ahead());
    }

    #[test]
    fn a_gap_is_waited_for_and_not_taken_for_text() {
        let mut draft = emptied(Rule::Object);
        assert_eq!(draft.write(4, b"1}").unwrap(), None);
        assert_eq!(draft.rest(), Some(Err(Untaken::Gap(0..4))));
        assert_eq!(text(draft.write(0, b"{\"a\":1}").unwrap()).unwrap(), "{\"a\":1}");
        let mut draft = emptied(Rule::Line);
        assert_eq!(draft.write(6, b"x\n").unwrap(), None);
        draft.write(2, b"..").unwrap();
        assert_eq!(draft.gaps, [0..2, 4..6]);
        assert_eq!(draft.rest(), Some(Err(Untaken::Gap(0..2))));
        draft.truncate(4).unwrap();
        assert_eq!(draft.write(0, b"..").unwrap(), None);
        assert_eq!(draft.rest(), Some(Ok(&b"...."[..])));
        draft.truncate(9).unwrap();
        assert_eq!(draft.rest(), Some(Err(Untaken::Gap(4..9))), "nobody wrote what a longer file ends with");
        draft.truncate(0).unwrap();
        assert_eq!(text(draft.write(0, b"a\0b\n").unwrap()).unwrap(), "a\0b\n", "that somebody wrote");
    }

    #[test]
    fn of_a_file_that_was_removed_a_close_brings_nothing_back() {
        let mut draft = emptied(Rule::Line);
        draft.write(0, b"text").unwrap();
        draft.remove();
        assert!(draft.rest().is_none() && draft.refusal().is_none());
        assert_eq!(draft.write(0, b"text\n"), Err(Untaken::Removed));
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
