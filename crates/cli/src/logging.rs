//! Tracing to stderr, as the setting `log` and `-v` say.

use std::io::{IsTerminal, stderr};

use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_settings::{Source, Sourced};
use tracing_subscriber::EnvFilter;

/// Starts logging. `verbose` counts `-v`.
///
/// # Errors
/// `Invalid` if `log` is no filter.
pub(crate) fn start(sourced: &Sourced, verbose: u8) -> Result<()> {
    let words = match verbose {
        // A command says itself how it ended; the engine's own lines would say it twice.
        0 if matches!(sourced.source("log"), Some(Source::Default)) => "off",
        0 => &sourced.settings.log,
        1 => "info",
        _ => {
            "info,plimsoll=debug,plimsoll_volume=debug,plimsoll_store=debug,plimsoll_pages=debug,plimsoll_sqlite=debug"
        }
    };
    let filter = EnvFilter::try_new(words).map_err(|error| {
        let source = sourced.source("log").map_or_else(String::new, Source::to_string);
        Error::new(ErrorKind::Invalid, "reading settings")
            .object(format!("log ({source})"))
            .why(format!("'{words}' is no filter: {error}"))
    })?;
    // Nothing else in this process logs, so there is no subscriber yet.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .try_init();
    Ok(())
}
