//! What a commit is waited on with.

use std::{ops::RangeInclusive, sync::Arc};

use plimsoll_model::{Error, ErrorKind, Level, Lsn, Result};

use crate::{
    shared::{Shared, Writer},
    snapshot::Snapshot,
};

/// An appended commit, visible to new snapshots of this process, on its way to stronger levels.
pub struct Receipt {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) lsn: Lsn,
    /// The load line lets it be acknowledged only once it is durable.
    pub(crate) held: bool,
    pub(crate) state: Snapshot,
}

impl Clone for Receipt {
    fn clone(&self) -> Self {
        Receipt {
            shared: Arc::clone(&self.shared),
            writer: Arc::clone(&self.writer),
            lsn: self.lsn,
            held: self.held,
            state: self.state.again(),
        }
    }
}

impl Receipt {
    /// Its number.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The state that this commit made, pinned.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.state.again()
    }

    /// Blocks until the commit has reached `level`, or `durable` where the load line demands that: of a commit that
    /// was made to be durable at once less may be asked for later, but from then on it is part of the load, and
    /// where that has no room it has to become durable. Triggers the flush or sync rather than sitting out a timer.
    ///
    /// # Errors
    /// When the level will not be reached any more: `Fenced`, a failed journal (`Io`, `Full`), `Closed`.
    pub fn wait(&self, level: Level) -> Result<()> {
        let level = if self.held { Level::Durable } else { level };
        wait(&self.shared, &self.writer, self.lsn..=self.lsn, level)
    }
}

/// Blocks until everything up to the last of `lsns` has reached `level`. `lsns` are the commits that are
/// acknowledged by that.
pub(crate) fn wait(shared: &Arc<Shared>, writer: &Arc<Writer>, lsns: RangeInclusive<Lsn>, level: Level) -> Result<()> {
    let lsn = *lsns.end();
    let less = matches!(level, Level::Buffered | Level::Journaled);
    // Of a writer that is fenced only what the history holds counts, once that is known.
    let durable_only = less && (writer.lease.is_fenced() || !writer.accounts().promise_less(&lsns, shared.now()));
    let level = if durable_only { Level::Durable } else { level };
    let answer = || writer.accounts().progress.answer(lsn, level);
    let answered = |result: Result<(), plimsoll_durability::Terminal>| {
        result.map_err(|terminal| terminal.error(lsn, level).object(shared.url().to_owned()))
    };
    match level {
        // It is in the journal's file, or it would have no receipt; what is left to ask is whether another
        // writer has taken the volume meanwhile. `immediate` promises more.
        Level::Buffered if !writer.accounts().flush.each_commit_syncs() => answer().map_or(Ok(()), answered),
        Level::Buffered | Level::Journaled => {
            if let Some(result) = writer.accounts().progress.answer(lsn, Level::Journaled) {
                return answered(result);
            }
            let reason =
                (!writer.accounts().flush.each_commit_syncs()).then_some(plimsoll_durability::FlushReason::Manual);
            let waiting = writer.courtesy.wait();
            writer.flush(shared, reason)?;
            drop(waiting);
            if writer.lease.is_fenced() {
                return wait(shared, writer, lsns, Level::Durable);
            }
            match writer.accounts().progress.answer(lsn, Level::Journaled) {
                Some(result) => answered(result),
                None => {
                    Err(Error::new(ErrorKind::Io, "waiting for the journal").why("it synced less than was appended"))
                }
            }
        }
        Level::Replicated => Err(Error::new(ErrorKind::Unsupported, "waiting for the level 'replicated'")
            .why("no volume has standbys yet")
            .hint("use journaled or durable")),
        Level::Durable => {
            if let Some(result) = answer() {
                return answered(result);
            }
            {
                let mut accounts = writer.accounts();
                // Somebody may wait for a commit that is still to come: that is no reason to sync those before it at once.
                let appended = accounts.progress.marks().mark(Level::Buffered).lsn;
                accounts.sync.request(lsn.min(appended));
            }
            writer.syncer.ring();
            let result = shared.config.host.tasks.wait(shared.in_time(writer.progress.until(answer)));
            result.map_or_else(
                || {
                    Err(Error::new(ErrorKind::Unavailable, "waiting for a commit to be durable in")
                        .object(shared.url().to_owned())
                        .why(shared.late(&format!("commit {lsn} is not synced")))
                        .hint("it is in the local journal and is synced once the object store answers"))
                },
                answered,
            )
        }
    }
}
