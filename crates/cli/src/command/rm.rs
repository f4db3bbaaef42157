//! `plimsoll rm URL`: removes a volume.

use std::io::{Write, stdout};

use plimsoll_commitlog::Context;
use plimsoll_volume::remove;
use serde_json::json;

use crate::{exit::Result, setup::Setup, units};

pub(crate) fn run(setup: &Setup, typed: &str, force: bool) -> Result<()> {
    let located = setup.locate(typed)?;
    let settings = &located.settings.settings;
    let own = Context::new(setup.process.host.clone(), located.own.clone(), settings.l0_retention)
        .unfenced(settings.unsafe_no_fencing);
    let count = setup.wait(remove(&own, settings.holder_ttl, force, &*located.elsewhere))?;
    let url = located.store.url();
    if setup.json {
        writeln!(stdout(), "{}", json!({ "url": url, "removed": count }))?;
    } else {
        writeln!(stdout(), "removed {url}, {}", units::counted(count, "object"))?;
    }
    Ok(())
}
