//! What SQLite says of the newest state.

use plimsoll_volume::Located;

use super::findings::Findings;
use crate::{
    command::sql::{close, connect, failure},
    exit::{Exit, Result},
    setup::Setup,
};

const CONSEQUENCE: &str = "queries may fail or return wrong rows; the objects hold what was written";

/// Runs SQLite's integrity check on what a follower reads.
///
/// # Errors
/// Those of the store.
pub(crate) fn check(setup: &Setup, located: &Located, found: &mut Findings) -> Result<()> {
    let connection = connect(setup, located, true, &[("hydrate", "false")])?;
    let rows = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("PRAGMA integrity_check")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    let outcome = rows().map_err(|error| failure(&error));
    close(connection)?;
    let url = located.store.url();
    match outcome {
        Ok(rows) => {
            for row in rows.iter().filter(|row| *row != "ok") {
                found.problem(url, format!("integrity_check: {row}"), CONSEQUENCE);
            }
            Ok(())
        }
        Err(failure) if failure.exit() == Exit::Corrupt => {
            found.problem(url, failure.to_string(), CONSEQUENCE);
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}
