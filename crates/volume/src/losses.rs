//! What writers took with them that were pushed aside.

use std::sync::atomic::Ordering;

use plimsoll_commitlog::{Loss, Toll, toll};
use plimsoll_model::{
    ErrorKind,
    step::{Step, taken},
};
use serde::{Deserialize, Serialize};

use crate::shared::{Shared, Writer};

/// What is known of those who held the volume before this process, and had not let go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// One entry for each of them, oldest first, also if nothing of it is lost. This host's own processes are not among
    /// them: what they had acknowledged is in its journal, or kept aside.
    #[serde(rename = "losses")]
    pub known: Vec<LossReport>,
    /// Why there may be more than that. `None`: there is not.
    #[serde(rename = "losses_unknown")]
    pub unknown: Option<String>,
}

impl Losses {
    /// Nobody had to be pushed aside, so nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.unknown.is_none()
    }
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
    /// lost. `None` if there is none, a fence apart, or it was not looked at.
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

impl Shared {
    /// Finds out what those took with them who were pushed aside. That it cannot be found out is no reason to fail: then it is
    /// said, and left to whoever comes next.
    pub(crate) async fn account_for(&self, writer: &Writer) {
        // What was found out before stays in the status, since nobody may have read it yet.
        let Some(epoch) = writer.lease.taken_from().filter(|_| taken(Step::Account)) else { return };
        let Toll { losses, missing } = toll(&self.context(), epoch, &writer.lease).await;
        // What this host's own earlier processes had acknowledged is in the journal, or stranded, or both say nothing.
        let others: Vec<&Loss> = losses.iter().filter(|loss| loss.writer != writer.id).collect();
        for loss in &others {
            self.tell(loss);
            if let (true, Some(found)) = (loss.commits() > 0, loss.found) {
                self.keep_base(loss.writer, loss.epoch, found.txid).await;
            }
        }
        let known = others.into_iter().map(LossReport::from).collect();
        let unknown = missing.map(|error| {
            self.note_trouble(&error);
            tracing::warn!(url = self.url(), epoch = epoch.0, %error, "took over, and what is lost by that is not known");
            (error.kind(), error.to_string())
        });
        // What is damaged will not be found out by anybody else either.
        if unknown.as_ref().is_none_or(|(kind, _)| *kind == ErrorKind::Corrupt) {
            writer.lease.accounts_for();
            writer.overdue.store(true, Ordering::Release);
            writer.keeper.ring();
        }
        self.state().losses = Losses { known, unknown: unknown.map(|(_, why)| why) };
    }

    fn tell(&self, loss: &Loss) {
        let (epoch, host, held, commits) = (loss.epoch.0, &loss.host, loss.held.0, loss.commits());
        if commits > 0 {
            let (bytes, window_ms) = (loss.bytes(), loss.window_ms());
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
}
