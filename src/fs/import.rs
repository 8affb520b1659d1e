//! `import`: a URL that is written to it makes the service fetch an image's bytes by itself; it reads as what came of that.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use serde_json::Value;

use super::create::{FORMATS, WRAPPED};
use super::error::FsError;
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, Status, Task, TaskStatus, Text};
use crate::service::{Change, Kind, ServiceError};
use crate::sync::{Mutex, lock};
use crate::write::WriteError;

/// Formats by which the service knows what it is given. It refuses other bytes only when it has taken them, and leaves an
/// image behind that takes no further ones.
const COMPARED: [&str; 6] = ["qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso"];

/// Why an image that has no bytes takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standstill {
    /// The service imports it.
    UnderWay,
    /// Its import failed, and the service goes on calling it `importing`.
    Stranded,
    /// Somebody gave the service its bytes, and has not told it to import them.
    Staged,
}

impl Standstill {
    /// What an image stands at, that the service shows so and whose last task this is.
    fn of(status: &Status, last: Option<&Task>) -> Option<Self> {
        match (status, last.map(|task| &task.status)) {
            (Status::Importing, Some(TaskStatus::Failure)) => Some(Self::Stranded),
            (Status::Queued | Status::Uploading, Some(TaskStatus::Pending | TaskStatus::Processing))
            | (Status::Importing, _) => Some(Self::UnderWay),
            (Status::Uploading, _) => Some(Self::Staged),
            _ => None,
        }
    }
}

impl fmt::Display for Standstill {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::UnderWay => "the service imports it: its file import tells how far that is",
            Self::Stranded => {
                "its import has failed, and the service leaves it importing for ever: remove it, and make a new one"
            }
            Self::Staged => {
                "somebody has staged its data and not imported them: that is to be done by who did, or remove it and make a new one"
            }
        })
    }
}

/// Whether an image has a file `import`: while it may be imported, or is.
pub(super) fn is_importable(image: &Image) -> bool {
    matches!(image.status, Status::Queued | Status::Uploading | Status::Importing)
}

/// The formats that this mount took from the end of a URL, so that the service imports from there.
#[derive(Default)]
pub(super) struct Guesses(Mutex<HashMap<ImageId, Vec<Change>>>);

impl Guesses {
    fn note(&self, image: ImageId, changes: Vec<Change>) {
        lock(&self.0).insert(image, changes);
    }

    fn has(&self, image: ImageId) -> bool {
        lock(&self.0).contains_key(&image)
    }

    /// Nothing is known of the image any more. Answers what was guessed.
    pub(super) fn forget(&self, image: ImageId) -> Vec<Change> {
        lock(&self.0).remove(&image).unwrap_or_default()
    }
}

impl FileSystem {
    /// What the service tells of the last import of an image; nothing where there was none.
    pub(super) async fn import_text(&self, id: ImageId) -> Result<String> {
        let tasks = self.service.tasks(id).await?;
        let Some(task) = tasks.last() else { return Ok(String::new()) };
        if task.status != TaskStatus::Failure {
            return Ok(told(task));
        }
        // What an import that failed has left is known only by looking after it.
        let mut image = self.look(id).await?;
        if image.disk_format.is_none() {
            // That was taken back with the import.
            image.disk_format = task.uri.as_deref().and_then(format_of).map(Text::from);
            image.container_format.get_or_insert_with(|| "bare".into());
        }
        let text = told(task) + &left_behind(&image);
        self.without_guess(id).await;
        Ok(text)
    }

    /// Has the service fetch an image from a URL.
    pub(super) async fn commit_import(&self, id: ImageId, text: &str) -> Result<()> {
        let Some(url) = self.asked_in(id, text).await? else { return Ok(()) };
        if self.spooled(id).is_some_and(|upload| upload.len().is_ok_and(|length| length > 0)) {
            return Err(FsError::HasSpool(id));
        }
        if self.expected_text(id).is_some() {
            return Err(FsError::Expected(id));
        }
        self.set_formats(id, url).await?;
        if let Err(error) = self.service.import(id, url).await {
            self.without_guess(id).await;
            return Err(FsError::Change(self.with_standstill(id, error).await));
        }
        if let Err(error) = self.look(id).await {
            tracing::debug!(image = %id, %error, "an image that is imported was not looked at");
        }
        Ok(())
    }

