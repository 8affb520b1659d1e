//! A small Keystone v3: users, projects and roles from a YAML file, so that several people can be played.

pub mod accounts;
pub(crate) mod login;
pub(crate) mod routes;
pub(crate) mod tokens;
pub(crate) mod totp;
