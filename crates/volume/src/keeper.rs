//! The task that shows signs of life, and lets go when nobody writes or another process wants to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use plimsoll_commitlog::{Beat, LoadRecord, Mark, StatusReport, Watermarks};
use plimsoll_host::Mono;
use plimsoll_model::{
    Level,
    step::{Step, taken},
    way::{Way, went},
};

use crate::{
    shared::{Shared, Writer},
    syncer::fence,
    writer::{HANDOVER, Occasion},
};

/// How often it is looked whether another process of this host wants to write.
const WANTED_EVERY: Duration = Duration::from_millis(50);
/// The same while nobody has written here for as long as [`QUIET`]: a process may have a thousand such volumes.
const WANTED_EVERY_QUIET: Duration = Duration::from_millis(500);
/// See [`WANTED_EVERY_QUIET`].
const QUIET: Duration = Duration::from_secs(2);
/// First pause after a turn that came to nothing; doubles up to the maximum.
const TURN_PAUSE: Duration = Duration::from_millis(250);
const TURN_PAUSE_MAX: Duration = Duration::from_secs(4);
/// A process that has just taken the volume keeps it this long, so that two of them do not only hand it over.
const TENURE_MIN: Duration = Duration::from_millis(250);

pub(crate) fn report(shared: &Shared, writer: &Writer) -> StatusReport {
    let trouble = shared.trouble().or_else(|| writer.setbacks().told().1.map(str::to_owned));
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
        line: Some(shared.line()),
        trouble,
    }
}

/// Runs until the writer stops.
pub(crate) async fn run(shared: Arc<Shared>, writer: Arc<Writer>) {
    let clock = Arc::clone(&shared.config.host.clock);
    let began = clock.now();
    let mut beat_at = began + shared.settings().heartbeat;
    let pulse = Arc::new(Pulse::default());
    let mut turn = Turn { not_before: began + TENURE_MIN, pause: TURN_PAUSE, asked: None };
    while !writer.stopped() {
        let now = clock.now();
        if writer.overdue.swap(false, Ordering::AcqRel) {
            beat_at = now;
        }
        if now >= beat_at && taken(Step::Beat) && !pulse.beating.swap(true, Ordering::AcqRel) {
            beat_at = now + shared.settings().heartbeat;
            let (of, by, pulse) = (Arc::clone(&shared), Arc::clone(&writer), Arc::clone(&pulse));
            // A store that does not answer must not keep this task from anything else.
            shared.config.host.tasks.spawn(Box::pin(async move {
                let holding = heartbeat(&of, &by).await;
                *pulse.felt.lock().expect("BUG: a panic beside a sign of life") = holding.then_some(now);
                pulse.beating.store(false, Ordering::Release);
                by.keeper.ring();
            }));
        }
        let quiet = turn.asked.is_none() && now.since(writer.accounts().written) >= QUIET;
        let every = if quiet { WANTED_EVERY_QUIET } else { WANTED_EVERY };
        writer.keeper.sleep(&*clock, Some(clock.now() + every)).await;
        if writer.stopped() {
            return;
        }
        let now = clock.now();
        // Whoever is given the volume needs the store to take it. While that does not take the syncs of this process,
        // the wish is left where it is.
        if turn.asked.is_none() && now >= turn.not_before && writer.accounts().failures == 0 && shared.dir.is_wanted() {
            turn.asked = Some(now);
            beat_at = now;
        }
        let occasion = match turn.asked {
            Some(asked) if pulse.felt_since(asked) => Some(Occasion::Turn),
            Some(asked) if now.since(asked) >= HANDOVER => {
                turn.failed(now);
                None
            }
            _ => is_quiet(&shared, &writer, now).then_some(Occasion::Idle),
        };
        let Some(occasion) = occasion else { continue };
        if let Err(error) = shared.let_go(&writer, occasion).await
            && occasion == Occasion::Turn
        {
            tracing::debug!(%error, "the volume is kept for now");
            turn.failed(clock.now());
        }
    }
}

/// Another process of this host wants to write.
struct Turn {
    /// When it may next be listened to.
    not_before: Mono,
    /// How long this process writes on after a turn that came to nothing.
    pause: Duration,
    /// When it was heard.
    asked: Option<Mono>,
}

impl Turn {
    fn failed(&mut self, now: Mono) {
        went(Way::TurnKept);
        *self = Turn { not_before: now + self.pause, pause: (self.pause * 2).min(TURN_PAUSE_MAX), asked: None };
    }
}

/// Signs of life, of which one at a time is under way.
#[derive(Default)]
struct Pulse {
    beating: AtomicBool,
    /// When the last one began that the store has taken; `None` if it did not take the last one.
    felt: Mutex<Option<Mono>>,
}

impl Pulse {
    fn felt_since(&self, asked: Mono) -> bool {
        self.felt.lock().expect("BUG: a panic beside a sign of life").is_some_and(|felt| felt >= asked)
    }
}

/// Whether nobody has written for a while. Whether everything is durable is asked where the volume is let go, with the
/// writer's place taken: a commit could come in between otherwise.
fn is_quiet(shared: &Shared, writer: &Writer, now: Mono) -> bool {
    let patience = shared.settings().idle_release;
    !patience.is_zero()
        && taken(Step::LetGo)
        && writer.merging.load(Ordering::Acquire) == 0
        // What it has read and made of a merge would be for nothing, and be so again the next time.
        && writer.compacting.try_lock().is_ok()
        && now.since(writer.accounts().written) >= patience
        && !shared.state().writing
}

/// Whether the volume is still this writer's, and others know that it lives.
async fn heartbeat(shared: &Arc<Shared>, writer: &Arc<Writer>) -> bool {
    let report = report(shared, writer);
    match writer.lease.heartbeat(&report).await {
        Ok(Beat::Holding) => return true,
        Ok(Beat::Fenced(info)) => fence(shared, writer, &info).await,
        Err(error) => tracing::debug!(%error, "no sign of life could be given"),
    }
    false
}
