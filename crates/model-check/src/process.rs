//! A host, and its process if that lives.

use crate::{
    bucket::{Inherited, older},
    object::{Commit, Object},
    round::Round,
};

/// How far an open has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// No process, or one that does not write.
    #[default]
    Closed,
    /// Has read which epoch is the newest.
    Looked { seen: u8 },
    /// Has an epoch, and has asked for a listing.
    Listing,
    /// Reads the newest sync of the listing.
    Reading { txid: u8 },
    /// Has asked for a fence.
    Fencing { fence: Object, on: Object, answer: Option<Answer> },
    /// Is about to say what it inherited.
    Introducing,
    /// Is about to look into the journal of this host.
    Settling,
    /// Writes.
    Holding,
}

/// What a create was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Created,
    Exists,
}

/// A sync whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) object: Object,
    pub(crate) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Asked,
    Answered(Answer),
    /// Looks after a late answer. `gone`: the object that had our name has vanished.
    Looking {
        gone: bool,
        sent: u8,
        newer: Option<bool>,
        newest: Option<Option<u8>>,
    },
}

/// One of the two hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) writer: u8,
    /// On disk: acknowledged, and not known to be durable.
    pub(crate) journal: Vec<Commit>,
    /// On disk: the epoch under which the journal was last written.
    pub(crate) mark: u8,
    pub(crate) life: Life,
}

/// What a crash takes away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    pub(crate) phase: Phase,
    pub(crate) epoch: u8,
    /// Ticks since the last request was sent that showed no newer epoch.
    pub(crate) looked: u8,
    /// Ticks since the listing was asked for.
    pub(crate) sent: u8,
    /// A fence that was answered late, and what it was put on.
    pub(crate) placed: Option<(Object, Object)>,
    pub(crate) head: Option<Object>,
    pub(crate) inherited: Option<Inherited>,
    pub(crate) attempt: Option<Attempt>,
    /// Ticks since a sign of life was sent.
    pub(crate) beat: Option<u8>,
    pub(crate) round: Option<Round>,
}

impl Life {
    pub(crate) fn holds(&self) -> bool {
        self.phase == Phase::Holding
    }

    pub(crate) fn age(&mut self) {
        if self.phase == Phase::Closed {
            return;
        }
        older(&mut self.looked);
        match self.phase {
            Phase::Listing | Phase::Reading { .. } | Phase::Fencing { .. } => older(&mut self.sent),
            _ => {}
        }
        if let Some(Attempt { stage: Stage::Looking { sent, .. }, .. }) = &mut self.attempt {
            older(sent);
        }
        if let Some(sent) = &mut self.beat {
            older(sent);
        }
    }

    /// The last commit of the history, as far as this writer knows.
    pub(crate) fn durable(&self) -> u8 {
        self.head.map_or(0, |head| head.lsn)
    }
}
