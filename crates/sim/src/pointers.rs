//! What was said of a volume's states beside the newest: names, tokens, and forks that read from other volumes.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_commitlog::Origin;
use plimsoll_ltx::FileId;
use plimsoll_volume::Token;

use crate::{judge::Judge, promise::Promise, state::Tag, time::Group};

/// A checkpoint that was acknowledged, and that nobody has begun to remove.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) txid: u64,
    pub(crate) objects: Vec<FileId>,
}

/// A token that a process gave out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) token: Token,
    /// What a snapshot showed right before.
    pub(crate) tag: Tag,
    /// And right after: the token is of just that.
    pub(crate) exact: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Pointers {
    /// By name.
    pub(crate) checkpoints: BTreeMap<String, Kept>,
    pub(crate) tokens: Vec<Carried>,
    /// What a fork reads from other volumes until it is detached.
    pub(crate) origins: Vec<Origin>,
    /// Whether somebody was told that the volume is there.
    pub(crate) promised: bool,
    /// The life that removes it, or has removed it.
    pub(crate) leaving: Option<Group>,
    /// There is nothing any more.
    pub(crate) removed: bool,
    /// Names of checkpoints that somebody was told of.
    pub(crate) told: BTreeSet<String>,
    /// Announcements of collectors, and whose they are.
    pub(crate) announced: BTreeMap<String, Group>,
    names: u64,
}

/// Tokens that are carried about at once.
const TOKENS_MAX: usize = 6;

impl Pointers {
    pub(crate) fn fork(origins: Vec<Origin>) -> Self {
        Pointers { origins, promised: true, ..Pointers::default() }
    }

    /// Whether the volume can be worked on.
    pub(crate) fn is_open(&self) -> bool {
        self.promised && self.leaving.is_none()
    }

    /// A name that no checkpoint has had.
    pub(crate) fn name(&mut self) -> String {
        self.names += 1;
        format!("c{}", self.names)
    }

    /// Somebody was told that a state is kept.
    pub(crate) fn keep(&mut self, name: &str, kept: Kept) {
        self.told.insert(name.to_owned());
        self.checkpoints.insert(name.to_owned(), kept);
    }

    /// Somebody carries a token away.
    pub(crate) fn carry(&mut self, carried: Carried) {
        if self.tokens.len() == TOKENS_MAX {
            self.tokens.remove(0);
        }
        self.tokens.push(carried);
    }
}

impl Judge {
    /// Objects of the volume were removed: no checkpoint may name one.
    pub(crate) fn unnamed(&mut self, gone: &[FileId]) {
        let broken = self.pointers.checkpoints.iter().find_map(|(name, kept)| {
            let lost = kept.objects.iter().find(|id| gone.contains(id) && !self.history.is_inherited(**id))?;
            Some(format!("{lost:?} was removed, of which checkpoint {name} is made"))
        });
        if let Some(why) = broken {
            self.object(Promise::NothingReachableIsDeleted, why);
        }
    }

    /// Objects of another volume were removed: a fork may not need them any more.
    pub(crate) fn removed_at(&mut self, url: &str, gone: &[FileId]) {
        if !self.pointers.promised {
            return;
        }
        let had = self.pointers.origins.iter().filter(|origin| origin.url == url);
        let lost: BTreeSet<FileId> =
            had.flat_map(|origin| &origin.objects).map(|object| object.id).filter(|id| gone.contains(id)).collect();
        let Some(first) = lost.first() else { return };
        if !self.history.detached {
            self.object(
                Promise::NothingReachableIsDeleted,
                format!("{first:?} was removed from {url}, and the fork reads it there"),
            );
        }
        let named = self.pointers.checkpoints.iter().find(|(_, kept)| kept.objects.iter().any(|id| lost.contains(id)));
        if let Some((name, _)) = named {
            let why = format!("{first:?} was removed from {url}, and checkpoint {name} of the fork is made of it");
            self.object(Promise::NothingReachableIsDeleted, why);
        }
    }
}
