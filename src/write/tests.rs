//! Promises of the write side.

mod sending;
mod spooling;
