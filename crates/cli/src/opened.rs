//! A volume that a command has opened: told to end, the command lets it go.

use std::ops::Deref;

use plimsoll_model::Result;
use plimsoll_volume::Volume;

use crate::interrupt::{self, Guard};

/// See the [module](self).
pub(crate) struct Opened {
    volume: Volume,
    held: Guard,
}

impl Opened {
    /// Opens one, in a way that lets it go also if the command is told to end meanwhile.
    ///
    /// # Errors
    /// What `open` answers; when signals cannot be waited for.
    pub(crate) fn by(open: impl FnOnce() -> Result<Volume>) -> Result<Self> {
        let held = interrupt::opening()?;
        let volume = open()?;
        held.opened(&volume);
        Ok(Opened { volume, held })
    }

    /// What is said if the command is told to end from now on: what is left, and how to go on.
    pub(crate) fn say(&self, words: impl Into<String>) {
        self.held.say(words);
    }

    /// As [`Volume::close`].
    ///
    /// # Errors
    /// The same.
    pub(crate) fn close(self) -> Result<()> {
        let Opened { volume, held } = self;
        let closed = volume.close();
        drop(held);
        closed
    }
}

impl Deref for Opened {
    type Target = Volume;

    fn deref(&self) -> &Volume {
        &self.volume
    }
}
