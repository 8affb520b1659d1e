//! Bytes that somebody writes to the small files of an image but `metadata.json`, and to `.glancefs/uploads`.

use super::scene::{OWN, Scene, run};
use crate::fs::control::Command;
use crate::fs::document::{self, Parsed, render};
use crate::fs::error::FsError;
use crate::fs::node;
use crate::image::{Image, Status, Text};

/// A byte that no text has: it ends one write and begins the next one.
pub(super) const CUT: u8 = 0xfe;

/// The files: their folders and names. Some are there, and some are made.
pub(super) const FILES: [(&str, &str); 11] = [
    ("by-name/disk", "status"),
    ("by-name/disk", "import"),
    ("by-name/disk", "checksums"),
    ("by-name/disk", "metadata.json"),
    ("by-name/disk/properties", "p"),
    ("by-name/disk/properties", "new"),
    ("by-name/disk/tags", "t"),
    ("by-name/disk/tags", "new"),
    ("by-name/disk/members", "m"),
    ("by-name/disk/members", OWN),
    (".glancefs", "uploads"),
];

/// Writes `data` to a small file. Its first byte chooses the image, the second one the file; 0xFE ends a write.
///
/// # Panics
/// Where what was promised does not hold.
pub fn control(data: &[u8]) {
    tried(data);
}

/// Answers the errno, and 0 for what was taken; `None` for what is too short to be anything.
pub(super) fn tried(data: &[u8]) -> Option<i32> {
    let (&[scene, file], text) = data.split_first_chunk()?;
    let &(folder, name) = FILES.get(usize::from(file) % FILES.len())?;
    let pieces: Vec<&[u8]> = text.split(|byte| *byte == CUT).collect();
    assert_commands(&pieces);
    run(async { written(&Scene::new(scene)?, folder, name, &pieces).await })
}

async fn written(scene: &Scene, folder: &str, name: &str, pieces: &[&[u8]]) -> Option<i32> {
    let before = scene.image()?;
    let members = scene.members();
    let outcome = scene.put(folder, name, pieces).await;
    let after = scene.image();
    assert_eq!(after.as_ref().map(|image| image.id), Some(before.id), "the image is there still");
    let after = after?;
    if let Err(error) = &outcome {
        scene.assert_told(error);
    }
    let whole = pieces.concat();
    let said = Said { begun: begun(pieces), whole: String::from_utf8(whole).ok(), is_ok: outcome.is_ok() };
    match (folder.rsplit('/').next(), name) {
        (_, "status") => assert_status(&said, &before, &after),
        (_, "import") => assert_import(scene, &said, &before),
        (_, "checksums") => assert_checksums(&said, &before, &after),
        (_, "metadata.json") => assert_document(&said, &before, &after),
        (Some("properties"), _) => assert_property(&said, name, &before, &after),
        (Some("tags"), _) => {
            let kept = after.tags.iter().filter(|tag| *tag != name).eq(before.tags.iter().filter(|tag| *tag != name));
            let is_there = after.tags.iter().any(|tag| tag == name);
            let is_blank = said.whole.as_ref().is_some_and(|text| text.trim().is_empty());
            assert!(kept && said.is_ok == is_blank && (is_there || !is_blank));
            // A text that is refused makes none, unless a line before it did.
            let is_made = said.begun.iter().any(|text| text.ends_with('\n') && text.trim().is_empty());
            assert!(is_blank || is_made || before.tags == after.tags);
        }
        (Some("members"), _) => {
            for (was, is) in members.iter().zip(scene.members()) {
                let said_so = is.project == name && said.begun.iter().any(|text| text.trim() == is.status.as_str());
                assert!(was.project == is.project && (was.status == is.status || said_so), "{was:?} {is:?}");
            }
        }
        _ => assert_eq!(before, after),
    }
    Some(outcome.map_or_else(|error| error.errno(), |()| 0))
}

/// What was written so far, after each of the writes.
fn begun(pieces: &[&[u8]]) -> Vec<String> {
    let upto = |end: usize| pieces.get(..end).map(<[_]>::concat).unwrap_or_default();
    (0..=pieces.len()).filter_map(|end| String::from_utf8(upto(end)).ok()).collect()
}

