//! The command as people and mount(8) run it: exit codes, sentences, and nothing left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod beginning;
mod cache;
mod commands;
mod direct;
mod get;
mod ls;
mod manager;
mod mount_options;
mod mounts;
mod options;
mod pages;
mod privileges;
mod process;
mod put;
mod status;
mod support;
mod system;
mod umount;
mod units;
mod uploads;
mod usage;
