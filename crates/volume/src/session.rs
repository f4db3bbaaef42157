//! Reading one's own writes elsewhere, and how far behind a reader is.

use std::{sync::Arc, time::Duration};

use futures::future::{Either, select};
use plimsoll_commitlog::{Inherited, Levels, Sequel, aftermath, identity, sequel, tail, unwritten_since};
use plimsoll_model::{
    Epoch, Error, ErrorKind, Level, Lsn, Result, Txid,
    step::{Step, taken},
};
use serde::Serialize;

use crate::{Token, Volume, shared::Shared};

const WAITING: &str = "waiting for a session token on";

/// How far what this process reads is behind the newest sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Syncs that are in the store and were not read here.
    pub txids: u64,
    /// How long ago what is read here was the newest, at most; 0 if it is now.
    pub ms: u64,
}

impl Volume {
    /// A token of everything that new snapshots of this process see. No request, unless nothing was ever read.
    ///
    /// # Errors
    /// `Unsupported`: only something else than Plimsoll has ever written there. Otherwise as the store says.
    pub fn token(&self) -> Result<Token> {
        let shared = self.shared();
        shared.config.host.tasks.wait(shared.token())
    }

    /// Blocks until new snapshots see everything that a token stands for: so a session that carries one reads its own
    /// writes on every host, and never goes back, also over restarts.
    ///
    /// Looks for something newer every `follow_interval_ms`.
    ///
    /// # Errors
    /// `Unavailable`: not within `timeout`. `Fenced`: another writer went on without the commit that the token stands
    /// for, so no history will ever hold it. `Invalid`: the token is another volume's.
    pub fn wait_token(&self, token: &Token, timeout: Duration) -> Result<()> {
        let shared = self.shared();
        shared.config.host.tasks.wait(async {
            let mut trouble = None;
            let (reached, late) = (shared.reach(token, &mut trouble), shared.config.host.clock.sleep(timeout));
            match select(std::pin::pin!(reached), late).await {
                Either::Left((reached, _)) => return reached,
                Either::Right(_) => {}
            }
            let (seen, trouble) = (shared.state().view.txid, trouble.map_or(String::new(), |why: String| format!("; {why}")));
            let wanted = if token.epoch.is_zero() {
                format!("TXID {}", token.txid)
            } else {
                format!("commit {} of epoch {}", token.lsn, token.epoch)
            };
            Err(Error::new(ErrorKind::Unavailable, WAITING)
                .object(shared.url().to_owned())
                .why(format!("{wanted} is not there after {} ms, the newest sync read is {seen}{trouble}", timeout.as_millis()))
                .hint("its writer may not have synced it yet: wait longer, or wait for 'durable' there before passing the token on"))
        })
    }

    /// How far new snapshots of this process are behind the newest sync. Two requests, none for the writer.
    ///
    /// # Errors
    /// As the store says.
    pub fn lag(&self) -> Result<Lag> {
        let shared = self.shared();
        let (txid, looked) = {
            let state = shared.state();
            if state.writer.is_some() {
                return Ok(Lag::default());
            }
            (state.view.txid, state.looked)
        };
        let newest = shared.config.host.tasks.wait(tail(&shared.context(), Levels::Newest))?.head;
        let txids = newest.map_or(0, |head| head.txid.0.saturating_sub(txid.0));
        let since = looked.map_or(Duration::MAX, |looked| shared.now().since(looked));
        let ms = if txids == 0 { 0 } else { u64::try_from(since.as_millis()).unwrap_or(u64::MAX) };
        Ok(Lag { txids, ms })
    }
}

/// Whether the history holds the commit of a token, when the writer that made it may have been taken over from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Once this sync is read, so is the commit.
    From(Txid),
    /// Its writer may still sync it, or its successor has not said what it found.
    NotYet,
    /// It never will.
    Never,
}

/// Pure: by what the first later writer has found. `begun`: there was a history when the token was given out, so that
/// its writer had put a fence on it.
fn holds(epoch: Epoch, lsn: Lsn, begun: bool, inherited: Option<&Inherited>) -> Holds {
    match inherited {
        // A writer in between may have begun the history, with commits of the same numbers, and died before it said so.
        Some(Inherited { stamp: Some(stamp), .. }) if stamp.epoch > epoch && !begun => Holds::NotYet,
        // Not even its fence is there.
        Some(Inherited { stamp: Some(stamp), .. }) if stamp.epoch < epoch => Holds::Never,
        Some(Inherited { txid, stamp: Some(stamp) }) if stamp.lsn >= lsn => Holds::From(*txid),
        Some(Inherited { stamp: Some(_), .. }) => Holds::Never,
        Some(Inherited { txid, stamp: None }) if txid.is_zero() => Holds::Never,
        // Something that is not Plimsoll wrote on top, and does not say of what.
        Some(Inherited { stamp: None, .. }) | None => Holds::NotYet,
    }
}

