//! Small files that are open for writing. What is written to one is a call of the service, made where the writer hears what
//! comes of it; see [`super::draft`] for when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::draft::{Draft, Rule};
use super::error::FsError;
use super::handle::{Handle, HandleId};
use super::inode::Ino;
use super::mode::Mode;
use super::node::{Collection, Document, Node};
use super::open::{Opened, Writing};
use super::ops::gone;
use super::writing::{Asker, Closing, Process};
use super::{FileSystem, Result, document};
use crate::image::Image;
use crate::sync::{Mutex, lock};

/// A small file, open for writing.
pub(super) struct DraftHandle {
    ino: Ino,
    node: Node,
    opener: Process,
    draft: Mutex<Draft>,
    /// Somebody closed it, and nobody has changed it since.
    is_closed: AtomicBool,
    /// Somebody opened a tag or a member as who makes it does, and may have found what is there no more.
    is_made: AtomicBool,
}

impl DraftHandle {
    /// Whether it is this file.
    pub(super) fn is_of(&self, node: &Node) -> bool {
        self.node == *node
    }

    /// How long its text is.
    pub(super) fn length(&self) -> u64 {
        lock(&self.draft).length()
    }

    /// Whether `process` has it open with another text than the file's.
    fn is_written_by(&self, process: Process) -> bool {
        let is_open = self.opener == process && process != Process::UNKNOWN && !self.is_closed.load(Ordering::Relaxed);
        is_open && lock(&self.draft).is_ahead()
    }

    fn is_removed(&self) -> bool {
        lock(&self.draft).is_removed()
    }

    fn changes(&self) {
        self.is_closed.store(false, Ordering::Relaxed);
    }

    /// What was written so far.
    pub(super) fn read(&self, offset: u64, size: u32) -> Bytes {
        Bytes::copy_from_slice(lock(&self.draft).read(offset, usize::try_from(size).unwrap_or(usize::MAX)))
    }
}

impl FileSystem {
    /// How long a small file is for who writes it: by an open file, where the kernel says which one. It does not for a
    /// mere look (fstat(2)): then by the newest that the process has.
    pub(super) fn draft_length(&self, node: &Node, handle: Option<HandleId>, by: Asker) -> Option<u64> {
        if let Some(handle) = handle
            && let Ok(handle) = self.handles.get(handle)
        {
            return if let Handle::Draft(draft) = handle.as_ref() { Some(draft.length()) } else { None };
        }
        let drafts = self.handles.drafts_of(node);
        let process = if drafts.is_empty() { return None } else { by.process() };
        drafts.iter().rev().find(|draft| draft.is_written_by(process)).map(|draft| draft.length())
    }

    /// What `checksums` holds: what the data are, or have to be.
    pub(super) fn checksums_text(&self, image: &Image) -> String {
        let expected = self.expected_text(image.id).filter(|_| !image.status.has_data());
        expected.unwrap_or_else(|| document::text_of(image, Document::Checksums, self.offers.api))
    }

    /// What a small file of an image holds now.
    pub(super) async fn text_of(&self, node: &Node) -> Result<String> {
        match node {
            Node::Document(id, Document::Import) => self.import_text(*id).await,
            Node::Document(id, Document::Checksums) => Ok(self.checksums_text(&self.catalogue.image(*id).await?.value)),
            // By its time it is told later from which version a document was made.
            Node::Document(id, Document::Metadata) => {
                let image = self.catalogue.whole(*id).await?.value;
                Ok(document::text_of(&image, Document::Metadata, self.offers.api))
            }
            Node::Document(id, document) => {
                Ok(document::text_of(&self.catalogue.image(*id).await?.value, *document, self.offers.api))
            }
            Node::Item(id, collection, entry) => {
                let image = self.catalogue.image(*id).await?.value;
                Ok(self.item(&image, *collection, entry).await?.text)
            }
            other if other.is_folder() => Err(FsError::IsAFolder(other.path())),
            _ => Err(FsError::BadHandle),
        }
    }

    /// Makes sure that a small file is there whose text is not asked for.
    async fn is_there(&self, node: &Node) -> Result<()> {
        match node {
            Node::Document(id, _) => self.catalogue.image(*id).await.map(drop).map_err(FsError::from),
            _ => self.text_of(node).await.map(drop),
        }
    }

    /// Opens a small file for writing.
    pub(super) async fn open_draft(&self, ino: Ino, node: &Node, asked: Writing) -> Result<Opened> {
        self.writable()?;
        self.may_be_written(node)?;
        let text = if asked.truncate {
            self.is_there(node).await.map(|()| String::new())?
        } else {
            self.text_of(node).await?
        };
        if let (Node::Document(id, Document::Metadata), false) = (node, asked.truncate) {
            self.readings.read(*id, text.as_bytes(), asked.process);
        }
        let rule = if matches!(node, Node::Document(_, Document::Metadata)) { Rule::Object } else { Rule::Line };
        let draft = Mutex::new(Draft::new(rule, text.into_bytes()));
        let is_named = matches!(node, Node::Item(_, Collection::Tags | Collection::Members, _));
        let handle = DraftHandle {
            ino,
            node: node.clone(),
            opener: asked.process,
            draft,
            is_closed: AtomicBool::new(false),
            is_made: AtomicBool::new(asked.truncate && is_named),
        };
        Ok(Opened { handle: self.handles.insert(Handle::Draft(Arc::new(handle))), mode: Mode::Direct { keep: false } })
    }

