//! What was asked, the environment and `clouds.yaml`, turned into validated settings.
