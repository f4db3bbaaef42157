//! The task that syncs the journal to the local disk.

use std::sync::Arc;

use plimsoll_host::run_blocking;
use plimsoll_model::step::{Step, taken};

use crate::shared::{Shared, Writer};

/// Flushes when a timer or the backlog says so, until the writer stops.
pub(crate) async fn run(shared: Arc<Shared>, writer: Arc<Writer>) {
    let host = &shared.config.host;
    while !writer.stopped() {
        let next = writer.accounts().next_flush(host.clock.now());
        match next {
            Ok(reason) => {
                let (of, by) = (Arc::clone(&shared), Arc::clone(&writer));
                let flushed = run_blocking(&host.tasks, move || by.flush(&of, Some(reason))).await;
                if let Err(error) = flushed
                    && taken(Step::Poison)
                {
                    // Whoever waits got the error; a journal that failed once accepts nothing more.
                    tracing::error!(%error, "the journal could not be synced");
                    return;
                }
            }
            Err(deadline) => writer.flusher.sleep(&*host.clock, deadline).await,
        }
    }
}
