//! `plimsoll status URL`: a look at a volume, without touching it.

mod report; // what there is to say
mod text; // saying it to people

use std::{
    io::{Write, stdout},
    thread,
    time::Duration,
};

use self::report::Report;
use crate::{exit::Result, setup::Setup};

/// Between two looks of `--watch`.
const PAUSE: Duration = Duration::from_secs(1);
/// Home, and clear to the end of the screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

pub(crate) fn run(setup: &Setup, typed: &str, watch: bool) -> Result<()> {
    let located = setup.locate(typed)?;
    loop {
        let shown = match Report::gather(setup, &located) {
            Ok(report) if setup.json => format!("{}\n", serde_json::json!(report)),
            Ok(report) => text::write(setup, &report),
            // The next look may succeed.
            Err(error) if watch => format!("{error}\n"),
            Err(error) => return Err(error.into()),
        };
        let mut out = stdout().lock();
        if watch && setup.color && !setup.json {
            write!(out, "{CLEAR}")?;
        }
        write!(out, "{shown}")?;
        out.flush()?;
        drop(out);
        if !watch {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}
