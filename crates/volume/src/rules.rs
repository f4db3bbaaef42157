//! The pure decision about a journal that was left behind, for a model of the protocol that takes the very same one.

pub use crate::replay::{Fate, Found, Later, fate};
