//! What a complete text of a small file says is to be done.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::document::{self, Base, Malformed, Parsed, Refused, Tagged};
use super::error::FsError;
use super::node::{Document, Node};
use super::restoring::says_queued;
use super::writing::Process;
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, Status};
use crate::schema::Schema;
use crate::service::{Action, Api, Change, Kind};
use crate::write::Expected;

/// By what is decided what of a document can be written.
enum Rules {
    /// By the schema of images.
    Image(Arc<Schema>),
    /// By the words of the Compute API, which takes properties alone.
    Compute,
}

impl FileSystem {
    /// Does what `text` says that `node` is to hold. `by` are those who wrote it, the last one first.
    pub(super) async fn commit(&self, node: &Node, text: &[u8], by: &[Process]) -> Result<()> {
        self.may_be_written(node)?;
        let _stir = self.stir(node.image());
        match node {
            Node::Document(id, Document::Metadata) => self.commit_metadata(*id, text, by).await,
            Node::Document(id, Document::Status) => self.commit_status(*id, line_of(text)?, by).await,
            Node::Document(id, Document::Import) => self.commit_import(*id, line_of(text)?).await,
            Node::Document(id, Document::Checksums) => self.commit_checksums(*id, line_of(text)?).await,
            Node::Item(id, collection, entry) => self.commit_item((*id, *collection, entry), line_of(text)?, by).await,
            _ => Err(FsError::BadHandle),
        }
    }

    /// Sends what differs between the document and the one that its writer last had, in one PATCH. The image is looked at
    /// before: what somebody else changed meanwhile stays, and of a difference that is none any more nothing is sent.
    async fn commit_metadata(&self, id: ImageId, text: &[u8], by: &[Process]) -> Result<()> {
        let Parsed::Complete(document) = document::parse(text)? else {
            return Err(Malformed::unfinished(text).into());
        };
        let rules = self.rules().await;
        let _turn = self.editing.turn(id).await;
        // A backup or a template was made from no version of this image.
        let is_own = document.get("id").and_then(Value::as_str) == Some(id.as_str());
        let base = if is_own { self.readings.base_of(id, &document, by) } else { Base::Unknown };
        if base != Base::Unknown {
            // Somebody has what it looked like before, and may make a document of that or of what comes now.
            let updated = self.catalogue.known(id).map_or(Timestamp::UNIX_EPOCH, |seen| seen.value.updated_at);
            self.pacing.wait(id, updated, Timestamp::now()).await;
        }
        let current = self.look(id).await?;
        let changes =
            changes_from(base, &document, &current, &rules).map_err(|refused| self.anothers(refused, &current))?;
        // Who writes the visibility alone means that.
        let may_leave = !is_own && document.len() > 1;
        self.send_changes(id, &changes, may_leave).await?;
        if !changes.is_empty() {
            self.pacing.changed(id);
        }
        // A name that it had is none any more.
        self.kernel.has_forgotten().await;
        if is_own {
            // What its writer changes next is compared with what he has.
            self.readings.saved(id, text, by);
        } else {
            self.restorers.restore(id, &document, by);
        }
        if says_queued(&document) { self.stay_queued(id).await } else { Ok(()) }
    }

