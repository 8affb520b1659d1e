//! `import`: a URL that is written to it makes the service fetch an image's bytes by itself; it reads as what came of that.

use std::fmt::Write;

use super::document;
use super::error::FsError;
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, Status, Task, TaskStatus};

/// Whether an image has a file `import`: while it may be imported, or is.
pub(super) fn is_importable(image: &Image) -> bool {
    matches!(image.status, Status::Queued | Status::Uploading | Status::Importing)
}

impl FileSystem {
    /// What the service tells of the last import of an image; nothing where there was none.
    pub(super) async fn import_text(&self, id: ImageId) -> Result<String> {
        let image = self.catalogue.image(id).await?.value;
        let tasks = self.service.tasks(id).await?;
        Ok(tasks.last().map_or_else(String::new, |task| told(task, &image.status)))
    }

    /// Has the service fetch an image from a URL.
    pub(super) async fn commit_import(&self, id: ImageId, text: &str) -> Result<()> {
        let url = text.trim();
        // Who writes back what was there asks for nothing.
        if url == self.import_text(id).await?.trim() {
            return Ok(());
        }
        if !url.contains("://") || url.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(FsError::NoUrl(document::shown(text)));
        }
        if self.spooled(id).is_some_and(|upload| upload.len().is_ok_and(|length| length > 0)) {
            return Err(FsError::HasSpool(id));
        }
        self.service.import(id, url).await.map_err(FsError::Change)?;
        self.look(id).await.map(drop)
    }
}

/// A task in words: its state and what it fetches, and what the service says of it.
fn told(task: &Task, status: &Status) -> String {
    let mut text = task.status.as_str().to_owned();
    for word in [&task.method, &task.uri].into_iter().flatten() {
        let _ = write!(text, " {word}");
    }
    text.push('\n');
    if !task.message.is_empty() {
        let _ = writeln!(text, "{}", document::shown(&task.message));
    }
    if task.status == TaskStatus::Failure {
        text.push_str(match status {
            Status::Importing => {
                "The image stays as it is, which the service does not mend: remove it, and make a new one.\n"
            }
            _ => "The image is queued again: another import may be tried.\n",
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
    fn an_import_under_way_is_one_line() {
        assert_eq!(told(&task(TaskStatus::Processing, ""), &Status::Importing), "processing web-download http://x/y\n");
    }
}
