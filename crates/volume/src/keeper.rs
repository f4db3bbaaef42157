//! The task that shows signs of life, and lets go when nobody writes or another process wants to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use plimsoll_commitlog::{Beat, LoadRecord, Mark, StatusReport, Watermarks};
use plimsoll_host::Mono;
use plimsoll_model::Level;

use crate::{
    shared::{Shared, Writer},
    syncer::fence,
    writer::Occasion,
};

/// How often it is looked whether another process of this host wants to write.
const WANTED_EVERY: Duration = Duration::from_millis(50);
/// A process that has just taken the volume keeps it this long, so that two of them do not only hand it over.
const TENURE_MIN: Duration = Duration::from_millis(250);

pub(crate) fn report(shared: &Shared, writer: &Writer) -> StatusReport {
    let accounts = writer.accounts();
    let mark = |level| {
        let mark = accounts.progress.marks().mark(level);
        Mark { lsn: mark.lsn, ms: mark.at.0 }
    };
    let load = accounts.ledger.load(shared.now());
    StatusReport {
        watermarks: Watermarks {
            appended: mark(Level::Buffered),
            journaled: mark(Level::Journaled),
            durable: mark(Level::Durable),
        },
        load: LoadRecord {
            commits: load.commits,
            bytes: load.bytes,
            age_ms: u64::try_from(load.age.as_millis()).unwrap_or(u64::MAX),
        },
    }
}

/// Runs until the writer stops.
pub(crate) async fn run(shared: Arc<Shared>, writer: Arc<Writer>) {
    let clock = Arc::clone(&shared.config.host.clock);
    let began = clock.now();
    let mut beat_at = began + shared.settings().heartbeat;
    let beating = Arc::new(AtomicBool::new(false));
    while !writer.stopped() {
        let now = clock.now();
        if now >= beat_at && !beating.swap(true, Ordering::AcqRel) {
            beat_at = now + shared.settings().heartbeat;
            let (of, by, over) = (Arc::clone(&shared), Arc::clone(&writer), Arc::clone(&beating));
            // A store that does not answer must not keep the host from handing the volume over.
            shared.config.host.tasks.spawn(Box::pin(async move {
                heartbeat(&of, &by).await;
                over.store(false, Ordering::Release);
            }));
        }
        writer.keeper.sleep(&*clock, Some(clock.now() + WANTED_EVERY)).await;
        if writer.stopped() {
            return;
        }
        let now = clock.now();
        let wanted = now.since(began) >= TENURE_MIN && shared.dir.is_wanted();
        if wanted || is_idle(&shared, &writer, now) {
            let of = Arc::clone(&shared);
            let occasion = if wanted { Occasion::Turn } else { Occasion::Idle };
            if let Err(error) = of.let_go(&writer, occasion).await {
                tracing::debug!(%error, "the volume is kept for now");
            }
        }
    }
}

fn is_idle(shared: &Shared, writer: &Writer, now: Mono) -> bool {
    let patience = shared.settings().idle_release;
    if patience.is_zero() || writer.merging.load(Ordering::Acquire) > 0 {
        return false;
    }
    let accounts = writer.accounts();
    let quiet = now.since(accounts.written) >= patience && accounts.ledger.is_empty();
    drop(accounts);
    quiet && !shared.state().writing
}

async fn heartbeat(shared: &Arc<Shared>, writer: &Arc<Writer>) {
    let report = report(shared, writer);
    match writer.lease.heartbeat(&report).await {
        Ok(Beat::Holding) => {}
        Ok(Beat::Fenced(info)) => fence(shared, writer, &info).await,
        Err(error) => tracing::debug!(%error, "no sign of life could be given"),
    }
}
