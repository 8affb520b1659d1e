//! The Image service: the trait [`ImageService`], its typed error, and what implements them.
//!
//! This is the only module that names `reqwest`, and HTTP statuses end here: what leaves it are [`Image`]s, bytes and
//! [`ServiceError`]s.

pub mod auth;
pub mod change;
pub mod clock;
pub mod compute;
mod document;
pub mod error;
pub(crate) mod failure;
pub mod glance;
mod http;
pub mod meter;
pub mod offers;
pub mod page;
mod readable;
pub mod remarks;
pub mod retry;
pub(crate) mod tls;
mod turns;
mod words;

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

pub use change::{Action, Change, NewImage, Outgoing};
pub use error::{Kind, ServiceError};
pub use meter::Vitals;
pub use offers::{Api, Offers};
pub use page::{Marker, Page};
pub use remarks::Remarks;

use crate::image::{Image, ImageId, Member, MemberStatus, Task, Text, Usage};
use crate::schema::Schema;

/// A result of the service layer.
pub type Result<T> = std::result::Result<T, ServiceError>;

/// An image's bytes as they arrive. It yields exactly the bytes that were asked for or ends with an error; a connection
/// that dies on the way is resumed inside, so that an error here is final. An item without bytes says that some arrive which
/// were yielded before: a stream that had to start over passes them.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// What identifies the bytes to be read, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The image.
    pub image: ImageId,
    /// The length of the whole image in bytes.
    pub size: u64,
    /// The store to read from, where the image is in several and one is preferred.
    pub store: Option<Text>,
}

/// Which images to list, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Filters as the API names them (`status`, `tag`, `updated_at`, any property); a repeated key keeps its repetition.
    pub filters: Vec<(String, String)>,
    /// Keys to sort by, the first one first; the service's own order (newest first) when empty.
    pub sort: Vec<(String, Direction)>,
    /// How many images are enough, where they are so few that a page can be shorter for it.
    pub enough: Option<usize>,
}

