//! The pure decisions of the protocol, for a model of it that takes the very same ones.

pub use crate::{
    aftermath::{Late, survivors},
    claim::{Placed, Step, next_step},
    removal::removal_of,
    verdict::{Whose, holds, is_late, whose},
};
