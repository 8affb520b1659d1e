//! glancefs mounts an OpenStack Image service as a folder.
//!
//! The modules form layers; a layer uses those below it and never those above:
//!
//! | layer | subject |
//! |---|---|
//! | [`cli`] | the command line: one file a subcommand |
//! | [`config`] | what was asked, the environment and `clouds.yaml`, turned into settings |
//! | [`mount`] | the kernel side; the only module that names `fuser` |
//! | [`fs`] | the filesystem in plain async Rust |
//! | [`catalogue`], [`read`] | which images exist; which bytes they hold |
//! | [`write`](mod@write) | bytes on their way to the service: spool, journal, queue |
//! | [`cache`] | blocks in memory |
//! | [`service`] | the Image service's API; the only module that names `reqwest` |
//! | [`image`], [`name`], [`budget`] | the words everyone uses; names as directory entries; bytes as guards |
//! | [`plain`] | what others wrote, as people can be shown it |
//! | [`schema`] | which attributes an image has, who writes them, and what they may be |
//! | `hash` | hashes of whole images |
//! | [`allocator`] | how the allocator of the C library is set, so that bytes given back leave the process |
//! | `priority` | threads that go ahead of others |
//! | [`telemetry`] | the log, and what monitoring reads |
//! | [`terminal`] | what a terminal can show |
//! | `sync` | locks and counters, exchangeable for those of a test of interleavings |
//!
//! [`server`], the embedded Image service, stands beside them and shares no code with [`service`].

pub mod allocator;
pub mod budget;
pub mod cache;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod fs;
mod hash;
pub mod image;
pub mod mount;
pub mod name;
pub mod plain;
mod priority;
pub mod read;
pub mod schema;
pub mod server;
pub mod service;
mod sync;
pub mod telemetry;
pub mod terminal;
pub mod write;
