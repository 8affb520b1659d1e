//! The embedded Image service.
