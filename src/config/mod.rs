//! What was asked, the environment and `clouds.yaml`, turned into validated settings.
//!
//! Clouds are a pure function of a [`Surroundings`] value and the command line's [`OpenStackOptions`]; the rules are
//! openstacksdk's, and the tests compare with what it answers.

pub mod cloud;
pub mod clouds;
pub mod environment;
pub mod error;
pub mod folders;
pub mod mount_options;
pub mod mount_settings;
mod mount_words;
pub mod options;
pub mod quantity;
mod resolve;
pub mod shape;
pub mod source;
pub mod users;
pub mod value;
mod vendors;
pub mod yaml;

pub use cloud::{AuthMethod, Backend, Cloud, Compute, Credential, Domain, Interface, Scope, Tls, TokenCommand, User};
pub use clouds::Clouds;
pub use environment::Surroundings;
pub use error::ConfigError;
pub use options::OpenStackOptions;
pub use source::Source;
