//! Shared by the integration tests; each uses a part of it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "servers run in real time")]

pub mod canned;
pub mod contract;
pub mod server;
