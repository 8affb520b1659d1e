//! Promises of the write side.

mod spooling;
