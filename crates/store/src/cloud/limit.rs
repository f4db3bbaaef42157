//! Time limits, by the host's clock.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use plimsoll_host::Clock;

/// Slowest upload that is not taken for a broken one: a second per MiB.
const UPLOAD_BYTES_PER_SECOND: u64 = 1 << 20;

/// How long requests may take.
pub(super) struct Limits {
    answer: Duration,
    clock: Arc<dyn Clock>,
}

/// Nothing came in this time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeout(pub(super) Duration);

impl Limits {
    pub(super) fn new(answer: Duration, clock: &Arc<dyn Clock>) -> Self {
        Limits { answer, clock: Arc::clone(clock) }
    }

    /// Waits for a request that sends so many bytes, or for the next piece of an answer.
    pub(super) async fn within<T>(&self, upload_bytes: u64, work: impl Future<Output = T>) -> Result<T, Timeout> {
        let limit = self.answer + Duration::from_secs(upload_bytes / UPLOAD_BYTES_PER_SECOND);
        match select(pin!(work), self.clock.sleep(limit)).await {
            Either::Left((value, _)) => Ok(value),
            Either::Right(((), _)) => Err(Timeout(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, future::ready};

    use plimsoll_host::os;

    use super::*;

    #[test]
    fn what_never_comes_is_given_up_in_time() {
        let host = os::host().unwrap();
        let limits = Limits::new(Duration::from_millis(5), &host.clock);
        host.tasks.wait(async {
            assert_eq!(limits.within(0, pending::<()>()).await.unwrap_err().0, Duration::from_millis(5));
            assert_eq!(limits.within(0, ready(7)).await.unwrap(), 7);
        });
    }
}
