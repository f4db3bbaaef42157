//! Waiting for another process of this host.

use std::time::Duration;

use plimsoll_model::{ErrorKind, Result};
use plimsoll_volume::LETS_GO;

use crate::setup::Setup;

/// How long another process of this host gets to let go of a volume.
const PATIENCE_WITH_HOLDER: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// Does something with a volume, as soon as a process of this host that holds it has let go. Trying has asked it to.
///
/// # Errors
/// `Held` if it does not let go in time; otherwise what `attempt` answers.
pub(crate) fn patiently<T>(setup: &Setup, attempt: impl Fn() -> Result<T>) -> Result<T> {
    let clock = &setup.process.host.clock;
    let end = clock.now() + PATIENCE_WITH_HOLDER;
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::Held && clock.now() < end => setup.wait(clock.sleep(PAUSE)),
            Err(error) if error.advice() == Some(LETS_GO) => {
                let seconds = PATIENCE_WITH_HOLDER.as_secs();
                return Err(
                    error.hint(format!("it did not let go within {seconds} s: end its transaction, or close it"))
                );
            }
            other => return other,
        }
    }
}
