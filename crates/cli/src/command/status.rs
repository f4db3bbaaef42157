//! `plimsoll status URL`: a look at a volume, without touching it.

mod report; // what there is to say
mod text; // saying it to people

use std::{
    io::{Write, stdout},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use plimsoll_volume::Located;

use self::report::Report;
use crate::{exit::Result, journal_tail::journal_alone, setup::Setup};

/// Between two looks of `--watch`.
const PAUSE: Duration = Duration::from_secs(1);
/// Home, and clear to the end of the screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

pub(crate) fn run(setup: &Setup, typed: &str, watch: bool) -> Result<()> {
    let located = setup.locate(typed)?;
    loop {
        // When the store is out of reach, what is at risk is here. Nobody should have to wait for that.
        let told = AtomicBool::new(false);
        let meanwhile = || {
            told.store(true, Ordering::Relaxed);
            match local(setup, &located) {
                nothing if nothing.is_empty() => eprintln!(
                    "plimsoll: {} has not answered yet, and this host has no journal of the volume: nothing here is at risk",
                    located.store.url()
                ),
                known => eprint!("plimsoll: the store has not answered yet; what this host knows by itself:\n{known}"),
            }
        };
        let looked = Report::gather(setup, &located, meanwhile);
        let shown = match &looked {
            Ok(report) if setup.json => format!("{}\n", serde_json::json!(report)),
            Ok(report) => text::write(setup, report),
            Err(_) if told.into_inner() && !setup.json => String::new(),
            Err(_) => local(setup, &located),
        };
        let mut out = stdout().lock();
        if watch && setup.color && !setup.json {
            write!(out, "{CLEAR}")?;
        }
        write!(out, "{shown}")?;
        out.flush()?;
        drop(out);
        match looked {
            // The next look may succeed.
            Err(error) if watch => eprintln!("plimsoll: {error}"),
            Err(error) => return Err(error.into()),
            Ok(_) if watch => {}
            Ok(_) => return Ok(()),
        }
        thread::sleep(PAUSE);
    }
}

/// What this host knows by itself: nothing, if it has no journal of the volume.
fn local(setup: &Setup, located: &Located) -> String {
    match journal_alone(setup, located) {
        Ok(Some(journal)) if setup.json => {
            format!("{}\n", serde_json::json!({ "url": located.store.url(), "journal": journal }))
        }
        Ok(Some(journal)) => text::local(setup, located, &journal),
        Ok(None) | Err(_) => String::new(),
    }
}
