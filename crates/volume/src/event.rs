//! Waking whoever waits for something to have changed.

use futures::future::{Either, select};
use plimsoll_host::{Clock, Mono};
use tokio::sync::Notify;

/// Wakes every waiter; a waiter looks at the state again and waits again if need be.
#[derive(Default)]
pub(crate) struct Event(Notify);

impl Event {
    /// Something changed.
    pub(crate) fn fire(&self) {
        self.0.notify_waiters();
    }

    /// Waits until `look` gives an answer. It is asked first, and again after each change.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            let changed = self.0.notified();
            let mut changed = std::pin::pin!(changed);
            // From here on a change is not missed, also one between the look and the wait.
            changed.as_mut().enable();
            if let Some(answer) = look() {
                return answer;
            }
            changed.await;
        }
    }
}

/// Wakes one task that sleeps until a deadline. A wake-up before the sleep is remembered.
#[derive(Default)]
pub(crate) struct Alarm(Notify);

impl Alarm {
    /// Wakes the task, now or when it goes to sleep.
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }

    /// Sleeps until rung, or until `deadline` if there is one.
    pub(crate) async fn sleep(&self, clock: &dyn Clock, deadline: Option<Mono>) {
        let rung = std::pin::pin!(self.0.notified());
        match deadline {
            Some(deadline) => match select(rung, clock.sleep_until(deadline)).await {
                Either::Left(_) | Either::Right(_) => {}
            },
            None => rung.await,
        }
    }
}
