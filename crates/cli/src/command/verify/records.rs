//! The JSON objects of a volume.

use plimsoll_commitlog::check_record;
use plimsoll_model::ErrorKind;
use plimsoll_volume::Located;

use super::findings::Findings;
use crate::{exit::Result, setup::Setup};

/// Whether a key is that of a record.
pub(crate) fn is_record(key: &str) -> bool {
    check_record(key, b"").is_some()
}

/// Reads and checks each record.
///
/// # Errors
/// Those of the store.
pub(crate) fn check(setup: &Setup, located: &Located, keys: &[String], found: &mut Findings) -> Result<()> {
    for key in keys {
        let Some(object) = setup.wait(located.store.get(key))? else { continue };
        match check_record(key, &object.bytes) {
            Some(Err(error)) if error.kind() == ErrorKind::Unsupported => {
                found.note(key, error.to_string(), "it was not checked");
            }
            Some(Err(error)) => found.problem(key, error.to_string(), consequence(key)),
            Some(Ok(())) | None => {}
        }
    }
    Ok(())
}

fn consequence(key: &str) -> &'static str {
    match key.split('/').next() {
        Some("volume.json") => "the volume cannot be opened for writing",
        Some("epoch") => "who held the volume then is not known",
        Some("status") => "what that writer last had is not known, so neither is what it may have lost",
        _ => "what the pin keeps is not known",
    }
}
