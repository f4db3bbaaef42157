//! Letting the volume go for another host, and taking it from one.

use std::sync::Arc;

use plimsoll_commitlog::look;
use plimsoll_model::{Error, ErrorKind, Result, Txid};
use serde::Serialize;

use crate::{
    Volume,
    losses::Losses,
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

    /// Takes the volume for writing, also from a holder that looks alive, and says what that one took with it, and those
    /// before it that nobody had accounted for.
    ///
    /// # Errors
    /// As [`Volume::begin_write`].
    pub fn take_over(&self) -> Result<Losses> {
        let shared = self.shared();
        shared.config.host.tasks.wait(shared.take_as(true, true, None))?;
        Ok(shared.state().losses.clone())
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
}