    /// The URL that a text asks to import from: all of it, or what is appended to what the file tells. Who writes back what was
    /// there asks for nothing.
    async fn asked_in<'a>(&self, id: ImageId, text: &'a str) -> Result<Option<&'a str>> {
        if let Some(url) = url_of(text) {
            return Ok(Some(url));
        }
        let told = self.import_text(id).await?;
        if text.trim() == told.trim() {
            return Ok(None);
        }
        text.strip_prefix(&told).and_then(url_of).map(Some).ok_or(FsError::NoUrl)
    }

    /// A refusal for the image's status, with what it stands at and what can be done about that.
    async fn with_standstill(&self, id: ImageId, error: ServiceError) -> ServiceError {
        if error.kind != Kind::Conflict {
            return error;
        }
        let Ok(image) = self.look(id).await else { return error };
        let why = match self.standstill(&image).await {
            Some(standstill) => standstill.to_string(),
            None if image.status == Status::Queued => return error,
            None => FsError::NoImport { image: id, status: image.status.to_string() }.to_string(),
        };
        let words = error.words.as_deref().map(|words| format!("{}; ", words.trim_end_matches('.')));
        let words = words.unwrap_or_default() + &why;
        error.with_words(words)
    }

    /// What an image without bytes waits for, if it is that.
    async fn standstill(&self, image: &Image) -> Option<Standstill> {
        let tasks = self.service.tasks(image.id).await.unwrap_or_default();
        Standstill::of(&image.status, tasks.last())
    }

    /// Why `image` takes no data, in words that say what can be done about it.
    pub(super) async fn untaken(&self, image: &Image, error: WriteError) -> FsError {
        let is_imported = matches!(&error, WriteError::Status { status: Status::Uploading | Status::Importing, .. });
        let standstill = if is_imported { self.standstill(image).await } else { None };
        standstill.map_or_else(|| error.into(), |standstill| FsError::Standstill(image.id, standstill))
    }

    /// The service imports nothing of which it does not know the formats. Those that the image lacks are what the end of the
    /// URL says, in the usual wrapping.
    async fn set_formats(&self, id: ImageId, url: &str) -> Result<()> {
        self.without_guess(id).await;
        let image = self.look(id).await?;
        let mut changes = Vec::new();
        if image.disk_format.is_none() {
            let format = format_of(url).ok_or(FsError::NoFormat(id))?;
            changes.push(Change::set("disk_format", format));
        }
        if image.container_format.is_none() {
            changes.push(Change::set("container_format", "bare"));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.update(id, &changes).await?;
        self.guesses.note(id, changes);
        Ok(())
    }

    /// The same before data are written; answers the image as it is then.
    pub(super) async fn unguessed(&self, image: Arc<Image>) -> Result<Arc<Image>> {
        if !self.guesses.has(image.id) {
            return Ok(image);
        }
        self.without_guess(image.id).await;
        Ok(Arc::new(self.look(image.id).await?))
    }

    /// Takes the formats back that were guessed for an import of which nothing came: the next one may be of another format,
    /// and so may data. Those that somebody has changed since stay.
    async fn without_guess(&self, id: ImageId) {
        if !self.guesses.has(id) {
            return;
        }
        let Ok(image) = self.look(id).await else { return };
        let is_under_way = matches!(self.standstill(&image).await, Some(Standstill::UnderWay));
        if is_under_way {
            return;
        }
        let is_so = |change: &Change| match change {
            Change::Set { key, value } => value.as_str() == format_in(&image, key),
            Change::Remove { .. } => false,
        };
        let guessed = self.guesses.forget(id).into_iter().filter(is_so);
        let back: Vec<_> = guessed.map(|change| Change::set(change.key(), Value::Null)).collect();
        if image.status != Status::Queued || back.is_empty() {
            return;
        }
        if let Err(error) = self.update(id, &back).await {
            tracing::warn!(image = %id, %error, "the formats that were guessed for an import could not be taken back");
        }
    }
}

fn format_in<'a>(image: &'a Image, key: &str) -> Option<&'a str> {
    if key == "disk_format" { image.disk_format.as_deref() } else { image.container_format.as_deref() }
}

/// The URL that is all of a text.
fn url_of(text: &str) -> Option<&str> {
    let is_odd = |letter: char| letter.is_whitespace() || letter.is_control();
    Some(text.trim()).filter(|url| url.contains("://") && !url.contains(is_odd))
}

