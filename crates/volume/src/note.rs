//! The small files of this host, as whoever checks them reads them.

use serde::Serialize;

use crate::{
    local::{EpochHeld, Identity, LocalHolder},
    stranded::Circumstances,
};

/// Reads a small file that stands in a volume's folder on this host, or beside a journal that was kept aside, by its
/// name (`note.json` is such a note), and says what it holds, as JSON; `None` if it is damaged, or there is no file of that name.
///
/// For whoever checks that what an earlier version wrote is still read, and that nothing else does harm.
#[must_use]
pub fn read_note(name: &str, bytes: &[u8]) -> Option<String> {
    fn shown<T: Serialize>(read: T) -> Option<String> {
        serde_json::to_string(&read).ok()
    }
    match name {
        "holder.json" => serde_json::from_slice::<LocalHolder>(bytes).ok().and_then(shown),
        "identity.json" => {
            serde_json::from_slice::<Identity>(bytes).ok().filter(|it| it.writer().is_some()).and_then(shown)
        }
        "epoch.json" => {
            serde_json::from_slice::<EpochHeld>(bytes).ok().filter(|it| it.epoch().is_some()).and_then(shown)
        }
        "note.json" => serde_json::from_slice::<Circumstances>(bytes).ok().and_then(shown),
        _ => None,
    }
}
