//! How a volume gets opened for this face.

use std::{
    collections::HashMap,
    path::Path,
    sync::{LazyLock, Mutex, PoisonError},
};

use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_volume::Volume;

/// What a connection asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The volume's URL.
    pub(crate) url: String,
    /// Settings from the URI's parameters, in order.
    pub(crate) settings: Vec<(String, String)>,
    /// Open as a follower.
    pub(crate) read_only: bool,
    /// Make the volume if there is none.
    pub(crate) create: bool,
}

/// Volumes that live as long as the process.
static VOLUMES: LazyLock<Mutex<HashMap<String, Volume>>> = LazyLock::new(Mutex::default);

/// Opens the volume at a URL. Called once per URL and process, however many connections share it.
///
/// # Errors
/// `Invalid` for an unusable URL or setting, and whatever opening the volume answers.
pub(crate) fn open_volume(request: &Request) -> Result<Volume> {
    refuse_plain_file(&request.url)?;
    let mut volumes = VOLUMES.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(volumes.entry(request.url.clone()).or_insert_with(Volume::in_memory).clone())
}

/// A volume is a directory. A file of that name is most likely an ordinary SQLite database.
fn refuse_plain_file(url: &str) -> Result<()> {
    let Some(path) = url.strip_prefix("file://") else { return Ok(()) };
    if Path::new(path).is_file() {
        return Err(Error::new(ErrorKind::Invalid, "opening the volume")
            .object(url)
            .why("there is a plain file of that name, where a volume is a directory")
            .hint("to make a volume of an existing database, run: plimsoll import <file> <url>"));
    }
    Ok(())
}
