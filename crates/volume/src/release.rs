//! Letting the volume go for another host, and taking it from one.

use std::sync::Arc;

use plimsoll_commitlog::{Loss, look, loss};
use plimsoll_model::{
    Epoch, Error, ErrorKind, Result, Txid,
    step::{Step, taken},
};
use serde::{Deserialize, Serialize};

use crate::{
    Volume,
    shared::{Shared, Writer},
    writer::Occasion,
};

/// What letting go has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Released {
    /// Commits that were not durable before.
    pub commits: u64,
    /// Their bytes in the journal.
    pub bytes: u64,
    /// The newest sync.
    pub txid: u64,
    /// The epoch that was closed; `None` if this host held none.
    pub epoch: Option<u32>,
}

/// What a writer that was taken over from had said of commits that the history does not hold.
///
/// All of it is what that writer last advertised. Commits that it acknowledged after its last sign of life are
/// not counted: only the journal on its host, if that still exists, has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossReport {
    /// Its epoch.
    pub epoch: u32,
    /// Its host.
    pub host: String,
    /// Its journal.
    pub writer: String,
    /// Commits that it had acknowledged and the history does not hold.
    pub commits: u64,
    /// Their bytes, at most.
    pub bytes: u64,
    /// From the oldest of them to the newest, at most, in milliseconds.
    pub window_ms: u64,
    /// The last commit that it had acknowledged.
    pub acknowledged: u64,
    /// The last of its commits that the history holds.
    pub held: u64,
    /// Whether `held` is known exactly. Otherwise the history may hold more, and the numbers are upper bounds.
    pub settled: bool,
    /// When it last said so, by its own clock, in milliseconds since 1970.
    pub alive_ms: u64,
    /// When it wrote its newest sync that the history holds, by the same clock: what it acknowledged until then is not
    /// lost. `None` if there is none, or it was not looked at.
    #[serde(default)]
    pub synced_ms: Option<u64>,
    /// Its load line, so how much more than what it had said may be lost: bytes of changed pages. `None` if it did not say.
    #[serde(default)]
    pub line_bytes: Option<u64>,
    /// The same: how old the oldest commit that is lost may be, in milliseconds.
    #[serde(default)]
    pub line_ms: Option<u64>,
}

impl From<&Loss> for LossReport {
    fn from(loss: &Loss) -> Self {
        LossReport {
            epoch: loss.epoch.0,
            host: loss.host.clone(),
            writer: loss.writer.to_string(),
            commits: loss.commits(),
            bytes: loss.bytes(),
            window_ms: loss.window_ms(),
            acknowledged: loss.advertised.appended.lsn.0,
            held: loss.held.0,
            settled: loss.settled,
            alive_ms: loss.alive_ms,
            synced_ms: loss.synced_ms,
            line_bytes: loss.line.map(|line| line.bytes),
            line_ms: loss.line.map(|line| line.age_ms),
        }
    }
}

impl Volume {
    /// Makes everything of this host durable, also what a process that died left in the journal, closes the epoch
    /// and lets the volume go, so that another host may open it at once. This handle goes on as a follower; its
    /// next write takes the volume again.
    ///
    /// # Errors
    /// `Held`: another process of this host has it and was asked to let go, so try again; or another host has it.
    /// `Fenced`: another writer has taken it. `Unavailable`: the store did not answer in time, and the volume is
    /// still held or looks so; what was appended is in the journal.
    pub fn release(&self) -> Result<Released> {
        let shared = self.shared();
        shared.config.host.tasks.wait(shared.release())
    }

    /// Takes the volume for writing, also from a holder that looks alive, and says what that one took with it.
    /// `None`: nobody had to be pushed aside, so nothing was lost.
    ///
    /// # Errors
    /// As [`Volume::begin_write`].
    pub fn take_over(&self) -> Result<Option<LossReport>> {
        let shared = self.shared();
        shared.config.host.tasks.wait(shared.take_as(true, true, None))?;
        Ok(shared.state().loss.clone())
    }
}

impl Shared {
    async fn release(self: &Arc<Self>) -> Result<Released> {
        if self.config.read_only {
            return Err(Error::new(ErrorKind::Invalid, "releasing")
                .object(self.url().to_owned())
                .why("it was opened read-only, so there is nothing to let go of"));
        }
        let mut held = self.state().writer.clone();
        if held.is_none() && self.dir.has_journal()? {
            held = self.take_left(self.settings().takeover, true).await?;
        }
        let writer = match held {
            Some(writer) => writer,
            None if self.left_open().await? => self.take().await?,
            None => return Ok(Released { txid: self.state().view.txid.0, ..Released::default() }),
        };
        let (commits, bytes) = {
            let accounts = writer.accounts();
            let load = accounts.ledger.load(self.now());
            (load.commits, load.bytes)
        };
        self.let_go(&writer, Occasion::Release).await.map_err(|error| self.why_not(&writer, error))?;
        let Txid(txid) = self.state().view.txid;
        Ok(Released { commits, bytes, txid, epoch: Some(writer.epoch.0) })
    }

    /// A fenced writer has nothing to let go of.
    fn why_not(&self, writer: &Writer, error: Error) -> Error {
        if writer.lease.is_fenced() { self.fenced_error() } else { error }
    }

    /// Whether the newest epoch is of this host and not closed, though no journal is here.
    ///
    /// # Errors
    /// `Held` if it is another host's; otherwise as the store says.
    async fn left_open(&self) -> Result<bool> {
        let standing = look(&self.context()).await?;
        let Some(holder) = &standing.holder else { return Ok(false) };
        if holder.removal || standing.status.as_ref().is_some_and(|seen| seen.record.closed) {
            return Ok(false);
        }
        if self.dir.known_writer() == Some(holder.writer) {
            return Ok(true);
        }
        Err(Error::new(ErrorKind::Held, "releasing")
            .object(self.url().to_owned())
            .why(format!("process {} on host {} holds it (epoch {})", holder.pid, holder.host, holder.epoch))
            .hint("release it on that host; if that host is gone, run: plimsoll takeover <url>"))
    }

    /// What the writer that was pushed aside took with it. That it cannot be found out is no reason to fail.
    pub(crate) async fn account_for(&self, taken_from: Option<Epoch>, writer: &Writer) {
        let Some(epoch) = taken_from.filter(|_| taken(Step::Account)) else {
            self.state().loss = None;
            return;
        };
        let found = loss(&self.context(), epoch, &writer.lease).await;
        let report = match &found {
            // What this host's own earlier process had acknowledged is in the journal, or stranded, or both say nothing.
            Ok(found) => found.as_ref().filter(|loss| loss.writer != writer.id).map(LossReport::from),
            Err(error) => {
                self.note_trouble(error);
                None
            }
        };
        if let Some(report) = &report {
            let LossReport { epoch, host, commits, bytes, window_ms, held, .. } = report;
            if *commits > 0 {
                tracing::warn!(
                    url = self.url(),
                    epoch,
                    host,
                    commits,
                    bytes,
                    window_ms,
                    held,
                    "took over from a writer that last advertised acknowledged commits which the history does not hold"
                );
            } else {
                tracing::info!(url = self.url(), epoch, host, held, "took over; nothing that was advertised is lost");
            }
        }
        if let (Ok(Some(loss)), Some(inherited)) = (&found, writer.lease.inherited())
            && loss.commits() > 0
            && loss.writer != writer.id
        {
            self.keep_base(loss.writer, loss.epoch, inherited.txid).await;
        }
        self.state().loss = report;
    }
}