    /// Writes to a small file, and does what the text says where that is complete now.
    pub(super) async fn write_draft(&self, file: &DraftHandle, offset: u64, bytes: &[u8]) -> Result<()> {
        if let Some(refusal) = lock(&file.draft).refusal() {
            return Err(refusal);
        }
        file.changes();
        let written = lock(&file.draft).write(offset, bytes).map_err(FsError::from);
        let outcome = match written {
            Ok(Some(text)) => self.commit_draft(file, text).await,
            other => other.map(drop),
        };
        self.heard(file, outcome)
    }

    async fn commit_draft(&self, file: &DraftHandle, text: Vec<u8>) -> Result<()> {
        self.commit(&file.node, &text, &[file.opener]).await?;
        file.is_made.store(false, Ordering::Relaxed);
        lock(&file.draft).settle(text);
        Ok(())
    }

    /// Notes what came of something that was written.
    fn heard(&self, file: &DraftHandle, outcome: Result<()>) -> Result<()> {
        let outcome = outcome.map_err(|error| gone(&file.node, error));
        if let Err(error) = &outcome {
            lock(&file.draft).refuse(error.clone());
        }
        self.noted_write(file.ino, &file.node, outcome)
    }

    /// Notes what came of something else than writing.
    pub(super) fn noted_draft(&self, file: &DraftHandle, outcome: Result<()>) -> Result<()> {
        self.noted_write(file.ino, &file.node, outcome)
    }

    /// Cuts what was written.
    pub(super) fn truncate_draft(&self, file: &DraftHandle, length: u64) -> Result<()> {
        file.changes();
        let outcome = lock(&file.draft).truncate(length).map_err(FsError::from);
        self.heard(file, outcome)
    }

    /// Does what the text says that is there, if that was not done before.
    pub(super) async fn sync_draft(&self, file: &DraftHandle) -> Result<()> {
        let (rest, refusal) = {
            let draft = lock(&file.draft);
            (draft.rest().map(|rest| rest.map(<[u8]>::to_vec)), draft.refusal())
        };
        match (rest, refusal) {
            (_, Some(refusal)) => Err(refusal),
            (Some(rest), None) => {
                let outcome = match rest {
                    Ok(text) => self.commit_draft(file, text).await,
                    Err(untaken) => Err(untaken.into()),
                };
                self.heard(file, outcome)
            }
            (None, None) => Ok(()),
        }
    }

    /// Somebody waits until the file is what he made it. What was made and got no text is there without.
    pub(super) async fn fsync_draft(&self, file: &DraftHandle) -> Result<()> {
        self.sync_draft(file).await?;
        if file.is_removed() {
            return Ok(());
        }
        let is_made = file.is_made.swap(false, Ordering::Relaxed);
        let outcome = match self.begun.has(&file.node) {
            true => self.make_begun(&file.node).await,
            false if is_made => self.put_back(&file.node).await,
            false => return Ok(()),
        };
        self.heard(file, outcome)
    }

    /// A process closes one of its descriptors of a small file. The close by the one that opened it counts, and the last one
    /// where it can be told: descriptors that others have inherited are closed while it still writes, and a shell that sends
    /// an `echo` to a file closes one before the `echo`, or behind each. What one wrote who was killed is not all, and is
    /// dropped.
    pub(super) async fn close_draft(
        &self,
        file: &DraftHandle,
        process: impl FnOnce() -> Process,
        closing: impl Future<Output = Closing>,
    ) -> Result<()> {
        file.is_closed.store(true, Ordering::Relaxed);
        let (is_written, is_refused) = {
            let draft = lock(&file.draft);
            (draft.rest().is_some(), draft.refusal().is_some())
        };
        let is_made = self.begun.has(&file.node) || file.is_made.load(Ordering::Relaxed);
        if !is_written && !is_refused && !is_made {
            return Ok(());
        }
        let process = process();
        if process != file.opener || process == Process::UNKNOWN {
            return Ok(());
        }
        match closing.await {
            Closing::Killed => {
                self.abandon_draft(file);
                Ok(())
            }
            Closing::OneOfSeveral if self.is_only_one(file) => Ok(()),
            Closing::OneOfSeveral | Closing::Last => self.fsync_draft(file).await,
        }
    }

    /// Who opened it was killed: what he wrote is not all, and what he made is to be nothing.
    pub(super) fn abandon_draft(&self, file: &DraftHandle) {
        lock(&file.draft).abandon();
        self.end_begun(&file.node);
    }

    /// Whether its opener has the file open only once: what is open still is this, then.
    fn is_only_one(&self, file: &DraftHandle) -> bool {
        self.handles.drafts_of(&file.node).iter().filter(|draft| draft.opener == file.opener).count() == 1
    }

    /// The file was removed, or has another name: who has it open has nothing more to write to.
    pub(super) fn draft_removed(&self, node: &Node) {
        for draft in self.handles.drafts_of(node) {
            lock(&draft.draft).remove();
        }
    }

    /// Whether somebody has written to a file what is not complete yet.
    pub(super) fn is_being_written(&self, node: &Node) -> bool {
        self.handles.drafts_of(node).iter().any(|draft| lock(&draft.draft).rest().is_some())
    }

    /// The last descriptor is closed: what no close has made complete is complete now. Nobody hears what comes of it but
    /// those who look.
    pub(super) fn release_draft(self: &Arc<Self>, file: &Arc<DraftHandle>) {
        let is_written = lock(&file.draft).rest().is_some();
        let is_begun = self.begun.has(&file.node) && !file.is_removed();
        if !is_written && !is_begun {
            return;
        }
        let (fs, file) = (Arc::clone(self), Arc::clone(file));
        tokio::spawn(async move {
            // The outcome is noted by who does it.
            let _ = fs.sync_draft(&file).await;
            if is_begun {
                let _ = fs.settle_begun(&file.node).await;
            }
        });
    }
}