    /// Sends what a document changes. Not everybody may give an image each visibility, and who puts a backup back wants the
    /// rest of it all the same: with `may_leave` that is passed over.
    async fn send_changes(&self, id: ImageId, changes: &[Change], may_leave: bool) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.takes_properties()?;
        match self.update(id, changes).await {
            Err(FsError::Change(error)) if may_leave && error.kind == Kind::Forbidden => {
                let is_rest = |change: &&Change| !matches!(change, Change::Set { key, .. } if key == "visibility");
                let rest: Vec<_> = changes.iter().filter(is_rest).cloned().collect();
                match rest.len() {
                    0 => Ok(()),
                    count if count == changes.len() => Err(FsError::Change(error)),
                    _ => self.update(id, &rest).await,
                }
            }
            outcome => outcome,
        }
    }

    /// Nobody changes what only the service writes. Of another project's image it is not the value that is wrong.
    fn anothers(&self, refused: Refused, image: &Image) -> FsError {
        let is_anothers = self.writable().is_ok() && !self.rights_on(image).change;
        match refused {
            Refused::ReadOnly { .. } if is_anothers => FsError::Anothers(image.id, refused),
            other => other.into(),
        }
    }

    /// What can be written to a document.
    async fn rules(&self) -> Rules {
        match self.offers.api {
            Api::Image => Rules::Image(self.schema().await),
            Api::Compute => Rules::Compute,
        }
    }

    /// What the service says that an image's attributes may be; what it usually says, while it does not.
    pub(super) async fn schema(&self) -> Arc<Schema> {
        match self.service.schema().await {
            Ok(schema) => schema,
            Err(error) => {
                tracing::debug!(%error, "the schema of images could not be asked for");
                Schema::builtin().into()
            }
        }
    }

    /// The image as the service shows it at this moment.
    pub(super) async fn look(&self, id: ImageId) -> Result<Image> {
        let asked = Instant::now();
        let image = self.service.show(id).await?;
        self.catalogue.saw(image.clone(), asked);
        Ok(image)
    }

    async fn commit_status(&self, id: ImageId, text: &str, by: &[Process]) -> Result<()> {
        let wanted = Status::from(text.trim());
        let action = match wanted {
            Status::Active => Action::Reactivate,
            Status::Deactivated => Action::Deactivate,
            _ => return self.keep_status(id, &wanted, by).await,
        };
        self.restorers.say(id, &wanted, by);
        if self.is_about_to_be_active(id).await? {
            if wanted == Status::Active && self.settings.write_back {
                return Ok(());
            }
            if let Some(upload) = self.spooled(id) {
                self.settled(&upload).await?;
            }
            if wanted == Status::Active {
                return Ok(());
            }
        }
        match self.service.act(id, action).await {
            Ok(()) => self.catalogue.amend(id, |image| image.status = wanted),
            // Who may not change it may say what it is.
            Err(error) if matches!(error.kind, Kind::Forbidden | Kind::Conflict) => {
                let status = self.look(id).await?.status;
                if status != wanted {
                    let is_early = error.kind == Kind::Conflict && status == Status::Queued;
                    if is_early && wanted == Status::Active && self.restorers.copies(id, by) {
                        // It will be, once who copies comes to the data.
                        return Ok(());
                    }
                    return Err(if is_early { FsError::WithoutData(error) } else { FsError::Change(error) });
                }
            }
            Err(error) => return Err(FsError::Change(error)),
        }
        Ok(())
    }

    /// Whether data of ours are on their way to the image, which makes it active. Who copies a folder file by file writes the
    /// status behind the data, and those may rest until somebody says that they are all.
    async fn is_about_to_be_active(&self, id: ImageId) -> Result<bool> {
        match self.spooled(id) {
            Some(upload) => Ok(upload.hasten().await?),
            None => Ok(false),
        }
    }

    /// Nobody gives an image another status than these two; who writes the one that it has means that it stays so.
    async fn keep_status(&self, id: ImageId, wanted: &Status, by: &[Process]) -> Result<()> {
        let status = self.look(id).await?.status;
        match wanted {
            Status::Queued if status == Status::Queued => {
                self.restorers.say(id, wanted, by);
                self.stay_queued(id).await
            }
            wanted if status == *wanted => Ok(()),
            Status::Queued => Err(FsError::NeverQueued { image: id, status: status.to_string() }),
            other => Err(FsError::NoStatus(document::shown(other.as_str()))),
        }
    }

    /// The image is to stay queued: of no bytes that rest, or that somebody is about to leave, nothing is made.
    pub(super) async fn stay_queued(&self, id: ImageId) -> Result<()> {
        match &self.uploads {
            Some(uploads) => Ok(uploads.stay_queued(id).await?),
            None => Ok(()),
        }
    }

    /// Once the image has its bytes, their hashes are what they are.
    async fn commit_checksums(&self, id: ImageId, text: &str) -> Result<()> {
        let wanted = document::tagged(text).map_err(|line| FsError::NoChecksum(document::shown(line)))?;
        if let Some(upload) = self.spooled(id) {
            // Nothing is told any more of data that are on their way: behind them there is something to compare with.
            upload.is_over().await;
        }
        let image = self.catalogue.image(id).await?.value;
        if !image.status.has_data() {
            return self.note_expected(&image, &wanted).await;
        }
        let has = document::tagged(&document::render(&image, Document::Checksums)).unwrap_or_default();
        if wanted.iter().all(|line| has.contains(line)) { Ok(()) } else { Err(FsError::OtherChecksums(id)) }
    }

    /// Notes what the data that are still to be written have to be. It is kept with them, and so makes a place for them.
    async fn note_expected(&self, image: &Image, wanted: &[Tagged]) -> Result<()> {
        let expected = expected_of(wanted)?;
        if expected == Expected::default() {
            return Ok(());
        }
        if !self.rights_on(image).change {
            return Err(FsError::NotPermitted(
                "the image belongs to another project, which says what its data are to be",
            ));
        }
        let upload = if let Some(upload) = self.spooled(image.id) {
            upload
        } else {
            let uploads = self.uploads.as_ref().ok_or(FsError::NoSpool)?;
            match uploads.begin(image).await {
                Ok(writer) => Arc::clone(writer.upload()),
                Err(error) => return Err(self.untaken(image, error).await),
            }
        };
        Ok(upload.note_expected(expected).await?)
    }

    /// The lines that the data that are still to be written have to fit.
    pub(super) fn expected_text(&self, id: ImageId) -> Option<String> {
        let Expected { md5, sha512 } = self.spooled(id)?.expected()?;
        let line = |name: &str, hash: Option<String>| hash.map(|hash| format!("{name} (data) = {hash}\n"));
        Some([line("SHA512", sha512), line("MD5", md5)].into_iter().flatten().collect())
    }
}

