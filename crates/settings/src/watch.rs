//! Taking up a changed file while running.

use plimsoll_host::Files;
use plimsoll_model::Result;

use crate::{
    layers::{Input, Sourced},
    locate::{FileText, find},
};

/// Remembers what the settings file said last, and loads again when it says something else.
///
/// Environment and overrides are those of the start, and still go before the file.
#[derive(Clone)]
pub struct Watch {
    input: Input,
    /// The words of the last failure to read the file.
    failed: Option<String>,
}

impl Watch {
    /// Watches from the state in which `input` was taken.
    #[must_use]
    pub fn new(input: Input) -> Self {
        Watch { input, failed: None }
    }

    /// Looks at the file; `None` if nothing has changed since the last look. Call it now and then.
    ///
    /// # Errors
    /// When the file cannot be read or used. Each failure is told once; the settings in force stay.
    pub fn poll(&mut self, files: &dyn Files) -> Result<Option<Sourced>> {
        match find(files, &self.input.environment) {
            Ok(file) => {
                self.failed = None;
                self.take(file)
            }
            Err(error) => {
                let words = error.to_string();
                if self.failed.replace(words.clone()) == Some(words) { Ok(None) } else { Err(error) }
            }
        }
    }

    fn take(&mut self, file: Option<FileText>) -> Result<Option<Sourced>> {
        if file == self.input.file {
            return Ok(None);
        }
        // Remembered even if it cannot be used, so that it is reported once.
        self.input.file = file;
        Sourced::load(&self.input).map(Some)
    }
}