impl Shared {
    async fn known_identity(&self) -> Result<[u8; 16]> {
        let known = self.state().uuid;
        if let Some(uuid) = known {
            return Ok(uuid);
        }
        let record = identity(&self.context()).await?.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "making or checking a session token of")
                .object(self.url().to_owned())
                .why("it has no identity: Plimsoll has never written to it")
        })?;
        self.state().uuid = Some(record.uuid);
        Ok(record.uuid)
    }

    async fn token(self: &Arc<Self>) -> Result<Token> {
        let volume = self.known_identity().await?;
        let (writer, lsn) = {
            let state = self.state();
            (state.writer.clone(), state.tip.lsn)
        };
        let durable = writer.as_ref().map(|writer| writer.accounts().progress.marks().mark(Level::Durable).lsn);
        // Read after the watermark: what is durable is in the view, unless this writer was told so by its successor.
        let (txid, read) = {
            let state = self.state();
            (state.view.txid, state.view.lsn)
        };
        let pending = writer.filter(|_| durable.is_some_and(|durable| durable < lsn) || read < lsn);
        let epoch = pending.map(|writer| writer.epoch).unwrap_or_default();
        Ok(Token { volume, epoch, txid, lsn })
    }

    /// Looks until everything that a token stands for has been read.
    async fn reach(self: &Arc<Self>, token: &Token, trouble: &mut Option<String>) -> Result<()> {
        if self.known_identity().await? != token.volume {
            return Err(Error::new(ErrorKind::Invalid, WAITING)
                .object(self.url().to_owned())
                .why("the token is of another volume"));
        }
        let mut asked = None;
        loop {
            match self.has_reached(token, &mut asked).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // The store may be back before the time is up.
                Err(error) if error.kind() == ErrorKind::Unavailable => *trouble = Some(error.to_string()),
                Err(error) => return Err(error),
            }
            self.config.host.clock.sleep(self.settings().follow_interval).await;
            if self.state().writer.is_none()
                && let Err(error) = self.catch_up_now().await
            {
                *trouble = Some(error.to_string());
            }
        }
    }

    /// Whether what is read holds what a token stands for. `asked`: the newest sync when the records were last asked
    /// about a commit that was not in the store; without a newer one they say nothing new.
    async fn has_reached(self: &Arc<Self>, token: &Token, asked: &mut Option<Txid>) -> Result<bool> {
        let (view, tip, writer) = {
            let state = self.state();
            (Arc::clone(&state.view), state.tip, state.writer.clone())
        };
        if token.epoch.is_zero() {
            return Ok(view.txid >= token.txid);
        }
        if writer.is_some_and(|writer| writer.epoch == token.epoch) {
            return Ok(tip.lsn >= token.lsn);
        }
        if view.txid < token.txid || *asked == Some(view.txid) {
            return Ok(false);
        }
        let info = aftermath(&self.context(), token.epoch, Lsn::ZERO, true).await?;
        // Who was about to remove the volume, and did not, has not written.
        let called_off = info.inherited.is_none() && info.holder.as_ref().is_some_and(|holder| holder.removal);
        let unwritten = called_off && unwritten_since(&self.context(), token.epoch, info.epoch).await?;
        if info.epoch <= token.epoch || unwritten || !taken(Step::TokenAftermath) {
            // Nobody has taken over, so commits up to this number are that writer's, or those that it went on from.
            *asked = Some(view.txid);
            if token.txid.is_zero() {
                // Without any sync it could fence nobody: an earlier writer may have begun the history.
                let head = tail(&self.context(), Levels::Newest).await?.head;
                let begun = head.and_then(|head| head.stamp).is_some_and(|stamp| stamp.epoch >= token.epoch);
                return Ok(begun && view.lsn >= token.lsn);
            }
            return Ok(view.lsn >= token.lsn);
        }
        match holds(token.epoch, token.lsn, !token.txid.is_zero(), info.inherited.as_ref()) {
            Holds::From(txid) => Ok(view.txid >= txid),
            Holds::NotYet => Ok(false),
            Holds::Never => self.has_reached_again(token, asked).await,
        }
    }

    /// The first later writer did not find the commit of a token in the history. A process of the same host may have
    /// found it in its journal.
    async fn has_reached_again(self: &Arc<Self>, token: &Token, asked: &mut Option<Txid>) -> Result<bool> {
        match sequel(&self.context(), token.epoch, token.lsn).await? {
            Sequel::Goes(epoch) => {
                let now = Token { epoch, ..*token };
                Box::pin(self.has_reached(&now, asked)).await
            }
            Sequel::NotYet => Ok(false),
            Sequel::Lost => Err(Error::new(ErrorKind::Fenced, WAITING)
                .object(self.url().to_owned())
                .why(format!(
                    "commit {} of epoch {} was lost: another writer went on without it",
                    token.lsn, token.epoch
                ))
                .hint("it may be in a stranded journal on the host that made it; go on without the token")),
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::{Stamp, WriterId};

    use super::*;

    #[test]
    fn what_the_next_writer_found_decides_what_a_token_is_worth() {
        let found = |txid, lsn: Option<u64>| Inherited {
            txid: Txid(txid),
            stamp: lsn.map(|lsn| Stamp { writer: WriterId(1), epoch: Epoch(3), lsn: Lsn(lsn) }),
        };
        let lsn = Lsn(7);
        for (inherited, answer) in [
            (None, Holds::NotYet),
            (Some(found(9, Some(7))), Holds::From(Txid(9))),
            (Some(found(9, Some(8))), Holds::From(Txid(9))),
            (Some(found(9, Some(6))), Holds::Never),
            (Some(found(0, None)), Holds::Never),
            (Some(found(9, None)), Holds::NotYet),
        ] {
            assert_eq!(holds(Epoch(3), lsn, true, inherited.as_ref()), answer, "{inherited:?}");
            assert_eq!(holds(Epoch(3), lsn, false, inherited.as_ref()), answer, "{inherited:?}");
            let later = holds(Epoch(4), lsn, true, inherited.as_ref());
            assert!(!matches!(later, Holds::From(_)), "{inherited:?}");
            if inherited.is_some_and(|inherited| inherited.stamp.is_some()) {
                // Whoever came between may have begun the history with commits of the same numbers.
                assert_eq!(holds(Epoch(2), lsn, false, inherited.as_ref()), Holds::NotYet, "{inherited:?}");
            }
        }
    }
}
