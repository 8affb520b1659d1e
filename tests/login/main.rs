//! Logging in: the rules of clouds.yaml against openstacksdk's answers, and the login itself against a Keystone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod behaviour;
mod keystone;
mod table;
mod tls;
