//! The first failure after which nothing may be assumed about the files.

use std::sync::OnceLock;

use plimsoll_model::{
    Error, Result,
    step::{Step, taken},
};

#[derive(Default)]
pub(crate) struct Poison(OnceLock<Error>);

impl Poison {
    /// Keeps the first failure, and hands the given one back.
    pub(crate) fn with(&self, error: Error) -> Error {
        if taken(Step::Poison) {
            let _ = self.0.set(error.duplicate());
        }
        error
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(first) => Err(Error::new(first.kind(), "using the journal")
                .why(format!("it failed before: {first}"))
                .hint("reopen the volume; what the journal holds is kept")),
        }
    }
}