/// The disk format that the end of a URL's path names.
fn format_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let (_, end) = path.rsplit_once('.')?;
    // An `.img` may be anything.
    FORMATS.into_iter().find(|format| end.eq_ignore_ascii_case(format) && !WRAPPED.contains(format))
}

/// A task in words: its state and what it fetches, and what the service says of it.
fn told(task: &Task) -> String {
    let mut text = task.status.as_str().to_owned();
    for word in [&task.method, &task.uri].into_iter().flatten() {
        let _ = write!(text, " {word}");
    }
    text.push('\n');
    if !task.message.is_empty() {
        let plain = task.message.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        text.extend(plain.chain(['\n']));
    }
    text
}

/// What can be done with an image whose last import failed.
fn left_behind(image: &Image) -> String {
    match (&image.status, image.disk_format.as_deref()) {
        (Status::Queued, Some(format)) if is_compared(image, format) => format!(
            "The image is queued again: another import may be tried. It fails too, whatever it fetches, if what was fetched \
             is no {format}: then remove the image, and make a new one.\n"
        ),
        (Status::Queued, _) => "The image is queued again: another import may be tried.\n".to_owned(),
        (Status::Importing, _) => {
            "The service leaves the image importing for ever: remove it, and make a new one.\n".to_owned()
        }
        (status, _) => format!("The image is {status} all the same.\n"),
    }
}

fn is_compared(image: &Image, format: &str) -> bool {
    COMPARED.contains(&format) && image.container_format.as_deref() == Some("bare")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::image;

    fn task(status: TaskStatus, message: &str) -> Task {
        Task {
            id: "t".to_owned(),
            kind: "api_image_import".to_owned(),
            status,
            message: message.to_owned(),
            method: Some("web-download".to_owned()),
            uri: Some("http://x/y".to_owned()),
            created_at: None,
            request_id: None,
        }
    }

    fn left(status: Status, format: &str) -> String {
        let image = image(1, "disk");
        left_behind(&Image { status, disk_format: Some(format.into()), ..image })
    }

    #[test]
    fn an_import_that_failed_says_why_and_whether_another_one_may_be_tried() {
        let failed = task(TaskStatus::Failure, "Task failed\ndue to Internal Error");
        assert_eq!(told(&failed), "failure web-download http://x/y\nTask failed due to Internal Error\n");
        let again = left(Status::Queued, "raw");
        assert!(again.contains("another import may be tried") && !again.contains("remove"), "{again}");
        assert!(left(Status::Importing, "raw").contains("make a new one"));
        assert_eq!(left(Status::Active, "raw"), "The image is active all the same.\n");
    }

    #[test]
    fn an_image_whose_bytes_the_service_compares_with_its_format_may_be_spoilt() {
        let again = left(Status::Queued, "qcow2");
        assert!(again.contains("may be tried") && again.contains("no qcow2") && again.contains("remove"), "{again}");
    }

    #[test]
    fn what_an_image_without_bytes_stands_at_is_told_by_its_status_and_its_last_task() {
        let of = |status, last: Option<TaskStatus>| Standstill::of(&status, last.map(|last| task(last, "")).as_ref());
        assert_eq!(of(Status::Importing, Some(TaskStatus::Failure)), Some(Standstill::Stranded));
        assert_eq!(of(Status::Importing, Some(TaskStatus::Processing)), Some(Standstill::UnderWay));
        assert_eq!(of(Status::Importing, None), Some(Standstill::UnderWay), "of a service that tells no tasks");
        assert_eq!(of(Status::Queued, Some(TaskStatus::Pending)), Some(Standstill::UnderWay));
        assert_eq!(of(Status::Uploading, None), Some(Standstill::Staged));
        assert_eq!(of(Status::Queued, Some(TaskStatus::Failure)), None, "it may be tried again");
        assert_eq!(of(Status::Saving, None), None);
    }

    #[test]
    fn the_end_of_a_url_names_the_format() {
        assert_eq!(format_of("https://x.org/a/disk.QCOW2?token=1#x"), Some("qcow2"));
        assert_eq!((format_of("https://x.org/disk.img"), format_of("https://x.iso/disk")), (None, None));
    }

    #[test]
    fn an_import_under_way_is_one_line() {
        assert_eq!(told(&task(TaskStatus::Processing, "")), "processing web-download http://x/y\n");
    }
}
