//! `import`: a URL that is written to it makes the service fetch an image's bytes by itself; it reads as what came of that.

use std::fmt::Write;

use super::create::{FORMATS, WRAPPED};
use super::error::FsError;
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, Status, Task, TaskStatus};
use crate::service::Change;

/// Whether an image has a file `import`: while it may be imported, or is.
pub(super) fn is_importable(image: &Image) -> bool {
    matches!(image.status, Status::Queued | Status::Uploading | Status::Importing)
}

impl FileSystem {
    /// What the service tells of the last import of an image; nothing where there was none.
    pub(super) async fn import_text(&self, id: ImageId) -> Result<String> {
        let tasks = self.service.tasks(id).await?;
        let Some(task) = tasks.last() else { return Ok(String::new()) };
        // What an import that failed has left is known only by looking after it.
        let failed = task.status == TaskStatus::Failure;
        let status =
            if failed { self.look(id).await?.status } else { self.catalogue.image(id).await?.value.status.clone() };
        Ok(told(task, &status))
    }

    /// Has the service fetch an image from a URL.
    pub(super) async fn commit_import(&self, id: ImageId, text: &str) -> Result<()> {
        let url = text.trim();
        if !url.contains("://") || url.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            // Who writes back what was there asks for nothing.
            return if url == self.import_text(id).await?.trim() { Ok(()) } else { Err(FsError::NoUrl) };
        }
        if self.spooled(id).is_some_and(|upload| upload.len().is_ok_and(|length| length > 0)) {
            return Err(FsError::HasSpool(id));
        }
        self.set_formats(id, url).await?;
        self.service.import(id, url).await.map_err(FsError::Change)?;
        if let Err(error) = self.look(id).await {
            tracing::debug!(image = %id, %error, "an image that is imported was not looked at");
        }
        Ok(())
    }

    /// The service imports nothing of which it does not know the formats. Those that the image lacks are what the end of the
    /// URL says, in the usual wrapping.
    async fn set_formats(&self, id: ImageId, url: &str) -> Result<()> {
        let image = self.look(id).await?;
        let mut changes = Vec::new();
        if image.disk_format.is_none() {
            let format = format_of(url).ok_or(FsError::NoFormat(id))?;
            changes.push(Change::set("disk_format", format));
        }
        if image.container_format.is_none() {
            changes.push(Change::set("container_format", "bare"));
        }
        if changes.is_empty() { Ok(()) } else { self.update(id, &changes).await }
    }
}

/// The disk format that the end of a URL's path names.
fn format_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let (_, end) = path.rsplit_once('.')?;
    // An `.img` may be anything.
    FORMATS.into_iter().find(|format| end.eq_ignore_ascii_case(format) && !WRAPPED.contains(format))
}

/// A task in words: its state and what it fetches, and what the service says of it.
fn told(task: &Task, status: &Status) -> String {
    let mut text = task.status.as_str().to_owned();
    for word in [&task.method, &task.uri].into_iter().flatten() {
        let _ = write!(text, " {word}");
    }
    text.push('\n');
    if !task.message.is_empty() {
        let plain = task.message.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        text.extend(plain.chain(['\n']));
    }
    if task.status == TaskStatus::Failure {
        text.push_str(match status {
            Status::Queued => "The image is queued again: another import may be tried.\n",
            _ => "The image stays as it is, which the service does not mend: remove it, and make a new one.\n",
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn an_import_that_failed_says_why_and_whether_another_one_may_be_tried() {
        let failed = task(TaskStatus::Failure, "Task failed due to Internal Error");
        let again = told(&failed, &Status::Queued);
        assert!(again.starts_with("failure web-download http://x/y\nTask failed due to Internal Error\n"), "{again}");
        assert!(again.contains("another import may be tried"), "{again}");
        assert!(told(&failed, &Status::Importing).contains("make a new one"));
    }

    #[test]
    fn the_end_of_a_url_names_the_format() {
        assert_eq!(format_of("https://x.org/a/disk.QCOW2?token=1#x"), Some("qcow2"));
        assert_eq!((format_of("https://x.org/disk.img"), format_of("https://x.iso/disk")), (None, None));
    }

    #[test]
    fn an_import_under_way_is_one_line() {
        assert_eq!(told(&task(TaskStatus::Processing, ""), &Status::Importing), "processing web-download http://x/y\n");
    }
}
