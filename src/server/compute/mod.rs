//! The Compute API's words about images, as Nova 34 says them: a second view of the images that the Image API shows.
//!
//! Nova keeps no images. It asks Glance for each, and translates: lists, details, deletion, and the properties under
//! the name of metadata. Here the store is asked directly, by the same rules, so that what Glance refuses comes out in
//! the words that Nova gives it.

mod answer;
mod body;
mod error;
mod list;
mod metadata;
mod path;
mod version;
mod view;

pub(crate) use answer::answer;
pub(crate) use path::{Address, PREFIX};