/// What was written, and what came of it.
struct Said {
    begun: Vec<String>,
    /// All of it, if it is text.
    whole: Option<String>,
    is_ok: bool,
}

impl Said {
    /// The text, where it is one that was to take effect and did.
    fn taken(&self) -> Option<&str> {
        self.whole.as_deref().filter(|text| self.is_ok && !text.is_empty())
    }

    fn has(&self, word: &str) -> bool {
        self.begun.iter().any(|text| text.trim() == word)
    }
}

fn assert_status(said: &Said, before: &Image, after: &Image) {
    assert!(after.status == before.status || said.has(after.status.as_str()), "{:?} by {:?}", after.status, said.begun);
    if let Some(text) = said.taken() {
        assert_eq!(text.trim(), after.status.as_str());
    }
    assert_eq!(Image { status: before.status.clone(), ..after.clone() }, *before, "nothing else is changed");
}

fn assert_import(scene: &Scene, said: &Said, before: &Image) {
    let tasks = scene.service.change(|world| world.tasks.clone());
    assert!(tasks.is_empty() || before.status == Status::Queued);
    for (_, task) in tasks {
        let url = task.uri.unwrap_or_default();
        assert!(said.has(&url) && url.contains("://") && !url.contains(char::is_whitespace), "{url:?}");
        assert!(!url.contains(char::is_control), "{url:?}");
    }
}

fn assert_checksums(said: &Said, before: &Image, after: &Image) {
    assert_eq!(before, after, "they are compared, and not written");
    let shown = render(before, node::Document::Checksums);
    if let (Some(text), Status::Active) = (said.taken(), &before.status) {
        let told = |line: &str| shown.lines().any(|own| own.eq_ignore_ascii_case(line));
        assert!(text.lines().filter(|line| !line.trim().is_empty()).all(told), "{text:?}");
    }
    if let Some(text) = &said.whole {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        match document::tagged(text) {
            Ok(tagged) => {
                for ((algorithm, hash), line) in tagged.iter().zip(lines) {
                    assert!(format!("{algorithm} (data) = {hash}").eq_ignore_ascii_case(line), "{line:?}");
                }
            }
            Err(wrong) => assert!(lines.into_iter().any(|line| line == wrong)),
        }
    }
}

/// A document changes something only where one was whole.
fn assert_document(said: &Said, before: &Image, after: &Image) {
    let is_whole = |text: &String| matches!(document::parse(text.as_bytes()), Ok(Parsed::Complete(_)));
    assert!(before == after || said.begun.iter().any(is_whole));
}

fn assert_property(said: &Said, name: &str, before: &Image, after: &Image) {
    let value = |text: &str| text.strip_suffix('\n').unwrap_or(text).to_owned();
    let (was, is) = (before.properties.get(name), after.properties.get(name));
    // One that is made and has nothing written to it is there, and empty.
    let is_made = was.is_none() && is.is_some_and(Text::is_empty);
    assert!(was == is || is_made || is.is_some_and(|is| said.begun.iter().any(|text| value(text) == *is)), "{is:?}");
    if let Some(text) = said.taken() {
        assert_eq!(is.map(Text::as_str), Some(&*value(text)));
    }
    let mut others = after.properties.clone();
    others.remove(name);
    assert!(others.iter().all(|(key, value)| before.properties.get(key) == Some(value)));
}

/// Each line is a command that says so again, or is refused in words.
fn assert_commands(pieces: &[&[u8]]) {
    for line in String::from_utf8_lossy(&pieces.concat()).lines() {
        match Command::of(line) {
            Ok(command) => {
                let (Command::Retry(image) | Command::Discard(image)) = command;
                let words: Vec<&str> = line.split_ascii_whitespace().collect();
                assert!(
                    matches!(words[..], [word, id] if ["retry", "discard"].contains(&word) && id == image.as_str())
                );
            }
            Err(error) => {
                assert!(matches!(error, FsError::NoCommand(_)));
                super::assert_readable(&error.to_string());
            }
        }
    }
}
