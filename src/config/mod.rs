//! What was asked, the environment and `clouds.yaml`, turned into validated settings.

pub mod mount_options;
pub mod mount_settings;
pub mod quantity;
