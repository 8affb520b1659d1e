//! Promises of the write side.

mod crash;
mod expected;
mod foretold;
mod imported;
mod nothing;
mod scratch;
mod sending;
mod served;
mod spooling;
mod table;
mod time;
