//! Records of writers that nobody asks about any more.

use futures::future::try_join;
use plimsoll_host::crash::{self, Point};
use plimsoll_model::{Epoch, Result};

use crate::{
    Context,
    key::{EPOCHS, STATUSES, parse_epoch_key, parse_removal_key, parse_status_key},
};

/// Writers whose records are kept, so that a host that comes back late still learns what became of its commits.
const KEPT: u32 = 256;

/// Removes the records of all but the last writers; how many. Two lists, and a delete if there is anything.
///
/// An opener that slept so long that it wins the name of a removed epoch gives up at the head, whose stamp is newer.
///
/// # Errors
/// Those of the store.
pub async fn forget_bygone(context: &Context, newest: Epoch) -> Result<u64> {
    let (epochs, statuses) = try_join(context.store.list(EPOCHS, None), context.store.list(STATUSES, None)).await?;
    // Also what was decided about removals that were called off.
    let of = |key: &str| parse_epoch_key(key).or_else(|| parse_removal_key(key));
    let epochs = epochs.iter().filter_map(|entry| Some((of(&entry.key)?, &entry.key)));
    let statuses = statuses.iter().filter_map(|entry| Some((parse_status_key(&entry.key)?, &entry.key)));
    let bygone: Vec<String> =
        epochs.chain(statuses).filter(|(epoch, _)| is_bygone(*epoch, newest)).map(|(_, key)| key.clone()).collect();
    if !bygone.is_empty() {
        context.store.delete(&bygone).await?;
        crash::here(Point::BygoneForgotten);
    }
    Ok(bygone.len() as u64)
}

/// Pure: whether so many have written since that a writer's records may be gone. What others found says nothing of it then.
#[must_use]
pub fn is_bygone(epoch: Epoch, newest: Epoch) -> bool {
    newest.0.saturating_sub(epoch.0) >= KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_writers_are_remembered() {
        assert!(!is_bygone(Epoch(1), Epoch(1)));
        assert!(!is_bygone(Epoch(1), Epoch(KEPT)));
        assert!(is_bygone(Epoch(1), Epoch(KEPT + 1)));
        assert!(!is_bygone(Epoch(9), Epoch(3)), "somebody newer is there");
    }
}