/// What a document changes that was made from `base`. Where that is one of several, it must not matter which; where its writer
/// had several, none of the changes may be one that he did not make.
fn changes_from(
    base: Base,
    document: &Map<String, Value>,
    current: &Image,
    rules: &Rules,
) -> std::result::Result<Vec<Change>, Refused> {
    let changes = |base: Option<&Map<String, Value>>| match rules {
        Rules::Image(schema) => document::changes(document, base, current, schema),
        Rules::Compute => document::compute::changes(document, base, current),
    };
    match base {
        Base::Known(base) => changes(Some(&base)),
        Base::Unknown => changes(None),
        Base::InHand(bases) => {
            let Some((newest, older)) = bases.split_first() else { return Err(Refused::Outdated) };
            let found = changes(Some(newest))?;
            let is_one = |change: &Change, older| match rules {
                Rules::Image(_) => document::takes_back(change, document, newest, older),
                Rules::Compute => document::compute::takes_back(change, document, older),
            };
            let is_doubtful = found.iter().any(|change| older.iter().any(|older| is_one(change, older)));
            if is_doubtful { Err(Refused::Outdated) } else { Ok(found) }
        }
        Base::OneOf(bases) => {
            let mut all = bases.iter().map(|base| changes(Some(base)));
            let first = all.next().unwrap_or(Err(Refused::Outdated))?;
            if all.all(|other| other.as_ref() == Ok(&first)) { Ok(first) } else { Err(Refused::Outdated) }
        }
    }
}

/// What lines of `checksums` ask for. Those of other algorithms are passed over where one of the two is there that are
/// compared with.
fn expected_of(lines: &[Tagged]) -> Result<Expected> {
    let refused =
        |(algorithm, hash): &Tagged| FsError::NoChecksum(document::shown(&format!("{algorithm} (data) = {hash}")));
    let mut expected = Expected::default();
    for line @ (algorithm, hash) in lines {
        let (place, digits) = match algorithm.as_str() {
            "MD5" => (&mut expected.md5, 32),
            "SHA512" => (&mut expected.sha512, 128),
            _ => continue,
        };
        // No bytes have a hash of another length, and none have two.
        if hash.len() != digits || place.as_ref().is_some_and(|other| other != hash) {
            return Err(refused(line));
        }
        *place = Some(hash.clone());
    }
    match lines.first() {
        Some(first) if expected == Expected::default() => Err(refused(first)),
        _ => Ok(expected),
    }
}

/// The text of a file that holds lines.
fn line_of(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text).map_err(|_| FsError::NotText)
}

/// A property's value, or a word: all but the newline at the end.
pub(super) fn value_of(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

/// A value as the service takes it.
pub(super) fn text_value(text: &str) -> Value {
    Value::String(value_of(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_that_no_bytes_have_are_refused_before_bytes_are_written() {
        let (md5, sha512, sha256) = ("a".repeat(32), "b".repeat(128), "c".repeat(64));
        let of = |lines: &[(&str, &str)]| {
            let lines: Vec<Tagged> = lines.iter().map(|(of, hash)| ((*of).to_owned(), (*hash).to_owned())).collect();
            expected_of(&lines).ok()
        };
        let both = Expected { md5: Some(md5.clone()), sha512: Some(sha512.clone()) };
        assert_eq!(of(&[("SHA512", &sha512), ("MD5", &md5), ("MD5", &md5)]), Some(both));
        let only = Expected { md5: Some(md5.clone()), sha512: None };
        assert_eq!(of(&[("SHA256", &sha256), ("MD5", &md5)]), Some(only));
        assert_eq!(of(&[]), Some(Expected::default()));
        for wrong in [
            &[("MD5", &*md5), ("MD5", &"d".repeat(32))][..],
            &[("MD5", &sha512)],
            &[("SHA512", "00")],
            &[("MD5", &md5), ("SHA512", &sha256)],
            &[("SHA256", &sha256)],
            &[("md5", &md5)],
        ] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