/// The direction of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// An Image service, as far as the filesystem needs one.
///
/// Every call has deadlines of its own, retries what may be retried, and renews a token that expired; the caller waits
/// for the outcome and need not repeat it. Only [`ImageService::upload`] is a single try. A change whose answer was lost is
/// asked for again, and what it finds done then is a success.
#[async_trait]
pub trait ImageService: Send + Sync + 'static {
    /// The id of the project that asks; `None` where the service has none, or does not tell.
    fn project(&self) -> Option<&str> {
        None
    }

    /// Whether who asks has the role of administrators, who may change the images of every project. What they really
    /// may is the service's to say: its policies can be others.
    fn is_administrator(&self) -> bool {
        false
    }

    /// What this service offers; the same for as long as it lives.
    fn offers(&self) -> Offers {
        Offers::IMAGE
    }

    /// What was asked of it so far, and how long its token lives. What asks nobody has nothing to tell.
    fn vitals(&self) -> Vitals {
        Vitals::default()
    }

    /// What was said of what is odd about the service's answers. What is odd about a page of a listing is for the reader of
    /// the page to say.
    fn remarks(&self) -> Remarks {
        Remarks::default()
    }

    /// One page of the images that match `query`, beginning behind `marker`.
    ///
    /// # Errors
    /// [`Kind::MarkerGone`] when the marker was deleted meanwhile: begin the listing again.
    async fn list(&self, query: &ListQuery, marker: Option<&Marker>) -> Result<Page>;

    /// One image by its id, listed or not.
    async fn show(&self, image: ImageId) -> Result<Image>;

    /// The projects that an image is shared with. Empty, without a request, is the caller's to know for images that are
    /// not `shared`.
    async fn members(&self, image: ImageId) -> Result<Vec<Member>>;

    /// An image with all that has to be known before its bytes are read: how many there are, their hashes, their stores and
    /// formats. Where the service showed all that with the image already, it is the image as it came.
    ///
    /// # Errors
    /// [`Kind::NotOffered`] where no bytes can be read; else as [`Self::show`].
    async fn with_data(&self, image: Image) -> Result<Image> {
        Ok(image)
    }

    /// An image with what has to be known before it is changed: whose it is, and who sees it where a change would end that.
    /// Where the service showed that with the image already, or nobody tells it, it is the image as it came.
    async fn with_rights(&self, image: Image) -> Result<Image> {
        Ok(image)
    }

    /// The bytes `range` of an image, `range.end` at most its size and the range not empty.
    ///
    /// # Errors
    /// [`Kind::Unseekable`] when the image's store answers no ranges, or a proxy on the way swallows them.
    async fn read_range(&self, source: &Source, range: Range<u64>) -> Result<ByteStream>;

    /// All bytes of an image, from the first to the last, in one request without a range.
    async fn read_all(&self, source: &Source) -> Result<ByteStream>;

    /// How much of the project's quota is used; `None` where the service does not tell.
    async fn usage(&self) -> Result<Option<Usage>>;

    /// Makes an image without bytes. Where an answer was lost, an image that is there under this id, queued and with
    /// this name, is the one that was asked for.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when the id is taken, also by an image that is deleted or not to be seen;
    /// [`Kind::OverQuota`]; [`Kind::Invalid`] for a value that the service does not take; [`Kind::Forbidden`].
    async fn create(&self, image: &NewImage) -> Result<Image>;

    /// Deletes an image, whatever its status. An upload that is under way to it ends with [`Kind::Gone`].
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there was none to begin with; [`Kind::Forbidden`] when it is protected or another
    /// project's.
    async fn delete(&self, image: ImageId) -> Result<()>;

    /// Makes all changes or none, and answers the image as it is then. Changes of the same image follow one another,
    /// because the service writes an image's properties as a whole and would lose some of those that come at once.
    /// A property that is to be removed and is not there is no failure.
    ///
    /// While an image's bytes are being uploaded Glance takes changes too, and forgets them at the end of the upload, when
    /// it writes back the image as it was at the beginning. So they are refused while an upload of ours is under way.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] for what cannot be written (a format is fixed once the image has bytes);
    /// [`Kind::Invalid`] for a value that the service does not take; [`Kind::Conflict`] during an upload.
    async fn update(&self, image: ImageId, changes: &[Change]) -> Result<Image>;

    /// Sends an image's bytes, once: what may be tried again is for the caller to decide, who has the bytes. A success
    /// means that the service has taken them all; the image's hash tells whether they are the right ones.
    ///
    /// # Errors
    /// None of these leaves bytes behind but [`Kind::FormatMismatch`], after which the image is of no more use:
    /// * [`Kind::OverQuota`], [`Kind::TooLarge`], [`Kind::StoreFull`]: there is no room for so many bytes;
    /// * [`Kind::Invalid`]: the formats are not set, or the bytes are not as many as announced;
    /// * [`Kind::Conflict`]: the image is not queued; [`Kind::Gone`], [`Kind::NotFound`]: it was deleted;
    /// * [`Kind::Unavailable`], [`Kind::TimedOut`], [`Kind::Unreachable`]: another try may succeed. The service may
    ///   all the same have taken the bytes, and shows so in the image's status, a little later perhaps.
    async fn upload(&self, outgoing: Outgoing) -> Result<()>;

    /// Deactivates or reactivates an image; doing so again is a success.
    ///
    /// # Errors
    /// [`Kind::Conflict`] for an image that has no bytes; [`Kind::Forbidden`] where a policy reserves it for others.
    async fn act(&self, image: ImageId, action: Action) -> Result<()> {
        not_offered(format!("{} image {image}", action.as_str()))
    }

    /// Gives an image a tag; one that it has already is a success. Refused during an upload, like [`Self::update`].
    ///
    /// # Errors
    /// [`Kind::OverQuota`] for more tags than an image may have; [`Kind::Invalid`] for one that is too long;
    /// [`Kind::Conflict`] during an upload; [`Kind::Forbidden`].
    async fn add_tag(&self, image: ImageId, tag: &str) -> Result<()> {
        not_offered(format!("add the tag '{tag}' to image {image}"))
    }

    /// Takes a tag away from an image. Refused during an upload, like [`Self::update`].
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it was not there to begin with; [`Kind::Conflict`] during an upload;
    /// [`Kind::Forbidden`].
    async fn remove_tag(&self, image: ImageId, tag: &str) -> Result<()> {
        not_offered(format!("remove the tag '{tag}' from image {image}"))
    }

    /// Shares an image with a project, and answers the member as it is then: a project that is one already stays as it
    /// is. The service takes any text for a project.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] when the image's visibility is not `shared`, which the words say, or by a policy;
    /// [`Kind::OverQuota`] for more members than an image may have; [`Kind::Invalid`] for a text that no path can
    /// name, because the member could never be taken away again.
    async fn add_member(&self, image: ImageId, project: &str) -> Result<Member> {
        not_offered(format!("share image {image} with project {project}"))
    }

    /// Shares an image no longer with a project.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it was no member to begin with; [`Kind::Forbidden`] as for [`Self::add_member`].
    async fn remove_member(&self, image: ImageId, project: &str) -> Result<()> {
        not_offered(format!("take image {image} away from project {project}"))
    }

    /// Says what a member project makes of the image; the project itself says it, and an administrator.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is no member; [`Kind::Invalid`] for a status that the service does not know;
    /// [`Kind::Forbidden`] for everybody else, the owner too, and as for [`Self::add_member`].
    async fn set_member(&self, image: ImageId, project: &str, status: &MemberStatus) -> Result<Member> {
        not_offered(format!("set the status of member {project} of image {image} to '{status}'"))
    }

    /// Lets the service fetch an image's bytes from `url` (`web-download`). It answers before it begins: how it goes
    /// on, and whether it failed, [`Self::tasks`] and the image's status tell.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when the image is not queued or an import is under way; [`Kind::Invalid`] for an address
    /// that the service fetches nothing from, and when the formats are not set; [`Kind::NotOffered`];
    /// [`Kind::Forbidden`].
    async fn import(&self, image: ImageId, _url: &str) -> Result<()> {
        not_offered(format!("import into image {image}"))
    }

    /// What the service does, or did, with an image behind its answers, the newest last. Empty where the service does not
    /// tell, and for an image that is gone.
    async fn tasks(&self, _image: ImageId) -> Result<Vec<Task>> {
        Ok(Vec::new())
    }

    /// What the attributes of an image may be, as the service describes it; asked for once. Where the service describes
    /// nothing, what Glance describes.
    async fn schema(&self) -> Result<Arc<Schema>> {
        Ok(Arc::new(Schema::builtin()))
    }
}

fn not_offered<T>(action: impl Into<String>) -> Result<T> {
    Err(ServiceError::new(Kind::NotOffered, action))
}
