//! Promises of the write side.

mod crash;
mod sending;
mod served;
mod spooling;
