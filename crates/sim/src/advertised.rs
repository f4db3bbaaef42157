//! What writers said of themselves before somebody else took the volume, and what has to be said of that then.

use std::collections::BTreeMap;

use plimsoll_commitlog::{StatusRecord, decode_epoch, decode_status, parse_epoch_key, parse_status_key};
use plimsoll_volume::Losses;

use crate::{handle::Handle, network::World, promise::Promise};

/// What the last writer before an epoch that has said anything had said last.
#[derive(Clone, Copy, Debug)]
struct Before {
    epoch: u32,
    /// Up to which commit it had acknowledged.
    appended: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Advertised {
    statuses: BTreeMap<u32, StatusRecord>,
    /// By the epoch of whoever came after.
    before: BTreeMap<u32, Before>,
}

impl Advertised {
    /// An object was made or replaced.
    pub(crate) fn made(&mut self, key: &str, bytes: &[u8]) {
        if let Some(epoch) = parse_status_key(key)
            && let Ok(status) = decode_status(bytes)
        {
            self.statuses.insert(epoch.0, status);
        }
        // Whoever has given no sign of life, as he who is about to remove the volume, leaves the last word to the one before.
        if let Some(epoch) = parse_epoch_key(key)
            && let Ok(record) = decode_epoch(bytes)
            && !record.removal
            && let Some((_, last)) = self.statuses.range(..epoch.0).next_back()
            && !last.closed
            && last.writer != record.writer
        {
            let before = Before { epoch: last.epoch.0, appended: last.watermarks.appended.lsn.0 };
            self.before.insert(epoch.0, before);
        }
    }
}

impl Handle {
    /// It has just taken the volume, and no request of it has failed: what the writer before had said that it had acknowledged,
    /// and the history does not hold, has to be in the account.
    pub(crate) fn accounts_for(&self, world: &World, losses: &Losses) {
        let Some(epoch) = self.volume.status().epoch else { return };
        let judge = world.judge();
        let Some(before) = judge.advertised.before.get(&epoch).copied() else { return };
        let held = judge.history.held_of(before.epoch);
        drop(judge);
        let told =
            |loss: &plimsoll_volume::LossReport| loss.epoch == before.epoch && loss.acknowledged >= before.appended;
        if before.appended > held && !losses.known.iter().any(told) {
            let why = format!(
                "epoch {} had said that commits up to {} were acknowledged, the history holds {held}, the account of what \
                 it took says {losses:?}",
                before.epoch, before.appended
            );
            self.object(Promise::NoSilentLoss, &why);
        }
    }
}
