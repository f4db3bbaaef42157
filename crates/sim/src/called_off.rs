//! Removals that are announced, and nothing more: whoever comes next calls them off.

use plimsoll_commitlog::{announce_removal, look_anyway};

use crate::{coverage::Event, handle::Handle, worker::Application};

impl Application {
    /// Does what a removal begins with, and comes no further, as one that dies there. A holder looks as if it had been silent
    /// for long: clocks of hosts differ by years.
    pub(crate) fn nearly_remove(&self, handle: &Handle) {
        let world = &handle.world;
        let own = self.own(world);
        let announced = self.host.tasks.wait(async {
            let standing = look_anyway(&own).await?;
            if standing.volume.is_none() { Ok(None) } else { announce_removal(&own, &standing).await }
        });
        self.tell(world, &format!("about to be removed: {announced:?}"));
        if let Ok(Some(_)) = announced {
            world.count(Event::RemovalAnnounced);
        }
    }
}
