//! Uploads that are written down before their image is made, by a program that makes it, fills it and tells of it only then.
//! Where such a program was killed, nobody has seen its image, and the program is not there any more to whom the bytes came:
//! the next one of its kind may begin anew. An image that was made otherwise, or whose upload somebody wrote in a mount since,
//! is none of these.

use std::io;
use std::sync::Arc;

use tokio::time::Instant;

use super::error::WriteError;
use super::home::Home;
use super::job::Job;
use super::journal::{Entry, Found, Journal};
use super::uploads::Uploads;
use super::writer::{ASKING, SETTLING};
use crate::image::{ImageId, Status};
use crate::service::Kind;

/// An upload whose program was ended before its image was active. Nobody else takes it up while this lives.
pub struct Orphan {
    entry: Entry,
    home: Arc<Home>,
}

impl Orphan {
    /// The image; perhaps it was not made.
    pub fn image(&self) -> ImageId {
        self.entry.image
    }

    /// What the service shows of the image; `None` where there is none. Where bytes were on their way when the program was
    /// ended, it is waited for a while until the service has noticed.
    ///
    /// # Errors
    /// [`WriteError::Service`] where the service cannot be asked.
    pub async fn status(&self) -> Result<Option<Status>, WriteError> {
        let began = Instant::now();
        loop {
            match self.home.service.show(self.image()).await {
                Ok(image) if image.status == Status::Saving && began.elapsed() < SETTLING => {
                    tokio::time::sleep(ASKING).await;
                }
                Ok(image) => return Ok(Some(image.status)),
                Err(error) if error.kind == Kind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes the upload. The image is the affair of who asks.
    ///
    /// # Errors
    /// [`WriteError::Spool`] where the disk fails.
    pub async fn remove(self) -> Result<(), WriteError> {
        let (image, journal) = (self.image(), self.home.journal.clone());
        let removed = self.home.blocking(move || journal.remove(image)).await;
        removed.map_err(|error| WriteError::spool(format!("remove the upload of image {image}"), error))
    }
}

impl Uploads {
    /// Begins an upload to an image that is to be made with this id and name: who is killed in between leaves nothing that
    /// cannot be found.
    ///
    /// # Errors
    /// [`WriteError::Spool`] where the disk fails.
    pub async fn foretell(&self, image: ImageId, name: &str) -> Result<(), WriteError> {
        let (journal, job) = (self.home.journal.clone(), Job::foretold(image, name));
        let made = self.home.briefly(move || {
            let data = journal.make(image, &job)?.ok_or(io::ErrorKind::AlreadyExists)?;
            Ok(Entry { image, job, data })
        });
        let entry = made.await.map_err(|error| WriteError::spool(format!("make a spool for image {image}"), error))?;
        self.adopt(entry);
        Ok(())
    }

    /// The foretold uploads of images of this name whose programs were ended.
    ///
    /// # Errors
    /// [`WriteError::Spool`] where the disk fails.
    pub async fn orphans(&self, name: &str) -> Result<Vec<Orphan>, WriteError> {
        let (journal, folder, name) = (self.home.journal.clone(), self.home.settings.folder.clone(), name.to_owned());
        // What another boot or another machine has begun may be somebody's by now.
        let is_one = move |job: &Job| job.foretold && job.is_of_this_machine() && job.name.as_deref() == Some(&name);
        let found = self.home.blocking(move || {
            let mut found = Vec::new();
            for (image, _) in Journal::peek(&folder)?.into_iter().filter(|(_, job)| is_one(job)) {
                // Another program may have written to it before the lock.
                if let Found::Entry(entry) = journal.take(image)?
                    && is_one(&entry.job)
                {
                    found.push(*entry);
                }
            }
            Ok(found)
        });
        let found =
            found.await.map_err(|error| WriteError::spool("look for uploads that were left".to_owned(), error))?;
        Ok(found.into_iter().map(|entry| Orphan { entry, home: Arc::clone(&self.home) }).collect())
    }

    /// The uploads of images of this name that are in the folder, whoever is at them.
    ///
    /// # Errors
    /// [`WriteError::Folder`] where that cannot be read.
    pub async fn named(&self, name: &str) -> Result<Vec<ImageId>, WriteError> {
        let folder = self.home.settings.folder.clone();
        let looked = self.home.blocking(move || Ok(Self::peek(&folder))).await;
        let found = looked.unwrap_or(Err(WriteError::Closed))?;
        Ok(found.into_iter().filter(|left| left.name.as_deref() == Some(name)).map(|left| left.image).collect())
    }
}
